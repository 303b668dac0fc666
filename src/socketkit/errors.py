"""All errors that socketkit raises on purpose, as one tree of plain values.

The type answers two questions: whose fault it was, and in which phase. Each class is also a subclass of the built-in
exception that careful code already catches. The message says what was being done, with which peer, which numbers were
compared, and what to try; the fields hold the same for programs.
"""

from __future__ import annotations

import errno as _errno
from typing import Any

from socketkit.values import Value

__all__ = [
    "AddressError",
    "Attempt",
    "BrokenError",
    "BusyError",
    "ClosedError",
    "ConnectError",
    "DeadlineError",
    "EndOfStream",
    "FrameTooLongError",
    "FramingError",
    "HandshakeError",
    "ListenError",
    "OpenError",
    "OptionError",
    "RejectedError",
    "ResolveError",
    "SocketkitError",
    "StreamError",
    "TruncatedFrameError",
    "WouldBlock",
]


class Attempt(Value):
    """One candidate that was tried: where, and what came of it (a sentence, and the system's number)."""

    address: str
    reason: str
    errno: int | None = None

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


class SocketkitError(Exception):
    """The root: catch this to catch every error that socketkit raises on purpose.

    Attributes:
        message: the text of the error, in one line.
        errno: the system's number where there is one, else None.
        attempts: what became of each candidate that was tried; empty where none was.
        close_code, close_reason: how a WebSocket was closed, by the peer or (a `FramingError`) by us (RFC 6455, 7.4);
            1005: without a code, 1006: without a close frame. None and empty on all other connections.
    """

    errno: int | None = None
    attempts: tuple[Attempt, ...] = ()
    close_code: int | None = None
    close_reason: str = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError keeps `errno` beside its other attributes, and its own way of pickling forgets it.
        facts = {**vars(self), "errno": self.errno} if isinstance(self, OSError) else vars(self)
        return type(self), (self.message,), facts


class AddressError(SocketkitError, ValueError):
    """The text is not an address: the message quotes the offending part and says what is allowed."""


class OptionError(SocketkitError, ValueError):
    """An option is unknown, or its value, unit or range is wrong."""


class OpenError(SocketkitError, OSError):
    """A connection or listener could not be opened. `errno` is the system's number where there is one, else None."""

    def __init__(self, message: str = "", *, address: str = "", errno: int | None = None) -> None:
        super().__init__(message)
        self.address = address
        self.errno = errno


class ResolveError(OpenError):
    """The name has no address, or the resolver could not answer."""


class ConnectError(OpenError):
    """No candidate could be connected to; `attempts` holds each one with its reason, in the order they were tried."""

    def __init__(
        self, message: str = "", *, address: str = "", errno: int | None = None, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, address=address, errno=errno)
        self.attempts = attempts


class ListenError(OpenError):
    """The address could not be bound or listened at."""


class HandshakeError(OpenError):
    """The transport is connected, but the handshake on it (TLS, PROXY, WebSocket) failed.

    Attributes:
        status: the HTTP status of a WebSocket that was refused; else None.
    """

    status: int | None = None


class FramingError(SocketkitError, ValueError):
    """The bytes, or a message, do not follow the framing.

    Attributes:
        framing: name of the framing, as `framing.parse` takes it.
        offset: count of bytes of the stream before the faulty frame; None for a message that was not sent.
    """

    def __init__(self, message: str = "", *, framing: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.framing = framing
        self.offset = offset


class FrameTooLongError(FramingError):
    """A frame is longer than `max_size`; `size` is what was seen or announced (at least), both in bytes of payload."""

    def __init__(
        self, message: str = "", *, framing: str = "", offset: int | None = None, size: int = 0, max_size: int = 0
    ) -> None:
        super().__init__(message, framing=framing, offset=offset)
        self.size = size
        self.max_size = max_size


class TruncatedFrameError(FramingError):
    """The stream ended inside a frame; `partial` holds the bytes of it that came."""

    def __init__(
        self, message: str = "", *, framing: str = "", offset: int | None = None, partial: bytes = b""
    ) -> None:
        super().__init__(message, framing=framing, offset=offset)
        self.partial = partial


class StreamError(SocketkitError):
    """The open connection: ended, closed, lost, or used by two tasks at once."""


class ClosedError(StreamError, OSError):
    """*You* closed it (or its sending direction), then used it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.errno = _errno.EBADF


class BrokenError(StreamError, ConnectionError):
    """*The peer or the network* ended it without an orderly close (a reset, a time-out), or within a frame."""

    def __init__(self, message: str = "", *, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class RejectedError(HandshakeError, BrokenError):
    """The peer has refused us after our handshake was done: in TLS 1.3 a client finishes before the server has checked
    its certificate. Nothing of what was sent was processed."""


class BusyError(StreamError, RuntimeError):
    """Another task already receives here."""


class EndOfStream(StreamError, EOFError):
    """The peer has ended its direction. Sending may still be possible: only one direction has ended."""


def closed_error(peer: str) -> ClosedError:
    """The error of a call on a connection that this end has closed."""
    return ClosedError(f"the connection with {peer} was closed at this end")


def forked_error(peer: str) -> ClosedError:
    """The error of a call in a child of fork(2) on a connection of its parent."""
    return ClosedError(
        f"the connection with {peer} was opened before fork(2), and is the parent's: this process can only close its"
        " copy; open one after the fork"
    )


def eof_sent_error(peer: str, *, doing: str = "sending to") -> ClosedError:
    """The error of sending after `send_eof`."""
    return ClosedError(f"{doing} {peer}: our direction was ended by send_eof")


def end_of_stream(peer: str) -> EndOfStream:
    """The error of receiving after the peer's end of stream."""
    return EndOfStream(f"{peer} has ended the conversation")


class DeadlineError(SocketkitError, TimeoutError):
    """The deadline came before the event. The operation may be tried again, unless the text says what was lost."""

    def __init__(self, message: str = "", *, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts


class WouldBlock(SocketkitError, BlockingIOError):
    """The operation would block."""
