"""The contract of every bus: a log of entries in one order, that several hosts append to and read.

One suite of tests holds each bus to it. A bus decides nothing of the chat: entries are bytes. It is used by one task
group of asyncio, in a thread of its own (`worker`), because the clients of the brokers are written for asyncio.
"""

from __future__ import annotations

from typing import Final, Protocol

from socketkit.errors import SocketkitError
from socketkit.values import Value

__all__ = ["MAX_ENTRIES", "MAX_ENTRY_SIZE", "RECENT_ENTRIES", "Bus", "BusError", "Entry"]

MAX_ENTRIES: Final = 100_000
"""Entries that a log keeps; the oldest are forgotten first."""

MAX_ENTRY_SIZE: Final = 512 * 1024
"""Bytes of an entry: half of what NATS servers take by default."""

RECENT_ENTRIES: Final = 1000
"""Entries that a host reads first which knows none yet: the history of its rooms."""


class BusError(SocketkitError, ConnectionError):
    """The bus cannot be reached, or has refused something; the text says which and why, without a password."""


class Entry(Value):
    """An entry of the log.

    Attributes:
        id: of its place; only the bus understands it.
        data: as it was published.
    """

    id: str
    data: bytes


class Bus(Protocol):
    """A log in one order, and who is present.

    Attributes:
        name: its address, without a password.
        keeps: whether the log is kept for hosts that are away; known once it is open. Where it is not, hosts see what
            is published while they are connected, and only the entries of one host are in one order for all.

    Concurrency: `publish`, `read` and `present` may wait at the same time, one call of each.
    """

    name: str
    keeps: bool

    async def open(self, after: str) -> bool:
        """Connect, and begin to read behind this entry; may be called again after `close`.

        Args:
            after: the id of the entry that was read last; "": none, so that the last `RECENT_ENTRIES` are read first.

        Returns:
            Whether this entry still stands in the log, or is too old for it. False: the log was lost or went back
            (a broker without a disk was restarted); all of it is read, so entries may be read again.

        Raises:
            BusError: it cannot be reached, or refuses us.
        """

    async def publish(self, data: bytes) -> None:
        """Append an entry; return when the bus has taken it.

        Raises:
            BusError: it was refused, or the bus is lost: then nobody knows whether it was appended.
        """

    async def read(self) -> list[Entry]:
        """Wait for the next entries, our own among them; in the order of the log, each once.

        Raises:
            BusError: the bus is lost.
        """

    async def present(self, host: str, timeout: float) -> frozenset[str]:
        """Say that this host is here for so many seconds; return the hosts that have said so lately, as far as known.

        Raises:
            BusError: the bus is lost, or does not answer.
        """

    async def close(self) -> None:
        """Disconnect. Harmless twice, and when it was never open."""
