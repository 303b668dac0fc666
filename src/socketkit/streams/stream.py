"""The interface of every stream: bytes in order, in two directions that are ended separately.

A stream has no messages. Sockets, pipes, pairs in memory and TLS over another stream implement it, and
`tests/contracts/stream_contract.py` checks each of them. Streams of datagrams and packets promise more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from socketkit._core import StreamCore
from socketkit.engines.engine import Engine

if TYPE_CHECKING:
    import socket

    from socketkit.config.websocket_settings import Request
    from socketkit.errors import StreamError
    from socketkit.events import TlsFacts
    from socketkit.framing.codec import Framing

    Socket = socket.socket

__all__ = ["DatagramStream", "MessageStream", "ReadyStream", "Stream"]


class Stream(ABC):
    """Bytes in two directions.

    Attributes:
        engine: the engine on which its methods wait.
        local: the address of this end, as text.
        peer: the address of the other end, as text.
        is_connectionless: whether the peer has no end that it could send (UDP): receiving ends at this end only.

    Concurrency: one task may receive while another sends. Two in the same direction are an error of the code that
    uses the stream; `Connection` prevents it.
    """

    __slots__ = ()

    engine: Engine
    local: str
    peer: str
    is_connectionless: bool = False

    @property
    def socket(self) -> Socket | None:
        """The socket underneath; None where there is none, or where the two directions are two sockets."""
        return None

    @property
    def tls(self) -> TlsFacts | None:
        """What the TLS handshake agreed on; None where plain bytes are sent."""
        return None

    @property
    def exit_status(self) -> int | None:
        """How the child process at the other end exited, as a shell reports it: its status, or 128 plus the number of
        the signal that killed it. None while it runs, and where there is no child."""
        return None

    @property
    def times_out_itself(self) -> bool:
        """Whether the listener that this stream belongs to applies `idle_timeout`; then the connection does not."""
        return False

    @property
    def plain(self) -> StreamCore | None:
        """The connected socket whose bytes are those of this stream, as they are; None: there is none."""
        return None

    @abstractmethod
    async def receive(self, *, deadline: float | None = None) -> bytes:
        """The next bytes, as soon as there are any: at least one, at most what one system call returns.

        Raises:
            EndOfStream: the peer has ended its direction, and everything before was received. Later calls raise it too.
            BrokenError: the connection was lost (a reset, a time-out of the system). Later calls raise it too.
            ClosedError: this end was closed, before or during the call.
            DeadlineError: the deadline came first.

        Cancellation: no byte is lost; the next call returns them.
        """

    @abstractmethod
    def send_now(self, data: bytes | memoryview) -> int:
        """Send as much as can be taken without waiting; the number of bytes that were taken, perhaps 0.

        Raises:
            BrokenError: the connection was lost.
            ClosedError: this end, or its sending direction, was closed.
        """

    @abstractmethod
    async def wait_writable(self, *, deadline: float | None = None) -> None:
        """Wait until nothing is unsent here, and `send_now` takes something or raises.

        Raises:
            BrokenError, ClosedError: as for `send_now`, where something was unsent.
            DeadlineError: the deadline came first.
        """

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        """Send all of it.

        Raises:
            BrokenError, ClosedError: as for `send_now`.
            DeadlineError: the deadline came first; some of it may have been sent.

        Cancellation: some of it may have been sent; the stream can only be closed then.
        """
        rest = memoryview(data)
        while rest:
            sent = self.send_now(rest)
            rest = rest[sent:]
            if rest:
                await self.wait_writable(deadline=deadline)
        while self.has_unsent:
            await self.wait_writable(deadline=deadline)

    @property
    def has_unsent(self) -> bool:
        """Whether bytes that `send_now` took are still held here, encoded; `wait_writable` sends them.

        Only streams that encode (TLS) hold any, and a bounded number of them.
        """
        return False

    @abstractmethod
    async def send_eof(self, *, deadline: float | None = None) -> None:
        """End our direction: the peer receives the end of stream after all that was sent. Receiving goes on. A second
        call does nothing.

        Raises:
            BrokenError: the connection was lost.
            ClosedError: this end was closed.
            DeadlineError: the deadline came first (on streams that send a record for it, as TLS).
        """

    @abstractmethod
    def stop_receiving(self) -> None:
        """End the peer's direction from our side: what has arrived is still received, then `receive` raises
        `EndOfStream`; one that waits wakes up. Never raises."""

    @abstractmethod
    def close(self) -> None:
        """Close both directions at once. What was sent is still delivered, where the system can do that. A waiting
        call raises `ClosedError`. A second call does nothing. Never raises."""

    async def finish(self, *, deadline: float | None = None) -> None:
        """Close gracefully: as `close`, after what this kind of stream has to wait for first (the exit of a child).

        Returns when it is closed, at the deadline or soon after, whatever the other end does.

        Cancellation: it is aborted.
        """
        self.close()

    def set_cut(self) -> None:  # noqa: B027 - most streams have nothing that would follow
        """Note that bytes were dropped that were to be sent: the peer could make nothing of what follows."""

    @abstractmethod
    def abort(self) -> None:
        """Close without an orderly end, by a reset where there is one; what was sent may be lost. Never raises."""

    def forget(self) -> None:
        """Keep no error that was raised and nothing of the connection above, of a stream that is closed: they hold it,
        and would be freed by the collector of cycles alone."""
        return  # most streams keep nothing


class ReadyStream(Stream):
    """A stream that also receives in two steps, without a coroutine for each portion.

    Attributes:
        may_have_more: whether `receive_now` may return something at once. Else the last call took all that was there.
    """

    __slots__ = ()

    may_have_more: bool

    @abstractmethod
    def receive_now(self) -> bytes | None:
        """The next bytes, as `receive` returns them; None: there are none now.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
        """

    @abstractmethod
    def wait_readable(self, deadline: float | None = None) -> Awaitable[None]:
        """Wait until `receive_now` may return something. If it returns None all the same, wait again.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
            DeadlineError: the deadline came first.
        """

    async def receive(self, *, deadline: float | None = None) -> bytes:
        if not self.may_have_more:
            await self.wait_readable(deadline)
        while (data := self.receive_now()) is None:
            await self.wait_readable(deadline)
        return data

    def receive_blocking(self) -> bytes | None:
        """The next bytes by one call that blocks; None where that is not possible: then `receive` is to be used.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
        """
        return None


class DatagramStream(Stream):
    """A stream that keeps boundaries: what was sent by one call is received by one call, whole.

    `receive` returns one datagram, perhaps an empty one, which is not the end. Without a connection (UDP) a
    `BrokenError` reports once that an earlier datagram was refused, and the stream goes on; so it does after a
    `FrameTooLongError`, for a datagram larger than the receive buffer. `send_eof` sends nothing: it ends our direction
    at this end only.

    Attributes:
        max_size: bytes of the largest datagram that can be sent, as far as it is known in advance.
        is_connectionless: whether the stream can be used after a `BrokenError`.
        dropped_count: datagrams that arrived and were dropped, because they were not received in time.
    """

    __slots__ = ()

    max_size: int
    is_connectionless: bool
    dropped_count: int

    @abstractmethod
    def send_datagram(self, data: bytes | memoryview) -> bool:
        """Send one datagram, whole. False: there is no space for it now, and `wait_writable` waits for some.

        Raises:
            BrokenError, ClosedError: as for `send_now`.
            FrameTooLongError: the system does not take so large a datagram; holds both sizes.
        """

    def receive_nowait(self) -> bytes | None:
        """Return a datagram that is there already; None: there is none, or only the end.

        Raises:
            BrokenError, FrameTooLongError, ClosedError: as `receive`.
        """
        return None

    def send_now(self, data: bytes | memoryview) -> int:
        return len(data) if self.send_datagram(data) else 0

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        while not self.send_datagram(data):
            await self.wait_writable(deadline=deadline)


class MessageStream(Stream):
    """A stream of bytes whose protocol has messages and an end of its own (WebSocket).

    Attributes:
        request: what it was opened with.
        close_code, close_reason: of the end: the peer's, else ours; None and empty before it.
        has_compression: whether messages may be compressed.
        handshake_seconds: how long it took to agree on the protocol.
        silence_limit: seconds after which a peer counts as lost that takes nothing of what is unsent; None: no limit.
    """

    __slots__ = ()

    request: Request
    has_compression: bool
    handshake_seconds: float
    close_code: int | None
    close_reason: str
    silence_limit: float | None

    @abstractmethod
    def attach(
        self,
        write: Callable[[bytes], object],
        refuse: Callable[[StreamError], object],
        cut: Callable[[StreamError], object],
        awaited: Callable[[], int | None],
    ) -> None:
        """Begin to act as a connection's stream.

        Args:
            write: appends what the protocol sends by itself to the batch.
            refuse: takes why no more is sent.
            cut: the same; what is unsent is dropped.
            awaited: returns how many bytes were received; None: no task waits for more.
        """

    @abstractmethod
    def framed(self, framing: Framing) -> Framing:
        """Return the framing of the bytes, each of whose messages is framed by `framing` by itself."""

    @abstractmethod
    def reframe(self, framing: Framing, unread_count: int, /) -> list[Any]:
        """Frame messages in this way from now on; return the last `unread_count` of them so, oldest first."""

    @abstractmethod
    def encode_shared(self, message: Any, known: dict[Any, Any]) -> bytes:
        """Return the bytes of a message that goes to many connections, encoded once for those who encode it alike.

        Args:
            message: of the framing's type.
            known: what the other connections have encoded, by keys of the protocol's own; grows.

        Raises:
            FramingError, TypeError: it cannot be framed.
        """

    @abstractmethod
    def set_close(self, code: int, reason: str = "") -> None:
        """Say this to the peer when our direction is ended; nothing where it was ended already."""

    @abstractmethod
    def choose_close(self, code: int, reason: str) -> None:
        """The same, as a user of the library asks for it.

        Raises:
            OptionError: a close frame of an application cannot say so.
        """
