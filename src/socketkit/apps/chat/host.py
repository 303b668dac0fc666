"""Chat: a room over connections, with the person at the host in it.

What is said to whom is decided in the room; here the decisions are carried out. Nobody waits for a guest that does not
read: what is sent to each is bounded, and who stays beyond the bound is shown out. The way in is next door, `visit`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from socketkit.api import serve
from socketkit.apps.chat.participant import Participant
from socketkit.apps.chat.room import HOST, Decision, EndChat, Room, ShowOut, Tell
from socketkit.config.address import Address
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, StreamError
from socketkit.events import Observer
from socketkit.server.run import serve_until_signal
from socketkit.server.server import Server

__all__ = ["MAX_UNSENT_SIZE", "ChatHost", "Patience", "host"]

CROWDED_SIZE: Final = 64 * 1024
"""Unsent bytes of one guest from which on it is behind: who talks waits for it, as long as there is patience left."""

MAX_UNSENT_SIZE: Final = 1024 * 1024
"""Unsent bytes of one guest at which it is shown out; beyond what the system's own buffers hold, mostly megabytes."""

MAX_GUESTS: Final = 1000
"""With `MAX_UNSENT_SIZE` this bounds the memory of the room; more callers wait in the backlog."""

TURN_LINES: Final = 64
"""Lines of one guest that are passed on before the others have their turn."""

# Lines are bytes: who speaks another encoding is told so, and heard. Longer ones than the room takes are cut by the
# framing and then refused by the room, which can say so. Written out, a byte becomes at most four.
GUEST_FRAMING: Final = "lines:encoding=none,max_size=64KiB,oversize=truncate"


# --- patience --------------------------------------------------------------------------------------------------------


class Patience:
    """How long those who talk still wait for those who are behind with reading: a quarter second at once, a tenth of
    the time in the long run. So a reader that only was not scheduled loses nothing, and a slow one holds up nobody."""

    MOST: Final = 0.25
    SHARE: Final = 0.1

    def __init__(self, now: float) -> None:
        self._left = self.MOST
        self._moment = now

    def left(self, now: float) -> float:
        """Seconds of it that are left."""
        self._left = min(self.MOST, self._left + (now - self._moment) * self.SHARE)
        self._moment = now
        return max(0.0, self._left)

    def spend(self, seconds: float) -> None:
        """So long somebody has waited."""
        self._left -= seconds


class _Guest:
    """A connection that has a seat."""

    __slots__ = ("_has_stopped", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._has_stopped = False

    @property
    def unsent_size(self) -> int:
        return self.connection.statistics().unsent_size

    def is_worth_waiting_for(self) -> bool:
        """Whether it is behind, and was not waited for in vain since."""
        is_behind = self.unsent_size >= CROWDED_SIZE
        self._has_stopped &= is_behind
        return is_behind and not self._has_stopped

    async def catch_up(self, timeout: float) -> None:
        """Wait until it has taken all that was said, or show that it does not."""
        try:
            await self.connection.flush(timeout=timeout)
        except DeadlineError:
            self._has_stopped = True
        except StreamError:
            pass  # it has gone: its own conversation finds out


# --- the host --------------------------------------------------------------------------------------------------------


class ChatHost:
    """A room, the connections of its guests, and the person at the host.

    Concurrency: one thread; engines that block are not for rooms.
    """

    def __init__(self, engine: Engine, person: Participant, *, name: str = "host", once: bool = False) -> None:
        """Raises:
        ValueError: the name is not fit.
        """
        self._engine = engine
        self._person = person
        self._name = name
        self._room = Room(host_name=name, once=once)
        self._once = once
        self._guests: dict[int, _Guest] = {}
        self._ended = engine.event()
        self._patience = Patience(engine.now())
        self._is_crowded = False  # somebody has more unsent than it should
        self._unshown_count = 0
        self.server: Server | None = None

    # --- what happens ---

    async def welcome(self, connection: Connection) -> None:
        """Hold the conversation with one guest, to its end: the server's handler."""
        seat, decisions = self._room.enter()
        self._guests[seat] = _Guest(connection)
        if self._once and self.server is not None:
            self.server.suspend()  # who comes now is refused, and need not wait in vain
        self._carry_out(decisions)
        how = "has left"
        try:
            await self._listen_to(seat, connection)
        except BrokenError:
            how = "was lost"
        finally:
            self._carry_out(self._room.leave(seat, how=how))

    async def _listen_to(self, seat: int, connection: Connection) -> None:
        count = 0
        async for line in connection:
            self._carry_out(self._room.hear(seat, line))
            if not self._room.is_here(seat):
                return
            count += 1
            if count % TURN_LINES == 0 or self._is_crowded:
                await self._let_them_read()

    async def _let_them_read(self) -> None:
        """One who talks faster than the others read waits for them, as far as the patience goes; it alone waits."""
        self._is_crowded = False
        await self._engine.sleep(0)
        before = self._engine.now()
        left = self._patience.left(before)
        late = [guest for guest in self._guests.values() if guest.is_worth_waiting_for()]
        if not late or not left:
            return
        async with Group(self._engine) as group:
            for guest in late:
                group.start(guest.catch_up(left))
        self._patience.spend(self._engine.now() - before)

    async def attend(self) -> None:
        """Let the person at the host take part, until nothing more is typed.

        The end of a terminal's input ends the chat. The end of another input (a file, `/dev/null`, a pipe) does not:
        the room stays, without a person in it.
        """
        try:
            while self._room.is_here(HOST):
                self._carry_out(self._room.hear(HOST, await self._person.read()))
        except EndOfStream:
            if self._person.is_terminal:
                self.end()
            else:
                self._carry_out(self._room.leave(HOST))
        except BaseException:
            self._ended.set()  # whoever waits for the end is to hear of it
            raise

    def end(self) -> None:
        """End the chat, for all. Harmless twice."""
        self._carry_out(self._room.end(f"{self._name} has ended the chat"))

    async def wait_end(self) -> None:
        """Wait until the chat is over."""
        await self._ended.wait()

    async def watch(self, server: Server) -> None:
        """End the chat if its server cannot go on accepting, and say why."""
        try:
            await server.wait_closed()
        finally:
            self._ended.set()

    # --- what follows ---

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        left = deque(decisions)
        while left:
            decision = left.popleft()
            if isinstance(decision, Tell):
                data = decision.line.encode(errors="backslashreplace")
                for seat in decision.seats:
                    left.extend(self._show(decision.line) if seat == HOST else self._tell(seat, data))
            elif isinstance(decision, ShowOut):
                guest = self._guests.pop(decision.seat, None)
                if guest is not None:
                    guest.connection.stop_receiving()  # its conversation ends, and sends what is unsent
            elif isinstance(decision, EndChat):
                left.extend(self._room.end(f"{self._name} has ended the chat"))
                self._ended.set()

    def _tell(self, seat: int, data: bytes) -> list[Decision]:
        guest = self._guests.get(seat)
        if guest is None:
            return []
        try:
            guest.connection.send(data)
        except StreamError:
            return []  # it has gone: its own conversation finds out
        unsent_size = guest.unsent_size
        self._is_crowded |= unsent_size >= CROWDED_SIZE
        if unsent_size <= MAX_UNSENT_SIZE or not self._room.is_here(seat):
            return []
        return self._room.leave(seat, how="was shown out: it has stopped reading")

    def _show(self, line: str) -> list[Decision]:
        """Show a line to the person at the host: a screen that stands still loses lines, and says how many."""
        if self._person.unshown_size > MAX_UNSENT_SIZE:
            self._unshown_count += 1
            return []
        try:
            if self._unshown_count:
                self._person.show(f"* {self._unshown_count} lines were not shown: this end was not read")
                self._unshown_count = 0
            self._person.show(line)
        except BrokenPipeError:
            return self._room.end(f"{self._name} has ended the chat")
        return []


async def host(
    engine: Engine,
    address: str | Address,
    person: Participant,
    *,
    name: str = "host",
    once: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    observer: Observer | None = None,
    **options: object,
) -> None:
    """Open a room at an address, and stay until the person there, a signal, or with `once` its guest, ends it.

    Args:
        engine: runs already; not one that blocks.
        address: where.
        person: who sits here.
        name: how the person is called.
        once: for one guest; the room ends when it leaves.
        listening: is told the real addresses when callers can come.
        observer: is told what happens, as events.
        options: by the names of `Options`.

    Raises:
        ValueError: the name is not fit.
        ResolveError, ListenError: nobody can listen at the address.
        OSError: callers could not be let in any more.
    """
    chat = ChatHost(engine, person, name=name, once=once)
    if "max_connections" not in dict(Address.parse(address).options):
        options.setdefault("max_connections", MAX_GUESTS)
    async with serve(
        chat.welcome, address, framing=GUEST_FRAMING, engine=engine, observer=observer, **options
    ) as server:
        chat.server = server

        async def until_end() -> None:
            async with Group(engine) as group:
                group.start(chat.attend())
                group.start(chat.watch(server))
                await chat.wait_end()
                group.cancel()

        await serve_until_signal(server, listening=listening, stopping=lambda number: chat.end(), until=until_end)
