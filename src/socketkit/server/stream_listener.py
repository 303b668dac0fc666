"""What accepts: one promise for listening sockets, datagram sockets and inherited streams."""

from __future__ import annotations

from abc import ABC, abstractmethod

from socketkit.config.address import Address
from socketkit.streams.stream import Stream

__all__ = ["StreamListener"]


class StreamListener(ABC):
    """Where callers come in: a listening socket, or whatever else gives a stream for each new peer.

    Attributes:
        address: the real one, with the port that the system has chosen.

    Concurrency: one task waits at a door.
    """

    address: Address

    @abstractmethod
    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        """Wait until somebody is there (or seems to be), or the door is closed.

        Raises:
            DeadlineError: the moment came first.
        """

    @abstractmethod
    def accept_nowait(self) -> Stream:
        """The stream of the next caller.

        Raises:
            BlockingIOError: nobody is there.
            OSError: as accept(2) says; `is_peer_error` and `is_resource_shortage` tell what it means.
        """

    @abstractmethod
    def pending(self) -> int:
        """How many callers wait to be accepted now, as far as the system tells; else 1 stands for at least one."""

    @abstractmethod
    def close(self) -> None:
        """Callers can come no more, and whoever waits here wakes up; those who came in stay. Harmless twice."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether `close` was called."""

    @property
    def place(self) -> Address:
        """The address at which this very door can be opened again, after it was closed."""
        return self.address

    def reopen(self) -> bool:
        """Let callers in again, after `close`; False where the door has to be made anew, which is usual."""
        return False

    @property
    def is_exhausted(self) -> bool:
        """Whether nobody more will ever come, though it is open: the only caller there was has come."""
        return False
