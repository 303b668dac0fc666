"""Everything that can go wrong, as one tree of plain values.

Two questions are answered by type: *whose fault* was it and *in which phase*. Each class is also a subclass of the
built-in that a careful caller would already catch. The message says what was being done, with whom, which numbers
stood on both sides, and what to try; the fields say the same to a program. Nothing here knows a socket.
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
    """The root: catch this to catch whatever socketkit raises on purpose.

    Attributes:
        message: the text of the error, in one line.
        errno: the system's number where there is one, else None.
        attempts: what became of each candidate that was tried; empty where none was.
    """

    errno: int | None = None
    attempts: tuple[Attempt, ...] = ()

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError keeps `errno` beside its other attributes, and its own way of pickling forgets it.
        facts = {**vars(self), "errno": self.errno} if isinstance(self, OSError) else vars(self)
        return type(self), (self.message,), facts


# --- the caller's fault, before anything is opened -------------------------------------------------------------------


class AddressError(SocketkitError, ValueError):
    """The text is not an address: the message quotes the offending part and says what is allowed."""


class OptionError(SocketkitError, ValueError):
    """An option is unknown, or its value, unit or range is wrong."""


# --- the phase of opening --------------------------------------------------------------------------------------------


class OpenError(SocketkitError, OSError):
    """A conversation could not begin. `errno` is the system's number where there is one, else None."""

    def __init__(self, message: str = "", *, address: str = "", errno: int | None = None) -> None:
        super().__init__(message)
        self.address = address
        self.errno = errno


class ResolveError(OpenError):
    """The name has no address, or nobody could say."""


class ConnectError(OpenError):
    """Nobody answered at any candidate; `attempts` holds each one with its own reason, in the order they were tried."""

    def __init__(
        self, message: str = "", *, address: str = "", errno: int | None = None, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        super().__init__(message, address=address, errno=errno)
        self.attempts = attempts


class ListenError(OpenError):
    """The address could not be bound or listened at."""


class HandshakeError(OpenError):
    """The bytes flow, but the peers did not agree on how to talk."""


# --- bytes that are not messages -------------------------------------------------------------------------------------


class FramingError(SocketkitError, ValueError):
    """The bytes, or a message, do not follow the framing.

    Attributes:
        framing: name of the framing, as `framing.parse` takes it.
        offset: count of bytes of the stream before the faulty frame, None when a message was refused on the way out.
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


# --- the conversation ------------------------------------------------------------------------------------------------


class StreamError(SocketkitError):
    """The conversation itself: ended, closed, lost, or used by two at once."""


class ClosedError(StreamError, OSError):
    """*You* closed it (or its sending direction), then used it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.errno = _errno.EBADF


class BrokenError(StreamError, ConnectionError):
    """*The peer or the network* ended it without a goodbye, or a frame was cut on the wire."""

    def __init__(self, message: str = "", *, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class RejectedError(HandshakeError, BrokenError):
    """The peer has refused us after the conversation had begun for us: in TLS 1.3 a client is done with the handshake
    before the server has judged its certificate. Nothing of what was sent was heard."""


class BusyError(StreamError, RuntimeError):
    """Another task already receives here."""


class EndOfStream(StreamError, EOFError):
    """The peer has said its last word. Sending may still be possible: only one direction has ended."""


def closed_error(peer: str) -> ClosedError:
    """The error of a call on a connection that this end has closed."""
    return ClosedError(f"the connection with {peer} was closed at this end")


def eof_sent_error(peer: str, *, doing: str = "sending to") -> ClosedError:
    """The error of sending after `send_eof`."""
    return ClosedError(f"{doing} {peer}: our direction was ended by send_eof")


def end_of_stream(peer: str) -> EndOfStream:
    """The error of receiving after the peer's end of stream."""
    return EndOfStream(f"{peer} has ended the conversation")


# --- time ------------------------------------------------------------------------------------------------------------


class DeadlineError(SocketkitError, TimeoutError):
    """The moment came before the event. Nothing is lost: the operation may be tried again unless its text says so."""

    def __init__(self, message: str = "", *, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts


class WouldBlock(SocketkitError, BlockingIOError):
    """It cannot be done now without waiting."""
