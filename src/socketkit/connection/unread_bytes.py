"""Bytes that were read from the stream and are decoded on demand: a buffer with a read position.

What a verb for bytes asks for is a `Wanted`: it says whether the bytes are there, and what the end of the stream means
to it. Knows no socket and no clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import index
from typing import Any

from socketkit.config.option_types import format_size, parse_size
from socketkit.errors import EndOfStream, FrameTooLongError, OptionError, SocketkitError, TruncatedFrameError
from socketkit.framing.codec import ConnectionCodec

__all__ = ["Exactly", "Peek", "UnreadBytes", "Until", "Wanted"]


_PASSED_SIZE = 64 * 1024
"""Bytes that were received and are still held, at most, so that not each call moves those behind them."""


class UnreadBytes:
    """The bytes between the last message, or the last bytes, that were received and the last byte that was read.

    Attributes:
        offset: bytes of the stream before the first one that is held.
    """

    __slots__ = ("_at", "_data", "offset")

    def __init__(self, data: bytes, offset: int) -> None:
        self._data: bytes | bytearray = data
        self._at = 0
        self.offset = offset

    def __len__(self) -> int:
        return len(self._data) - self._at

    def append(self, data: bytes) -> None:
        """Hold more bytes behind these, in time proportional to them."""
        if len(self._data) == self._at:
            self._data, self._at = bytes(data), 0
            return
        if type(self._data) is bytes:
            self._data, self._at = bytearray(memoryview(self._data)[self._at :]), 0
        self._data += data

    def push_back(self, data: bytes) -> None:
        """Hold bytes in front of these: the last ones that were passed."""
        if not data:
            return
        self.offset -= len(data)
        if self._data[max(self._at - len(data), 0) : self._at] == data:
            self._at -= len(data)
        else:
            self._data, self._at = data + self._data[self._at :], 0

    def peek(self, size: int) -> bytes:
        """Return the first bytes, at most so many."""
        data, at = self._data, self._at
        return data[at : at + size] if type(data) is bytes else bytes(memoryview(data)[at : at + size])

    def take(self, size: int) -> bytes:
        """Remove and return the first bytes; so many are there."""
        data = self.peek(size)
        self._pass(self._at + size)
        return data

    def find(self, mark: bytes, start: int, end: int) -> int:
        """Return where the mark begins between these two, counted from the first byte; -1: nowhere."""
        found = self._data.find(mark, self._at + start, self._at + end)
        return found if found < 0 else found - self._at

    def decode_first(self, codec: ConnectionCodec) -> list[Any]:
        """Feed the codec up to the end of the first message; return the message, if one is whole."""
        messages, end = codec.feed_first(self._data, self._at)
        self._pass(end)
        return messages

    def skip_blank(self, codec: ConnectionCodec) -> None:
        """Pass what still belongs to the last message."""
        self._pass(codec.skip_blank(self._data, self._at))

    def clear(self) -> None:
        """Pass all of it."""
        self._pass(len(self._data))

    def _pass(self, at: int) -> None:
        self.offset += at - self._at
        if at == len(self._data):
            self._data, self._at = b"", 0
        elif at >= _PASSED_SIZE and type(self._data) is bytearray:
            del self._data[:at]
            self._at = 0
        else:
            self._at = at


class Wanted(ABC):
    """What a verb for bytes waits for. `verb` is its name, for errors."""

    __slots__ = ()
    verb = ""

    @abstractmethod
    def find(self, unread: UnreadBytes) -> bytes | None:
        """Return the bytes, taken where the verb takes them; None: more have to be read first.

        Raises:
            FrameTooLongError: they are not within the limit; nothing is taken.
        """

    def at_end(self, unread: UnreadBytes, end: SocketkitError) -> bytes:
        """Return or raise what becomes of it where no more bytes will be read.

        Raises:
            TruncatedFrameError: the stream has ended within the bytes that are waited for; nothing is taken.
            SocketkitError: what has ended the stream.
        """
        if isinstance(end, EndOfStream) and len(unread):
            raise TruncatedFrameError(
                f"{self.verb}: the stream ended at offset {unread.offset + len(unread)}, {self.missing(len(unread))}; "
                "peek and a shorter receive_exactly still return them",
                offset=unread.offset,
                partial=unread.peek(len(unread)),
            )
        raise end.with_traceback(None)

    def missing(self, size: int) -> str:
        """Return what was missing when only so many bytes came."""
        raise NotImplementedError

    @property
    @abstractmethod
    def nothing(self) -> str:
        """What did not come, for the error of a deadline."""


class Exactly(Wanted):
    """So many bytes."""

    __slots__ = ("_size",)
    verb = "receive_exactly"

    def __init__(self, size: int | str) -> None:
        self._size = _checked_size(size, self.verb)

    def find(self, unread: UnreadBytes) -> bytes | None:
        return unread.take(self._size) if len(unread) >= self._size else None

    def missing(self, size: int) -> str:
        return f"with {size} of {self._size} bytes"

    @property
    def nothing(self) -> str:
        return f"not {self._size} bytes"


class Peek(Wanted):
    """So many bytes, which stay."""

    __slots__ = ("_size",)
    verb = "peek"

    def __init__(self, size: int | str) -> None:
        self._size = _checked_size(size, self.verb)

    def find(self, unread: UnreadBytes) -> bytes | None:
        return unread.peek(self._size) if len(unread) >= self._size else None

    def at_end(self, unread: UnreadBytes, end: SocketkitError) -> bytes:
        if unread:
            return unread.peek(len(unread))
        raise end.with_traceback(None)

    @property
    def nothing(self) -> str:
        return f"not {self._size} bytes to peek at"


class Until(Wanted):
    """The bytes before a mark, which is taken too."""

    __slots__ = ("_mark", "_max_size", "_searched")
    verb = "receive_until"

    def __init__(self, mark: bytes | bytearray | memoryview, max_size: int | str) -> None:
        if not isinstance(mark, (bytes, bytearray, memoryview)):
            raise TypeError(f"{self.verb}: the mark is bytes, not {type(mark).__name__}")
        self._mark = bytes(mark)
        if not self._mark:
            raise OptionError(f"{self.verb}: the mark is empty; give at least one byte")
        self._max_size = _checked_size(max_size, self.verb, "max_size")
        self._searched = 0  # no mark begins before

    def find(self, unread: UnreadBytes) -> bytes | None:
        most = self._max_size + len(self._mark)
        found = unread.find(self._mark, self._searched, most)
        if found >= 0:
            return unread.take(found + len(self._mark))[:found]
        if len(unread) >= most:
            raise FrameTooLongError(
                f"{self.verb}: {self._mark!r} does not come within max_size={format_size(self._max_size)} "
                f"({self._max_size} bytes) from offset {unread.offset}; nothing was taken; allow more with max_size=",
                offset=unread.offset,
                size=self._max_size + 1,
                max_size=self._max_size,
            )
        self._searched = max(len(unread) - len(self._mark) + 1, 0)
        return None

    def missing(self, size: int) -> str:
        return f"with {size} bytes and without {self._mark!r}"

    @property
    def nothing(self) -> str:
        return f"no {self._mark!r}"


def _checked_size(size: int | str, verb: str, name: str = "size") -> int:
    """Return a count of bytes.

    Raises:
        OptionError: it is negative.
        TypeError: it is no integer.
    """
    if type(size) is int and size >= 0:
        return size
    if isinstance(size, str):
        return parse_size(size, name=f"{verb}: {name}")
    if isinstance(size, bool):
        raise TypeError(f"{verb}: {name} is a count of bytes, not a bool")
    number = index(size)
    if number < 0:
        raise OptionError(f"{verb}: {name}={number}; allowed are 0 bytes and more")
    return number
