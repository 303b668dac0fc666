"""Frames that end with a delimiter: split for a whole block at once, and one by one only where something is wrong.

`feed` cuts the bytes behind the last delimiter. If the whole block is within the limit, so is each frame in it, and the
subclass decodes the block in one go. What a frame means (text, JSON, an escape) is the subclass's; the search, the
limit, errors and their offsets are here.
"""

from __future__ import annotations

from typing import Any, ClassVar

from socketkit.errors import FrameTooLongError, FramingError
from socketkit.framing.decoder import FrameDecoder
from socketkit.framing.spec import Limited

__all__ = ["DelimiterCodec"]


class DelimiterCodec(FrameDecoder):
    """The receiving half of a codec whose frames end with one delimiter.

    A subclass decodes a block of whole frames (`_read`). Where the payload is not simply the bytes before the
    delimiter, it also measures and truncates it.
    """

    __slots__ = ("_carry", "_delimiter", "_framing", "_last", "_max_frame_size")

    def __init__(self, framing: Limited, delimiter: bytes, *, max_frame_size: int | None = None) -> None:
        super().__init__(str(framing), max_size=framing.max_size, oversize=framing.oversize)
        self._framing = framing
        self._delimiter = delimiter
        self._last = delimiter[0] if len(delimiter) == 1 else -1  # as `bytes` gives it: cheaper to ask than `endswith`
        self._carry = b""  # while skipping: what may be the beginning of a delimiter
        self._max_frame_size = (
            framing.max_size if max_frame_size is None else max_frame_size
        )  # that a frame within the limit can be

    _ends_with_stream: ClassVar[bool] = True
    """Whether the end of the stream ends a frame as well as a delimiter does."""

    def _read(self, block: bytes) -> list[Any]:
        """Return the messages of a block of whole frames with their delimiters.

        Raises:
            ValueError: something is wrong with some frame; `_problem` describes it.
        """
        raise NotImplementedError

    def _read_last(self, frame: bytes) -> list[Any]:
        """Return the same for a frame that the end of stream has ended."""
        return self._read(frame + self._delimiter)

    def _truncated(self, frame: bytes) -> Any:
        """Return the message of the beginning of an over-long frame: at most `max_size` bytes of payload.

        Raises:
            ValueError: something is wrong with the beginning.
        """
        raise NotImplementedError

    def _payload_size(self, frame: bytes | bytearray) -> int:
        """Return the bytes of payload in a frame, without its delimiter."""
        return len(frame)

    def _is_too_long(self, tail: bytes | bytearray) -> bool:
        """Whether these bytes without a delimiter are too long, whatever follows. Called at each feed: no search."""
        return len(tail) > self._max_frame_size

    def _problem(self, error: ValueError) -> str:
        """Return what is wrong with the one frame that was decoded, and the option that allows it."""
        return str(error)

    portion = 64 * 1024  # a search and a split: 30 ns a message

    def next_cut(self, data: bytes, start: int, size: int) -> int:
        """Behind a whole frame: then no bytes have to be joined to those of the next portion."""
        found = data.find(self._delimiter, start + size - 1)
        return len(data) if found < 0 else found + len(self._delimiter)

    def first_cut(self, data: bytes | bytearray, start: int) -> int:
        delimiter = self._delimiter
        if len(delimiter) > 1 and (self._tail or self._carry):  # it may lie across the end of what is held
            seam = bytes(self._carry or self._tail[1 - len(delimiter) :])
            found = (seam + data[start : start + len(delimiter) - 1]).find(delimiter)
            if found >= 0:
                return start + found + len(delimiter) - len(seam)
        found = data.find(delimiter, start)
        return len(data) if found < 0 else found + len(delimiter)

    def _fresh(self) -> Any:
        return self._framing.codec()

    def feed(self, data: bytes, /) -> list[Any]:
        if type(data) is not bytes:
            data = bytes(data)  # a view of a buffer that its owner will use again
        if self._unusual:
            data = self._resume(data)
        if not self._tail and 0 < len(data) <= self._max_size and data[-1] == self._last:
            # Whole frames and nothing else, as mostly; below the same is done at twice the price (of one line).
            try:
                messages = self._read(data)
            except ValueError:
                return self._feed_carefully(data, b"")
            self._consumed = data
            self._consumed_size = size = len(data)
            self.offset += size
            return messages
        end = data.rfind(self._delimiter) + 1
        return self._feed_whole(data, end) if end else self._feed_part(data)

    def _feed_whole(self, data: bytes, end: int) -> list[Any]:
        """Take data in which the last whole frame ends here."""
        tail = self._tail
        block = b"".join((tail, data[:end])) if tail else data[:end]
        rest = data[end:]
        if len(block) + len(rest) > self._max_size:
            return self._feed_long(block, rest)
        try:
            messages = self._read(block)
        except ValueError:
            return self._feed_carefully(block, rest)
        self._consumed = block
        self._consumed_size = size = len(block)
        self._tail = rest
        self.offset += size
        return messages

    def _take(self, block: bytes, size: int, rest: bytes) -> None:
        """Record that so many bytes of the block became messages (or nothing, where empty frames mean nothing)."""
        self._consumed = block
        self._consumed_size = size
        self._tail = rest
        self.offset += size

    def _feed_part(self, data: bytes) -> list[Any]:
        """Take data that ends no frame."""
        self._append(data)
        return self._checked([])

    def _feed_long(self, block: bytes, rest: bytes) -> list[Any]:
        """Take a block that is longer than a frame may be: perhaps no frame in it is."""
        if max(map(len, block.split(self._delimiter))) > self._max_size:
            return self._feed_carefully(block, rest)
        try:
            messages = self._read(block)
        except ValueError:
            return self._feed_carefully(block, rest)
        self._take(block, len(block), rest)
        return self._checked(messages)

    def _feed_carefully(self, block: bytes, rest: bytes) -> list[Any]:
        """Take a block with something wrong in it: frame by frame, up to the first error."""
        messages: list[Any] = []
        size = 0
        frames = block.split(self._delimiter)
        frames.pop()
        for frame in frames:
            try:
                messages += self._read_frame(frame, self.offset + size)
            except ValueError as error:
                self._take(block, size, block[size:] + rest)
                self._set_fault(self._as_fault(error))
                return self._checked(messages)
            size += len(frame) + len(self._delimiter)
        self._take(block, size, rest)
        return self._checked(messages)

    def _read_frame(self, frame: bytes, offset: int) -> list[Any]:
        """Return the messages of one frame: mostly one, none when it is skipped.

        Raises:
            ValueError: something is wrong with it.
        """
        size = self._payload_size(frame)
        if size <= self._max_size and len(frame) <= self._max_frame_size:
            return self._read(frame + self._delimiter)
        return self._shortened(frame, self._too_long(offset, max(size, self._max_size + 1)))

    def _shortened(self, frame: bytes, error: FrameTooLongError) -> list[Any]:
        """Return what is left of an over-long frame."""
        if self._is_fatal(error.size):
            raise error
        messages = [self._truncated(frame)] if self._oversize == "truncate" else []
        self._report(error)
        return messages

    def _checked(self, messages: list[Any]) -> list[Any]:
        """Check whether the tail is too long already. Then return the messages, or raise the error."""
        if self.fault is None and len(self._tail) > self._max_size and self._is_too_long(self._tail):
            self._skip_tail(messages)
        if self.fault is not None and not messages:
            raise self.fault
        return messages

    def _skip_tail(self, messages: list[Any]) -> None:
        """Refuse a tail that is too long, or drop it and skip what follows up to the delimiter."""
        tail = bytes(self._tail)
        try:
            size = max(self._payload_size(tail), self._max_size + 1)
            messages += self._shortened(tail, self._too_long(self.offset, size, at_least=True))
        except ValueError as error:
            self._set_fault(self._as_fault(error))
            return
        self._skipping = 1
        self._carry = self._end_of(tail)
        self._tail = b""
        self.offset += len(tail)

    def _skip(self, data: bytes) -> bytes:
        seen = self._carry + data
        end = seen.find(self._delimiter) + len(self._delimiter)
        if end < len(self._delimiter):
            self._carry = self._end_of(seen)
            self.offset += len(data)
            return b""
        end -= len(self._carry)
        self._skipping = 0
        self._carry = b""
        self.offset += end
        return data[end:]

    def _end_of(self, data: bytes) -> bytes:
        """Return as much of the end of this data as may be the beginning of a delimiter."""
        return data[max(len(data) - len(self._delimiter) + 1, 0) :]

    def _as_fault(self, error: ValueError) -> FramingError:
        if isinstance(error, FramingError):
            return error
        return self._malformed(self.offset, self._problem(error))

    def feed_eof(self) -> list[Any]:
        tail = self._eof()
        if not self._ends_with_stream and (tail or self._skipping):
            self._fail_truncated(tail, "and its end is missing")
        self._skipping = 0
        if not tail:
            return []
        try:
            size = self._payload_size(tail)
            if size > self._max_size:
                messages = self._shortened(tail, self._too_long(self.offset, size))
            else:
                messages = self._read_last(tail)
        except ValueError as error:
            self._fail(self._as_fault(error))
        self._tail = b""
        self.offset += len(tail)
        return messages
