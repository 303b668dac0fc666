"""The promise of every stream: bytes that move, in order, in two directions that end one by one.

A stream knows no message. Whatever moves bytes (a socket, a pair in memory, TLS over another stream) keeps this
promise, and one suite of tests holds it to it. A stream that keeps boundaries (datagrams, packets) promises more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from socketkit.engines.engine import Engine

if TYPE_CHECKING:
    import socket

    from socketkit.events import TlsFacts

    Socket = socket.socket

__all__ = ["DatagramStream", "ReadyStream", "Stream"]


class Stream(ABC):
    """Bytes in two directions.

    Attributes:
        engine: where its verbs wait.
        local: our end's address, as text.
        peer: the other end's address, as text.
        has_unsent: whether bytes that `send_now` took are still held here, encoded, because the system had no room;
            `wait_writable` hands them over. Only streams that encode (TLS) hold any, and never without bound.

    Concurrency: one task receives while one sends; two in the same direction are the caller's mistake, and the
    connection above sees to it.
    """

    __slots__ = ()

    engine: Engine
    local: str
    peer: str

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

    @abstractmethod
    async def receive(self, *, deadline: float | None = None) -> bytes:
        """The next bytes, as soon as there are any: at least one, at most what one system call brings.

        Raises:
            EndOfStream: the peer has ended its direction, and everything before was received. Stays so.
            BrokenError: the conversation was lost (a reset, a time-out of the system). Stays so.
            ClosedError: this end was closed, before or meanwhile.
            DeadlineError: the moment came first.

        Cancellation: no byte is lost; the next call sees them.
        """

    @abstractmethod
    def send_now(self, data: bytes | memoryview) -> int:
        """Hand over as much as can be taken without waiting; the number of bytes that were taken, perhaps 0.

        Raises:
            BrokenError: nobody will read it: the conversation was lost.
            ClosedError: this end, or its sending direction, was closed.
        """

    @abstractmethod
    async def wait_writable(self, *, deadline: float | None = None) -> None:
        """Wait until nothing is held here and `send_now` would take something, or raise.

        Raises:
            BrokenError, ClosedError: as for `send_now`, where something was held.
            DeadlineError: the moment came first.
        """

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        """Hand over all of it.

        Raises:
            BrokenError, ClosedError: as for `send_now`.
            DeadlineError: the moment came first; some of it may have been sent.

        Cancellation: some of it may have been sent: only a stream that is closed next is of use then.
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
        """Whether bytes that `send_now` took are still held here; see above."""
        return False

    @abstractmethod
    async def send_eof(self, *, deadline: float | None = None) -> None:
        """End our direction: the peer sees the end after all that was sent. Receiving goes on. Harmless twice.

        Raises:
            BrokenError: the conversation was lost.
            ClosedError: this end was closed.
            DeadlineError: the moment came first (streams that have a goodbye of their own to send).
        """

    @abstractmethod
    def stop_receiving(self) -> None:
        """End the peer's direction from our side: what has arrived is still received, then comes `EndOfStream`; a
        waiting `receive` wakes up for it. Never raises."""

    @abstractmethod
    def close(self) -> None:
        """Let go, at once, in both directions; what was handed over is still delivered where the system can do so.
        A waiting call raises `ClosedError`. Harmless twice; never raises."""

    async def finish(self, *, deadline: float | None = None) -> None:
        """Let go in good order: as `close`, after the goodbye that only this kind of stream has to say and to wait for
        (a child's end, say). Returns when it is closed, at the deadline or soon after, whatever the other end does.

        Cancellation: it is aborted.
        """
        self.close()

    @abstractmethod
    def abort(self) -> None:
        """Let go without a goodbye (a reset, where there is one): what was handed over may be lost. Never raises."""


class ReadyStream(Stream):
    """A stream that also receives in two steps: `receive`, without a coroutine for each portion.

    Attributes:
        may_have_more: whether `receive_now` is worth a try. Else the last one took all that was there: wait first.
    """

    __slots__ = ()

    may_have_more: bool

    @abstractmethod
    def receive_now(self) -> bytes | None:
        """The next bytes, as `receive` gives them; None: there are none now.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
        """

    @abstractmethod
    def wait_readable(self, deadline: float | None = None) -> Awaitable[None]:
        """Wait until `receive_now` has something to say. It may be None all the same: wait again.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
            DeadlineError: the moment came first.
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

    `receive` gives one datagram, perhaps an empty one, which is not the end. Without a connection (UDP) a `BrokenError`
    tells of an earlier datagram that was refused, once, and the stream goes on; so does a `FrameTooLongError`, of a
    datagram larger than the receive buffer. There is no goodbye on the wire: `send_eof` ends our direction here alone.

    Attributes:
        max_size: bytes of the largest datagram that can be sent, as far as it is known before.
        is_connectionless: whether the stream outlives a `BrokenError`.
        dropped_count: datagrams that came and were dropped, because nobody received them in time.
    """

    __slots__ = ()

    max_size: int
    is_connectionless: bool
    dropped_count: int

    @abstractmethod
    def send_datagram(self, data: bytes | memoryview) -> bool:
        """Hand over one datagram, whole; False: there is no room for it now, and `wait_writable` waits for some.

        Raises:
            BrokenError, ClosedError: as for `send_now`.
            FrameTooLongError: the system does not take so large a datagram; tells both sizes.
        """

    def send_now(self, data: bytes | memoryview) -> int:
        return len(data) if self.send_datagram(data) else 0

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        while not self.send_datagram(data):
            await self.wait_writable(deadline=deadline)
