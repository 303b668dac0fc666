"""The chat host: a room, the connections of its guests, and the person at the host.

The room decides which line goes to which member; the host carries that out. It never waits for a guest that does not
read: the unsent bytes of each guest are bounded, and a guest beyond the bound is disconnected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from socketkit.api import serve
from socketkit.apps.chat.line_reader import CHAT_FRAMING, LineReader
from socketkit.apps.chat.participant import Participant
from socketkit.apps.chat.room import HOST, Decision, Disconnect, EndChat, Room, ShowLine
from socketkit.apps.chat.telnet import strip_telnet
from socketkit.config.address import Address
from socketkit.config.time_limits import UNFINISHED_LINE_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, OptionError, StreamError
from socketkit.events import Observer
from socketkit.server.run import OpenUntilSignal, serve_until_signal
from socketkit.server.server import Server

__all__ = ["MAX_UNSENT_SIZE", "ChatHost", "WaitBudget", "host"]

SLOW_READER_SIZE: Final = 64 * 1024
"""Unsent bytes from which on a guest is a slow reader: speakers wait for it, as far as the wait budget goes."""

MAX_UNSENT_SIZE: Final = 1024 * 1024
"""Unsent bytes at which a guest is disconnected; beyond what the system's own buffers hold, mostly megabytes."""

MAX_GUESTS: Final = 1000
"""With `MAX_UNSENT_SIZE` this bounds the memory of the host; further clients wait in the backlog."""

TURN_LINES: Final = 64
"""Lines of one guest that are handled before the other guests have their turn."""

TURN_SENDS: Final = 2000
"""Lines sent to members that end a turn earlier: about 10 ms. In a full room that is two lines."""

# Lines are bytes, so that a guest with another encoding gets a notice and is not disconnected. The framing cuts lines
# that are too long for the room, and the room refuses them with a notice. Escaped, a byte becomes at most four.
GUEST_LINES: Final = "lines:encoding=none,max_size=64KiB,oversize=truncate"


class WaitBudget:
    """Seconds that speakers may wait for slow readers: a quarter second at once, a tenth of the time in the long run.

    So a reader that was only not scheduled loses nothing, and a slow one delays nobody for long.
    """

    MOST: Final = 0.25
    SHARE: Final = 0.1

    def __init__(self, now: float) -> None:
        self._left = self.MOST
        self._updated = now

    def left(self, now: float) -> float:
        """The seconds that are left at this moment."""
        self._left = min(self.MOST, self._left + (now - self._updated) * self.SHARE)
        self._updated = now
        return max(0.0, self._left)

    def spend(self, seconds: float) -> None:
        """Take the seconds of a wait from the budget."""
        self._left -= seconds


class _Guest:
    """The connection of a guest.

    Attributes:
        connection: its connection.
        telnet_answer: bytes that go before the next line.
    """

    __slots__ = ("_has_stopped", "connection", "telnet_answer")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.telnet_answer = b""
        self._has_stopped = False

    @property
    def unsent_size(self) -> int:
        return self.connection.statistics().unsent_size

    def is_worth_waiting_for(self) -> bool:
        """Whether it is a slow reader, and the last wait for it was not in vain."""
        is_slow = self.unsent_size >= SLOW_READER_SIZE
        self._has_stopped &= is_slow
        return is_slow and not self._has_stopped

    async def catch_up(self, timeout: float) -> None:
        """Wait until everything is sent, or note that it has stopped reading."""
        try:
            await self.connection.flush(timeout=timeout)
        except DeadlineError:
            self._has_stopped = True
        except StreamError:
            pass  # its own handler sees the loss


class ChatHost:
    """A room, the connections of its guests, and the person at the host.

    Concurrency: one thread; an engine that blocks cannot run it.
    """

    def __init__(
        self,
        engine: Engine,
        person: Participant,
        *,
        name: str = "host",
        once: bool = False,
        unfinished_timeout: float = UNFINISHED_LINE_TIMEOUT,
    ) -> None:
        """The arguments are those of `host`.

        Raises:
            ValueError: the name is not valid.
        """
        self._unfinished_timeout = unfinished_timeout
        self._engine = engine
        self._person = person
        self._name = name
        self._room = Room(host_name=name, once=once)
        self._once = once
        self._guests: dict[int, _Guest] = {}
        self._ended = engine.event()
        self._budget = WaitBudget(engine.now())
        self._has_slow_reader = False
        self._unshown_count = 0
        self.server: Server | None = None

    async def serve_guest(self, connection: Connection) -> None:
        """Run the conversation with one guest to its end: the server's handler, whatever the server's framing is."""
        connection.reframe(CHAT_FRAMING)
        member, decisions = self._room.join()
        self._guests[member] = _Guest(connection)
        if self._once and self.server is not None:
            self.server.suspend()  # further clients are refused, and need not wait in vain
        self._carry_out(decisions)
        how = "has left"
        try:
            await self._receive_lines(member, connection)
        except BrokenError:
            how = "was lost"
        finally:
            self._carry_out(self._room.leave(member, how=how))

    async def _receive_lines(self, member: int, connection: Connection) -> None:
        lines = sends = 0
        reader = LineReader(connection, GUEST_LINES, unfinished_timeout=self._unfinished_timeout)
        while True:
            try:
                received = await reader.receive()
            except EndOfStream:
                return
            line, answer = strip_telnet(received)
            if answer and member in self._guests:
                self._guests[member].telnet_answer = answer
            if received and not line:
                continue  # telnet's commands alone
            sends += self._carry_out(self._room.receive(member, line))
            if not self._room.is_here(member):
                return
            lines += 1
            if lines >= TURN_LINES or sends >= TURN_SENDS or self._has_slow_reader:
                lines = sends = 0
                await self._wait_for_readers()

    async def _wait_for_readers(self) -> None:
        """Give the others their turn, then wait for slow readers within the budget; only this speaker waits."""
        self._has_slow_reader = False
        await self._engine.sleep(0)
        before = self._engine.now()
        left = self._budget.left(before)
        slow = [guest for guest in self._guests.values() if guest.is_worth_waiting_for()]
        if not slow or not left:
            return
        async with Group(self._engine) as group:
            for guest in slow:
                group.start(guest.catch_up(left))
        self._budget.spend(self._engine.now() - before)

    async def read_person(self) -> None:
        """Handle the lines of the person at the host, until the input ends.

        The end of a terminal's input ends the chat. The end of another input (a file, `/dev/null`, a pipe) does not:
        the room stays, without a person in it.
        """
        try:
            while self._room.is_here(HOST):
                self._carry_out(self._room.receive(HOST, await self._person.read()))
        except EndOfStream:
            if self._person.is_terminal:
                self.end()
            else:
                self._carry_out(self._room.leave(HOST))
        except BaseException:
            self._ended.set()  # else `wait_end` would wait on
            raise

    def end(self) -> None:
        """End the chat, for all members. Harmless twice."""
        self._carry_out(self._room.end(f"{self._name} has ended the chat"))

    async def wait_end(self) -> None:
        """Wait until the chat is over."""
        await self._ended.wait()

    async def watch(self, server: Server) -> None:
        """End the chat when its server closes; raises the server's error where it cannot accept any more."""
        try:
            await server.wait_closed()
        finally:
            self._ended.set()

    def _carry_out(self, decisions: Iterable[Decision]) -> int:
        """Do what the room has decided; the number of lines that were sent."""
        left = deque(decisions)
        count = 0
        while left:
            decision = left.popleft()
            if isinstance(decision, ShowLine):
                data = decision.line.encode(errors="backslashreplace")
                count += len(decision.members)
                for member in decision.members:
                    left.extend(self._show(decision.line) if member == HOST else self._send(member, data))
            elif isinstance(decision, Disconnect):
                guest = self._guests.pop(decision.member, None)
                if guest is not None:
                    guest.connection.stop_receiving()  # its handler ends, and sends what is unsent
            elif isinstance(decision, EndChat):
                left.extend(self._room.end(f"{self._name} has ended the chat"))
                self._ended.set()
        return count

    def _send(self, member: int, data: bytes) -> list[Decision]:
        guest = self._guests.get(member)
        if guest is None:
            return []
        if guest.telnet_answer:
            data, guest.telnet_answer = guest.telnet_answer + data, b""
        try:
            guest.connection.send(data + b"\n")
        except StreamError:
            return []  # its own handler sees the loss
        unsent_size = guest.unsent_size
        self._has_slow_reader |= unsent_size >= SLOW_READER_SIZE
        if unsent_size <= MAX_UNSENT_SIZE or not self._room.is_here(member):
            return []
        return self._room.leave(member, how="was disconnected: it has stopped reading")

    def _show(self, line: str) -> list[Decision]:
        """Show a line to the person at the host; lines beyond the bound are left out, and counted for the next line."""
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
    unfinished_timeout: float = UNFINISHED_LINE_TIMEOUT,
    **options: object,
) -> None:
    """Serve a room until the person at the host, a signal, or with `once` its guest, ends it.

    Args:
        engine: runs already; not one that blocks.
        address: where to listen, for connections.
        person: the person at the host.
        name: the name of that person.
        once: for one guest; the chat ends when the guest leaves.
        listening: called with the real addresses once clients can connect.
        observer: called with each event.
        unfinished_timeout: seconds without a byte after which a guest's text without a line end is a line.
        options: by the names of `Options`.

    Raises:
        ValueError: the name is not valid.
        AddressError, OptionError: at once, before anything is opened. Datagrams are refused too.
        ResolveError, ListenError: the address cannot be listened at.
        OSError: no more connections can be accepted.
    """
    chat = ChatHost(engine, person, name=name, once=once, unfinished_timeout=unfinished_timeout)
    address = Address.parse(address)
    _refuse_datagrams(address)
    if "max_connections" not in dict(address.options):
        options.setdefault("max_connections", MAX_GUESTS)
    how = serve(chat.serve_guest, address, framing=CHAT_FRAMING, engine=engine, observer=observer, **options)
    async with OpenUntilSignal(engine, how) as server:
        if server is None:
            return
        for real in server.addresses:  # `fd:` and `systemd:` show only now what they are
            _refuse_datagrams(real)

        chat.server = server

        async def until_end() -> None:
            async with Group(engine) as group:
                group.start(chat.read_person())
                group.start(chat.watch(server))
                await chat.wait_end()
                group.cancel()

        await serve_until_signal(server, listening=listening, stopping=lambda number: chat.end(), until=until_end)


def _refuse_datagrams(address: Address) -> None:
    """The source of a datagram is not proven: one forged datagram would send the whole chat to a stranger.

    Raises:
        OptionError: the address is one of datagrams.
    """
    if address.transport.kind in ("SOCK_DGRAM", "SOCK_RAW"):
        raise OptionError(
            f"{address}: a chat takes connections only: each line goes to all guests, and the source of a datagram "
            "can be forged, so a stranger would be flooded"
        )
