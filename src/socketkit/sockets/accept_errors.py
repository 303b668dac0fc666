"""Let callers in: what a door is, and what each error of accept(2) means.

The manual names errors that are one caller's misfortune (go on), errors that are the machine's (pause, and look again)
and errors that are ours (give up). Decides; the waiting is done by whoever accepts.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from socketkit.config.address import Address
from socketkit.streams.stream import Stream

__all__ = ["FIRST_PAUSE", "LAST_PAUSE", "Door", "is_callers_misfortune", "is_shortage", "pauses"]

FIRST_PAUSE: Final = 0.05
LAST_PAUSE: Final = 1.0


class Door(ABC):
    """Where callers come in: a listening socket, or whatever else gives a stream for each new peer.

    Attributes:
        address: the real one, with the port that the system has chosen.

    Concurrency: one task waits at a door.
    """

    address: Address

    @abstractmethod
    async def wait_caller(self, *, deadline: float | None = None) -> None:
        """Wait until somebody is there (or seems to be), or the door is closed.

        Raises:
            DeadlineError: the moment came first.
        """

    @abstractmethod
    def accept_now(self) -> Stream:
        """The stream of the next caller.

        Raises:
            BlockingIOError: nobody is there.
            OSError: as accept(2) says; `is_callers_misfortune` and `is_shortage` tell what it means.
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
    def is_spent(self) -> bool:
        """Whether nobody more will ever come, though it is open: the only caller there was has come."""
        return False


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# accept(2), "Error handling": pending network errors of the new socket are passed to accept; treat them like EAGAIN.
_CALLERS: Final = _numbers(
    "ECONNABORTED",
    "EPERM",
    "EPROTO",
    "ENOPROTOOPT",
    "ENETDOWN",
    "ENETUNREACH",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENONET",
    "EOPNOTSUPP",
    "ETIMEDOUT",
    "EINTR",
)
_SHORTAGES: Final = _numbers("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "WSAEMFILE")


def is_callers_misfortune(error: OSError) -> bool:
    """Whether only the caller is gone: accept the next one at once."""
    return error.errno in _CALLERS


def is_shortage(error: OSError) -> bool:
    """Whether the machine or the process is out of something: accept again after a pause."""
    return error.errno in _SHORTAGES


def pauses() -> Iterator[float]:
    """Seconds to wait before each next look: 50 ms, doubling to 1 s, so that a shortage neither spins nor lasts."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LAST_PAUSE)
