"""The state that every codec of this package shares: the bytes of a partial frame, the error, what can be given back.

A codec is between messages, inside a frame (its bytes are held), skipping the rest of an over-long frame (nothing is
held), or faulty (for good). Where a frame begins and ends is known to the subclasses alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NoReturn

from socketkit.config.option_types import format_size
from socketkit.errors import FrameTooLongError, FramingError, TruncatedFrameError
from socketkit.framing.codec import ConnectionCodec
from socketkit.framing.spec import Limited

__all__ = ["FrameDecoder", "as_bytes", "as_bytes_list", "check_sizes", "wrong_type"]

_MAX_SKIPPED_SIZE = 2**63
"""A length from here on is an error whatever `oversize` is: no file and no counter of the system can hold it."""


class FrameDecoder(ConnectionCodec):
    """The receiving state of one connection's codec.

    Attributes:
        offset: bytes of the stream before the first one in `_tail`.
        fault: what every later feed will raise, or None.
    """

    __slots__ = (
        "_at_eof",
        "_consumed",
        "_consumed_size",
        "_faults",
        "_max_size",
        "_oversize",
        "_skipping",
        "_tail",
        "_text",
        "_unusual",
        "fault",
        "offset",
    )

    _policies = "skip or truncate"
    """Values of `oversize` that go on behind an over-long frame."""

    _drops_blank: ClassVar[bool] = False
    """Whether there are frames that mean nothing, and make no message."""

    def __init__(self, text: str, *, max_size: int, oversize: str) -> None:
        self.offset = 0
        self._text = text
        self._max_size = max_size
        self._oversize = oversize
        self._tail: bytes | bytearray = b""  # the bytes of a frame that is not whole; a bytearray while they grow
        self._consumed = b""  # its first `_consumed_size` bytes became the messages of the last feed
        self._consumed_size = 0
        self._at_eof = False  # the last call was `feed_eof`, and its message was ended by the stream's end
        self._unusual = False  # one of the three below is set: so the usual feed checks one attribute only
        self.fault: FramingError | None = None
        self._faults: Sequence[FrameTooLongError] = ()
        self._skipping = 0  # bytes of an over-long frame that are still to be skipped

    @property
    def buffered(self) -> int:
        return len(self._tail) or min(self._skipping, 1)

    @property
    def is_skipping(self) -> bool:
        return bool(self._skipping)

    def take_faults(self) -> list[FrameTooLongError]:
        faults, self._faults = self._faults, ()
        return list(faults)

    def take_rest(self, unread: int = 0, /) -> bytes:
        if self._skipping:
            raise FramingError(
                f"{self._text}: what follows cannot be read in another framing: an over-long frame is being "
                f"skipped at offset {self.offset} (oversize={self._oversize})",
                framing=self._text,
                offset=self.offset,
            )
        consumed = self._consumed[: self._consumed_size]
        is_exact = not unread and (self._at_eof or (self._oversize == "fail" and not self._drops_blank))
        position = len(consumed) if is_exact or not consumed else self._find_unread(consumed, unread)
        rest = consumed[position:] + self._tail
        self.offset += position - len(consumed)
        self._tail = self._consumed = b""
        self._consumed_size = 0
        self.fault = None
        return rest

    def release(self) -> None:
        self._consumed = b""
        self._consumed_size = 0

    def _find_unread(self, consumed: bytes, unread: int) -> int:
        """Return where, in the bytes of the last messages, the first of those that were not received begins."""
        if self._at_eof and unread == 1 and consumed:
            return 0
        stream = consumed + self._tail

        def count(size: int) -> int:
            """Return how many messages so many bytes make whole. (Non-decreasing: hence the bisection.)"""
            again = self._fresh()
            return len(again.feed(stream[:size])) - (1 if again._skipping and self._oversize == "truncate" else 0)

        keep = count(len(stream)) - unread
        if keep == 0 == unread:
            return len(consumed)
        if keep < 0 or self._at_eof:
            raise ValueError(f"{self._text}: the last call returned fewer than {unread} messages whose bytes are there")
        again = self._fresh()
        again.feed(stream[: bisect_left(range(len(stream)), keep, key=count)])
        position: int = again.offset  # not that size: the end of a number shows only with the next byte
        return position

    def _fresh(self) -> Any:
        """Return a codec like this one, at the start of a stream."""
        raise NotImplementedError

    def _resume(self, data: bytes) -> bytes:
        """Begin a feed when something is unusual; return what of the data is to be decoded."""
        self._consumed, self._consumed_size, self._at_eof = b"", 0, False
        if self.fault is not None:
            raise self.fault.with_traceback(None)
        self._faults = ()
        if self._skipping:
            data = self._skip(data)
        self._unusual = bool(self._skipping)
        return data

    def _skip(self, data: bytes) -> bytes:
        """Drop the bytes of the over-long frame; return those behind it."""
        size = min(self._skipping, len(data))
        self._skipping -= size
        self.offset += size
        return data[size:]

    def _append(self, data: bytes) -> None:
        """Hold data that completes no frame, in time proportional to the data alone."""
        if type(self._tail) is bytes:
            self._tail = bytearray(self._tail)
        self._tail += data
        self._consumed = b""
        self._consumed_size = 0

    def _eof(self) -> bytes:
        """Begin a `feed_eof`; return the bytes of the partial frame."""
        if self._unusual:
            self._resume(b"")
        self._consumed, self._consumed_size, self._at_eof = bytes(self._tail), len(self._tail), True
        return bytes(self._tail)

    def _fail_truncated(self, tail: bytes, missing: str) -> NoReturn:
        """Raise: the stream has ended inside a frame."""
        passed = " of an over-long frame" if self._skipping else ""
        self._fail(
            TruncatedFrameError(
                f"{self._text}: the stream ended inside a frame{passed} at offset {self.offset}: "
                f"{len(tail)} bytes of it came, {missing}",
                framing=self._text,
                offset=self.offset,
                partial=tail,
            )
        )

    def _fail(self, fault: FramingError) -> NoReturn:
        """Be faulty from here on, and raise."""
        self._set_fault(fault)
        raise fault

    def _set_fault(self, fault: FramingError) -> None:
        """Be faulty from here on; the next call raises."""
        self.fault = fault
        self._unusual = True

    def _report(self, fault: FrameTooLongError) -> None:
        """Record that an over-long frame was skipped or truncated."""
        self._faults = [*self._faults, fault]
        self._unusual = True

    def _malformed(self, offset: int, problem: str) -> FramingError:
        """Return the error for bytes that do not follow the framing."""
        return FramingError(f"{self._text}: {problem} at offset {offset}", framing=self._text, offset=offset)

    def _too_long(self, offset: int, size: int, *, at_least: bool = False) -> FrameTooLongError:
        """Return the error for a frame over the limit."""
        return FrameTooLongError(
            f"{self._text}: a frame of {'at least ' if at_least else ''}{size} bytes at offset {offset} is over "
            f"max_size={format_size(self._max_size)} ({self._max_size} bytes); "
            f"allow it with max_size=, or pass it over with oversize={self._policies}",
            framing=self._text,
            offset=offset,
            size=size,
            max_size=self._max_size,
        )

    def _is_fatal(self, size: int) -> bool:
        """Whether a frame of this size is an error for good: by `oversize`, or by its size."""
        return self._oversize == "fail" or size >= _MAX_SKIPPED_SIZE


def check_sizes(framing: Limited, messages: Sequence[Any], measure: Callable[[Any], int] = len) -> None:
    """Refuse to send a message over the limit.

    Raises:
        FrameTooLongError: for the first one.
    """
    for index, message in enumerate(messages):
        size = measure(message)
        if size > framing.max_size:
            raise FrameTooLongError(
                f"{framing}: message {index} has {size} bytes, over max_size={format_size(framing.max_size)} "
                f"({framing.max_size} bytes); nothing was encoded; allow it with max_size=",
                framing=str(framing),
                size=size,
                max_size=framing.max_size,
            )


def as_bytes(message: object, framing: str) -> bytes:
    """Return the message as `bytes`, copied where it is a bytearray or a view.

    Raises:
        TypeError: it is not bytes-like.
    """
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    raise wrong_type(framing, f"a bytes-like object is required, not {type(message).__name__}")


def as_bytes_list(messages: Iterable[object], framing: str) -> list[bytes]:
    """Return all messages as `bytes`."""
    return [message if type(message) is bytes else as_bytes(message, framing) for message in messages]


def wrong_type(framing: str, reason: object) -> TypeError:
    """Return the error for a message of another type than bytes, with the remedy."""
    return TypeError(
        f"{framing} sends bytes: {reason}; encode text first ('...'.encode()), or use framing='lines' for text"
    )
