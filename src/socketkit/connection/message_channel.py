"""The messages of a WebSocket as a stream of datagrams, for a tunnel: bytes go in and come out as messages.

The connection below frames, waits and answers pings, and counts and reports its own bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from socketkit.connection.connection import Connection
from socketkit.errors import EndOfStream, FramingError
from socketkit.framing import of as framing_of
from socketkit.streams.stream import DatagramStream, MessageStream
from socketkit.values import replace

if TYPE_CHECKING:
    import socket

    Socket = socket.socket

__all__ = ["MessageChannel", "TextMessage", "messages_as_they_are"]


@contextmanager
def messages_as_they_are(connection: Connection[Any]) -> Iterator[None]:
    """Leave the messages of a connection to a channel for a while: neither its framing nor its idle timeout holds.
    Messages that were not received are framed anew, then and afterwards."""
    internals = connection.internals
    framing = internals.framing
    internals.receiver.use(internals.stream, replace(internals.options, idle_timeout=None))
    internals.reframe(framing_of("chunks"))
    try:
        yield
    finally:
        if not connection.is_closed:
            internals.reframe(framing)
            internals.receiver.use(internals.stream, internals.options)


class TextMessage(bytes):
    """The bytes of a text message: a channel that they are sent to sends them as text again."""


class MessageChannel(DatagramStream):
    """One end of a tunnel: a connection whose messages are text or bytes.

    Args:
        connection: is used by this channel alone; it is closed and aborted by its owner.
        is_text: whether bytes are sent as text. A character may be cut between two calls of `send`: what is not whole
            waits for the next. Else they are sent as binary messages, but a `TextMessage` as text.
        joins: whether what has come together is received together: the other end has no boundaries.

    Attributes:
        other: gets the code and the reason of the peer's close frame as its own; None: nobody does.
    """

    __slots__ = ("_connection", "_joins", "_lock", "_utf8", "engine", "local", "other", "peer")

    max_size = 1 << 62
    is_connectionless = False
    dropped_count = 0

    def __init__(self, connection: Connection[Any], *, is_text: bool = False, joins: bool = False) -> None:
        self._connection = connection
        self._utf8 = codecs.getincrementaldecoder("utf-8")() if is_text else None
        self._joins = joins
        self.other: MessageChannel | None = None
        self.engine = connection.engine
        self._lock: AbstractContextManager[object] = nullcontext()
        if self.engine.blocks:  # the thread that receives answers pings, while another one sends
            self._lock = connection.internals.lock_sending()
        self.local = connection.internals.stream.local
        self.peer = connection.internals.peer

    @property
    def socket(self) -> Socket | None:
        return self._connection.internals.stream.socket

    @property
    def has_unsent(self) -> bool:
        return self._connection.internals.session.has_unsent

    async def receive(self, *, deadline: float | None = None) -> bytes:
        """The next message; of joined ones, all that have come.

        Raises:
            FramingError: the peer has broken the protocol. Otherwise as `Stream.receive`.
        """
        timeout = None if deadline is None else deadline - self.engine.now()
        try:
            if self._joins:
                return b"".join(map(_as_bytes, await self._connection.receive_many(timeout=timeout)))
            return _as_bytes(await self._connection.receive(timeout=timeout))
        except EndOfStream as end:
            if self.other is not None and end.close_code is not None:
                self.other.set_close(end.close_code, end.close_reason)
            raise

    def set_close(self, code: int, reason: str) -> None:
        """Have our close frame say this."""
        stream = self._connection.internals.stream
        assert isinstance(stream, MessageStream)
        stream.set_close(code, reason)

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        """Send it as one message, and wait until the system has taken it.

        Raises:
            FramingError: it is to be text, and is no UTF-8. Otherwise as `Stream.send`.
        """
        message = self._message(data)
        if message is None:
            return
        with self._lock:
            await self._connection.send(message)
            if self.has_unsent:
                await self._connection.flush()

    def _message(self, data: bytes | memoryview) -> str | bytes | memoryview | None:
        """What to send for these bytes; None: nothing so far."""
        if isinstance(data, TextMessage):
            return data.decode()
        if self._utf8 is None:
            return data
        if not data:
            return ""
        try:
            return self._utf8.decode(data) or None
        except UnicodeDecodeError as error:
            raise FramingError(f"what is to be sent to {self.peer} as text is not UTF-8: {error.reason}") from None

    def send_datagram(self, data: bytes | memoryview) -> bool:
        message = self._message(data)
        if message is not None:
            with self._lock:
                self._connection.send(message)
        return True

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        await self._connection.flush()

    async def send_eof(self, *, deadline: float | None = None) -> None:
        """End our direction: the peer gets a close frame.

        Raises:
            FramingError: it is to be text, and ends amid a character. Otherwise as `Stream.send_eof`.
        """
        if self._utf8 is not None and self._utf8.getstate()[0]:
            raise FramingError(f"what is to be sent to {self.peer} as text ends amid a character")
        with self._lock:
            await self._connection.send_eof()

    def stop_receiving(self) -> None:
        self._connection.stop_receiving()

    def close(self) -> None:
        self._connection.internals.stream.close()

    def abort(self) -> None:
        self._connection.abort()


def _as_bytes(message: Any) -> bytes:
    return TextMessage(message.encode()) if isinstance(message, str) else message
