"""The interface of whatever accepts connections: listening sockets, datagram sockets, inherited streams."""

from __future__ import annotations

from abc import ABC, abstractmethod

from socketkit.config.address import Address
from socketkit.streams.stream import Stream

__all__ = ["Incoming", "StreamListener", "host_of"]

UNIX = "unix"
"""The host of peers of UNIX sockets, in lists of networks and in `Incoming.host`."""


class Incoming(ABC):
    """One accepted connection that was not admitted yet: no byte was read, no option set, no address formatted."""

    __slots__ = ()

    @property
    @abstractmethod
    def host(self) -> str:
        """The peer's numeric address; `unix` for a peer of a UNIX socket; empty where there is neither."""

    @property
    @abstractmethod
    def peer(self) -> str:
        """The peer's address as text, for messages."""

    @abstractmethod
    def open(self) -> Stream:
        """Return the stream, with its options set; a second call returns the same.

        Raises:
            ConnectionAbortedError: the peer has gone; the connection is closed.
            OSError: a resource shortage (EMFILE): the connection stays open, and `open` may be called again.
        """

    @abstractmethod
    def abort(self) -> None:
        """Reset the connection."""


class OpenIncoming(Incoming):
    """An accepted connection whose stream exists already: a datagram peer, an inherited stream.

    Args:
        stream: that one.
        host: as `Incoming.host`, where the stream's address does not have it.
    """

    __slots__ = ("_host", "_stream")

    def __init__(self, stream: Stream, host: str = "") -> None:
        self._stream = stream
        self._host = host

    @property
    def host(self) -> str:
        return self._host or host_of(Address.parse(self._stream.peer))

    @property
    def peer(self) -> str:
        return self._stream.peer

    def open(self) -> Stream:
        return self._stream

    def abort(self) -> None:
        self._stream.abort()


class StreamListener(ABC):
    """A source of accepted connections.

    Attributes:
        address: the real one, with the port that the system has chosen.
        dropped_count: datagrams that were received and dropped.
        kernel_dropped_count: datagrams that the kernel dropped, because the receive buffer was full.

    Concurrency: one task at a time waits at a listener.
    """

    address: Address
    dropped_count: int = 0
    kernel_dropped_count: int = 0

    @abstractmethod
    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        """Wait until a connection can be accepted (or seems to be), or the listener is closed.

        Raises:
            DeadlineError: at the deadline.
        """

    @abstractmethod
    def accept_nowait(self) -> Incoming:
        """Accept the next connection.

        Raises:
            BlockingIOError: no connection waits.
            OSError: as in accept(2); `is_peer_error` and `is_resource_shortage` classify it.
        """

    @abstractmethod
    def pending(self) -> int:
        """Return how many connections wait to be accepted, where the system counts them; else 1 means at least one."""

    @abstractmethod
    def close(self) -> None:
        """Stop listening and wake the task that waits here. Accepted connections stay open. Harmless twice."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether `close` was called."""

    @property
    def origin(self) -> Address:
        """The address at which this listener can be opened again after `close`."""
        return self.address

    def reopen(self) -> bool:
        """Listen again after `close`; False where a new listener has to be made, which is the usual case."""
        return False

    @property
    def is_exhausted(self) -> bool:
        """Whether no further connection can come although it is open: it stands for a single stream."""
        return False


def host_of(address: Address) -> str:
    """The host of a peer as `Incoming.host` gives it."""
    return address.host or (UNIX if address.transport.families == ("AF_UNIX",) else "")
