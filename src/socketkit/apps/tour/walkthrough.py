"""The tour: a server and a client on this machine, from socket(2) to close(2), step by step.

Descriptors, ports, counts of bytes and states are those of the real sockets, from the calls as they returned. Prints
nothing: each step is passed on as a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from socketkit.api import connect, listen, serve
from socketkit.apps.tour.benchmark import echo
from socketkit.apps.tour.socket_state import backlog_limit, state_of, state_of_ports
from socketkit.apps.tour.texts import CLIENT, SERVER, StepText, step_text, translate
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, EndOfStream
from socketkit.events import Called, Event
from socketkit.server.listener import Listener
from socketkit.values import Value

__all__ = ["Call", "Step", "Summary", "grouped", "summarize", "walk"]

LARGE_SIZE: Final = 8 * 1024 * 1024
"""More than most systems' buffers hold, so that a `send` is short on most of them."""


class Call(Value):
    """A socket call as it returned, and which side made it."""

    side: str
    event: Called


class Step(Value):
    """One step of a socket's life.

    Attributes:
        name: its key in `texts.STEPS`.
        text: which side takes it, what it means, and its trap.
        calls: what was called, in order.
        states: each socket's descriptor and TCP state after it; empty where the system does not report it.
    """

    name: str
    text: StepText
    calls: tuple[Call, ...]
    states: tuple[tuple[int, str], ...] = ()


class Summary(Value):
    """How many lines went there and back, and how often each call was made for it, by both sides together."""

    line_count: int
    calls: dict[str, int]


class _CallRecorder:
    """An observer that records the socket calls of one side."""

    wants_calls = True

    def __init__(self, side: str, calls: list[Call]) -> None:
        self._side = side
        self._calls = calls

    def __call__(self, event: Event) -> None:
        if isinstance(event, Called):
            self._calls.append(Call(self._side, event))


class _Walkthrough:
    """A server and a client in one task, one step after the other."""

    def __init__(self, engine: Engine, show: Callable[[Step], object], language: str) -> None:
        self._engine = engine
        self._show = show
        self._language = language
        self._calls: list[Call] = []

    async def run(self) -> None:
        engine, calls = self._engine, self._calls
        async with listen("tcp4://localhost:0", engine=engine, observer=_CallRecorder(SERVER, calls)) as listener:
            self._opened(listener)
            address = listener.addresses[0]
            async with connect(address, engine=engine, observer=_CallRecorder(CLIENT, calls)) as client:
                self._connected(client)
                async with await self._accept(listener) as server:
                    await self._send_two(client, server)
                    await self._send_much(client, server)
                    await self._end_one_direction(client, server)
                    await self._answer(client, server)
                    await self._close(client, server)
        self._show_step("stop")

    def _opened(self, listener: Listener) -> None:
        calls = self._take("socket")
        self._listening = int(calls[0].event.result)
        self._port = listener.addresses[0].port
        self._show_step("socket", calls, listening=self._listening)
        self._show_step("bind", self._take("setsockopt", "bind"), port=self._port)
        limit = backlog_limit()
        self._show_step(
            "listen",
            states=[self._listening],
            limit=translate(self._language, ": this one at most {limit}", limit=limit) if limit is not None else "",
        )

    def _connected(self, client: Connection) -> None:
        states = [self._listening, client.socket.fileno()]
        self._show_step("connect", self._take_but_options(), states=states, client_port=client.local.port)

    async def _accept(self, listener: Listener) -> Connection:
        pending = listener.pending()
        self._show_step("pending", self._take("getsockopt"), states=[self._listening], pending=pending)
        server = await listener.accept()
        self._show_step(
            "accept",
            self._take_but_options(),
            states=[self._listening, server.socket.fileno()],
            server=server.socket.fileno(),
            listening=self._listening,
            port=server.local.port,
        )
        self._show_step("options")
        return server

    async def _send_two(self, client: Connection, server: Connection) -> None:
        for word in (b"hello ", b"world"):
            await client.send(word)
            await client.flush()
        self._show_step("send", sent=client.statistics().sent_size)
        words = await server.receive()
        self._show_step("recv", words=words.decode())

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
        self._show_step("short send", taken=grouped(taken), given=grouped(given))
        portions = size = 0
        while size < given:
            size += len(await server.receive())
            portions += 1
        await sending
        calls = self._take()
        sends = sum(call.event.name == "send" and bool(call.event.data) for call in calls)
        first = tuple(call for call in calls if call.side == SERVER)[:2]
        self._show_step("recv all", first, portions=portions, sends=sends, size=grouped(size))

    async def _end_one_direction(self, client: Connection, server: Connection) -> None:
        await client.send_eof()
        try:
            await server.receive()
        except EndOfStream:
            self._show_step("half-close", states=[client.socket.fileno(), server.socket.fileno()])

    async def _answer(self, client: Connection, server: Connection) -> None:
        await server.send(b"all has come")
        await server.flush()
        await client.receive()
        self._show_step("answer")

    async def _close(self, client: Connection, server: Connection) -> None:
        ports = client.local.port or 0, server.local.port or 0
        await server.close()
        await client.close()
        state = state_of_ports(*ports)
        kept = translate(
            self._language,
            " The system keeps the side that ended first in {state} for a while, for packets that come late.",
            state=state,
        )
        self._show_step("close", kept=kept if state else "")

    def _show_step(
        self, name: str, calls: tuple[Call, ...] | None = None, *, states: list[int] | None = None, **facts: object
    ) -> None:
        calls = self._take() if calls is None else calls
        text = step_text(self._language, name)
        filled = StepText(text.side, text.title, text.meaning.format(**facts), text.trap.format(**facts))
        known = [(descriptor, state_of(descriptor)) for descriptor in states or ()]
        self._show(Step(name, filled, calls, tuple((descriptor, state) for descriptor, state in known if state)))

    def _take(self, *names: str) -> tuple[Call, ...]:
        """The calls of these names that were recorded and not taken yet; without a name, all."""
        taken = tuple(call for call in self._calls if not names or call.event.name in names)
        self._calls[:] = [call for call in self._calls if names and call.event.name not in names]
        return taken

    def _take_but_options(self) -> tuple[Call, ...]:
        """The calls without setsockopt(2): options are shown once, for both sides."""
        return self._take(*{call.event.name for call in self._calls} - {"setsockopt"})


async def walk(engine: Engine, show: Callable[[Step], object], *, language: str = "en") -> None:
    """Run every step, and show each when it has happened.

    Args:
        show: is called with each step.
        language: of its texts: `en` or `ru`.

    Raises:
        OpenError: this machine has no TCP over IPv4.
    """
    await _Walkthrough(engine, show, language).run()


async def summarize(engine: Engine, line_count: int = 1000) -> Summary:
    """Send lines there and back, by `serve` and `connect`, and count the socket calls that it took."""
    calls: list[Call] = []
    async with serve(
        echo, "tcp4://localhost:0", framing="lines", engine=engine, observer=_CallRecorder(SERVER, calls)
    ) as server:
        address = server.addresses[0]
        async with connect(
            address, framing="lines", engine=engine, observer=_CallRecorder(CLIENT, calls)
        ) as connection:
            for number in range(line_count):
                await connection.send(f"line {number}")
            for _ in range(line_count):
                await connection.receive()
    return Summary(line_count, dict(Counter(call.event.name for call in calls)))


def grouped(number: int) -> str:
    """A number with its figures in groups of three: `12 345`."""
    return f"{number:,}".replace(",", " ")
