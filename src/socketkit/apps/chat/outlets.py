"""What carries decisions to guests: an interface for each kind of guest, and the one place that sends to many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from socketkit.apps.chat.decisions import ShowLine
from socketkit.connection.broadcast import broadcast
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, StreamError

__all__ = ["SLOW_READER_SIZE", "ConnectedGuest", "LineGuest", "Outlet", "show_to"]

SLOW_READER_SIZE: Final = 64 * 1024
"""Unsent bytes from which on a guest is a slow reader: speakers wait for it, as far as the wait budget goes."""


class Outlet(Protocol):
    """The way to one guest. The hub knows members by numbers; it is told nothing of connections.

    Attributes:
        pause: seconds for which no line of it is taken; its reader waits, and sets this to 0.
        sees_own: whether it is shown what it has written itself.
    """

    pause: float
    sees_own: bool

    @property
    def unsent_size(self) -> int:
        """Bytes that are queued for it, and not yet sent."""

    @staticmethod
    def show_all(outlets: list[Any], shown: ShowLine, message_id: int | None) -> int:
        """Queue a line for guests of this kind, encoded once for all; return its bytes. Never waits.

        Args:
            outlets: are of this class.
            shown: the line, and what it was made of.
            message_id: of its message, where it is kept for good: a guest may ask for what came after it.
        """

    def disconnect(self) -> None:
        """Take nothing more of it; what is queued is still sent. Harmless twice."""

    async def wait_disconnected(self, timeout: float | None = None) -> None:
        """Wait until it was disconnected here, or for so many seconds."""

    def is_worth_waiting_for(self) -> bool:
        """Whether it is a slow reader, and the last wait for it was not in vain."""

    async def catch_up(self, timeout: float) -> None:
        """Wait until everything is sent, or note that it has stopped reading."""


class ConnectedGuest:
    """A guest at the other end of a connection.

    Attributes:
        connection: its connection.
        pause: as for every outlet.
        turn_lines, turn_sends: its lines that were handled in this turn, and what was sent for them.
    """

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self.connection = connection
        self.pause = 0.0
        self.turn_lines = self.turn_sends = 0
        self._has_stopped = False
        self._disconnected = engine.event()

    @property
    def unsent_size(self) -> int:
        return self.connection.internals.session.outgoing_size

    def disconnect(self) -> None:
        self._disconnected.set()
        self.connection.stop_receiving()  # its handler ends, and sends what is unsent

    async def wait_disconnected(self, timeout: float | None = None) -> None:
        deadline = None if timeout is None else self._engine.now() + timeout
        try:
            await self._disconnected.wait(deadline=deadline)
        except DeadlineError:
            pass

    def is_worth_waiting_for(self) -> bool:
        is_slow = self.unsent_size >= SLOW_READER_SIZE
        self._has_stopped &= is_slow
        return is_slow and not self._has_stopped

    async def catch_up(self, timeout: float) -> None:
        try:
            await self.connection.flush(timeout=timeout)
        except DeadlineError:
            self._has_stopped = True
        except StreamError:
            pass  # its own handler sees the loss


class LineGuest(ConnectedGuest):
    """A guest with plain lines: `chat join`, nc, telnet. Its connection has the framing `chunks`.

    Attributes:
        telnet_answer: bytes that go before the next line.
    """

    sees_own = False

    def __init__(self, engine: Engine, connection: Connection) -> None:
        super().__init__(engine, connection)
        self.telnet_answer = b""

    @staticmethod
    def show_all(outlets: list[LineGuest], shown: ShowLine, message_id: int | None) -> int:
        data = shown.line.encode(errors="backslashreplace") + b"\n"
        for guest in outlets:
            if guest.telnet_answer:
                broadcast((guest.connection,), guest.telnet_answer, slow="wait")
                guest.telnet_answer = b""
        # "wait" queues for slow ones too: the host itself disconnects those that are far behind, and tells the others.
        broadcast([guest.connection for guest in outlets], data, slow="wait")
        return len(data)


def show_to(outlets: Iterable[Outlet], shown: ShowLine, message_id: int | None) -> int:
    """Queue a line for many guests, encoded once for all of a kind; return its bytes."""
    kinds: dict[type[Outlet], list[Outlet]] = {}
    for outlet in outlets:
        kinds.setdefault(type(outlet), []).append(outlet)
    return max([kind.show_all(same, shown, message_id) for kind, same in kinds.items()], default=0)
