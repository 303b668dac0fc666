"""The tour: the whole life of a socket, lived on this machine by a server and a client, step by step.

Nothing is told that did not happen: descriptors, ports, counts of bytes and states are those of the real sockets, from
the calls as they returned. Prints nothing: each step is handed over as a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from socketkit.api import connect, listen, serve
from socketkit.apps.tour.benchmark import echo
from socketkit.apps.tour.socket_state import backlog_limit, state_of, state_of_ports
from socketkit.apps.tour.texts import CLIENT, SERVER, STORY, Telling
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, EndOfStream
from socketkit.events import Called, Event
from socketkit.server.listener import Listener
from socketkit.values import Value

__all__ = ["Call", "Step", "Summary", "summarize", "walk"]

LARGE_SIZE: Final = 8 * 1024 * 1024
"""More than most systems' buffers hold, so that a `send` is short for everybody to see."""


class Call(Value):
    """A socket call as it returned, and which side made it."""

    who: str
    event: Called


class Step(Value):
    """One step of a socket's life.

    Attributes:
        telling: whose, which, what it means, and its trap.
        calls: what was called, in order.
        states: each socket's descriptor and TCP state after it; empty where the system does not tell.
    """

    telling: Telling
    calls: tuple[Call, ...]
    states: tuple[tuple[int, str], ...] = ()


class Summary(Value):
    """How many lines went there and back, and how often each call was made for it, by both sides together."""

    line_count: int
    calls: dict[str, int]


class _Ear:
    """Hears the socket calls of one side."""

    wants_calls = True

    def __init__(self, who: str, heard: list[Call]) -> None:
        self._who = who
        self._heard = heard

    def __call__(self, event: Event) -> None:
        if isinstance(event, Called):
            self._heard.append(Call(self._who, event))


class _Walk:
    """A server and a client in one task, that do one thing after the other."""

    def __init__(self, engine: Engine, show: Callable[[Step], object]) -> None:
        self._engine = engine
        self._show = show
        self._heard: list[Call] = []

    async def go(self) -> None:
        engine, heard = self._engine, self._heard
        async with listen("tcp4://localhost:0", engine=engine, observer=_Ear(SERVER, heard)) as listener:
            self._opened(listener)
            address = listener.addresses[0]
            async with connect(address, engine=engine, observer=_Ear(CLIENT, heard)) as client:
                self._connected(client)
                async with await self._accept(listener) as server:
                    await self._send_two(client, server)
                    await self._send_much(client, server)
                    await self._end_one_direction(client, server)
                    await self._answer(client, server)
                    await self._close(client, server)
        self._tell("stop")

    def _opened(self, listener: Listener) -> None:
        calls = self._take("socket")
        self._listening = int(calls[0].event.result)
        self._port = listener.addresses[0].port
        self._tell("socket", calls, listening=self._listening)
        self._tell("bind", self._take("setsockopt", "bind"), port=self._port)
        limit = backlog_limit()
        self._tell("listen", states=[self._listening], limit=f": this one at most {limit}" if limit is not None else "")

    def _connected(self, client: Connection) -> None:
        states = [self._listening, client.socket.fileno()]
        self._tell("connect", self._take_but_options(), states=states, client_port=client.local.port)

    async def _accept(self, listener: Listener) -> Connection:
        pending = listener.pending()
        self._tell("pending", self._take("getsockopt"), states=[self._listening], pending=pending)
        server = await listener.accept()
        self._tell(
            "accept",
            self._take_but_options(),
            states=[self._listening, server.socket.fileno()],
            server=server.socket.fileno(),
            listening=self._listening,
            port=server.local.port,
        )
        self._tell("options")
        return server

    async def _send_two(self, client: Connection, server: Connection) -> None:
        for word in (b"hello ", b"world"):
            await client.send(word)
            await client.flush()
        self._tell("send", sent=client.statistics().sent_size)
        words = await server.receive()
        self._tell("recv", words=words.decode())

    async def _send_much(self, client: Connection, server: Connection) -> None:
        before, given, is_full = client.statistics().sent_size, 0, False
        while not is_full:
            sending = client.send(bytes(LARGE_SIZE))
            given += LARGE_SIZE
            try:
                await client.flush(timeout=0)
            except DeadlineError:
                is_full = True
        taken = client.statistics().sent_size - before
        self._tell("short send", taken=_grouped(taken), given=_grouped(given))
        portions = size = 0
        while size < given:
            size += len(await server.receive())
            portions += 1
        await sending
        calls = self._take()
        sends = sum(call.event.name == "send" and bool(call.event.data) for call in calls)
        first = tuple(call for call in calls if call.who == SERVER)[:2]
        self._tell("recv all", first, portions=portions, sends=sends, size=_grouped(size))

    async def _end_one_direction(self, client: Connection, server: Connection) -> None:
        await client.send_eof()
        try:
            await server.receive()
        except EndOfStream:
            self._tell("half-close", states=[client.socket.fileno(), server.socket.fileno()])

    async def _answer(self, client: Connection, server: Connection) -> None:
        await server.send(b"all has come")
        await server.flush()
        await client.receive()
        self._tell("answer")

    async def _close(self, client: Connection, server: Connection) -> None:
        ports = client.local.port or 0, server.local.port or 0
        await server.close()
        await client.close()
        state = state_of_ports(*ports)
        kept = f" Who ended first pays: the system keeps that end in {state} for a while, for packets that come late."
        self._tell("close", kept=kept if state else "")

    def _tell(
        self, name: str, calls: tuple[Call, ...] | None = None, *, states: list[int] | None = None, **facts: object
    ) -> None:
        calls = self._take() if calls is None else calls
        told = STORY[name]
        filled = Telling(told.who, told.title, told.meaning.format(**facts), told.trap.format(**facts))
        known = [(descriptor, state_of(descriptor)) for descriptor in states or ()]
        self._show(Step(filled, calls, tuple((descriptor, state) for descriptor, state in known if state)))

    def _take(self, *names: str) -> tuple[Call, ...]:
        """The calls of these names that were heard and not taken yet; without a name, all."""
        taken = tuple(call for call in self._heard if not names or call.event.name in names)
        self._heard[:] = [call for call in self._heard if names and call.event.name not in names]
        return taken

    def _take_but_options(self) -> tuple[Call, ...]:
        """Those of a new connection are told once, for both sides."""
        return self._take(*{call.event.name for call in self._heard} - {"setsockopt"})


async def walk(engine: Engine, show: Callable[[Step], object]) -> None:
    """Live the life of a socket, and show each step when it has happened.

    Raises:
        OpenError: this machine has no TCP over IPv4.
    """
    await _Walk(engine, show).go()


async def summarize(engine: Engine, line_count: int = 1000) -> Summary:
    """Send lines there and back, by `serve` and `connect`, and count the socket calls that it took."""
    heard: list[Call] = []
    async with serve(
        echo, "tcp4://localhost:0", framing="lines", engine=engine, observer=_Ear(SERVER, heard)
    ) as server:
        address = server.addresses[0]
        async with connect(address, framing="lines", engine=engine, observer=_Ear(CLIENT, heard)) as connection:
            for number in range(line_count):
                await connection.send(f"line {number}")
            for _ in range(line_count):
                await connection.receive()
    return Summary(line_count, dict(Counter(call.event.name for call in heard)))


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
