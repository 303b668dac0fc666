"""Frames that begin with their size: a header with a number, the payload, perhaps a byte that closes it.

The size is checked as soon as the header is whole, before a byte of the payload is held. While a payload is incomplete
no byte is examined again. How a header is parsed is the subclass's.
"""

from __future__ import annotations

from typing import Any

from socketkit.errors import FrameTooLongError, FramingError
from socketkit.framing.decoder import FrameDecoder
from socketkit.framing.spec import Limited

__all__ = ["LengthPrefixedCodec"]

_MAX_HEADER_SIZE = 16 * 1024
"""Bytes in which the header of a frame is looked for: no framing allows a longer one."""


class LengthPrefixedCodec(FrameDecoder):
    """The receiving half of a codec whose frames begin with their size."""

    __slots__ = ("_close", "_framing", "_keep_header", "_needed", "_skipped_at")

    def __init__(self, framing: Limited, *, close: bytes = b"", keep_header: bool = False) -> None:
        super().__init__(str(framing), max_size=framing.max_size, oversize=framing.oversize)
        self._framing = framing
        self._close = close  # nothing, or the one byte that must follow each payload
        self._keep_header = keep_header  # messages are whole frames
        self._skipped_at = 0  # where the frame began that is skipped
        self._needed = 0  # with fewer bytes than this in the tail no frame is whole

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Return where the payload of the frame that starts here begins, and its size; None: the header is not whole.

        Raises:
            ValueError: it is no header; the text gives the reason.
        """
        raise NotImplementedError

    portion = 64 * 1024  # 0.1 us a message

    def next_cut(self, data: bytes, start: int, size: int) -> int:
        """Behind the first frame, where that is longer: then its bytes have to be joined once at most."""
        return min(max(start + size, start + self._missing(data, start)), len(data))

    def _missing(self, data: bytes, start: int) -> int:
        """Return how many bytes from here on surely belong to the frame that is read, or skipped."""
        if self._skipping:
            return self._skipping
        if self._tail:
            return self._needed - len(self._tail)
        try:
            found = self._header(data, start)
        except ValueError:
            return 0
        return 0 if found is None or found[1] > self._max_size else found[0] + found[1] + len(self._close) - start

    def first_cut(self, data: bytes | bytearray, start: int) -> int:
        if self._skipping or (self._tail and self._needed):
            return min(start + self._missing(b"", 0), len(data))
        held = bytes(self._tail)  # the beginning of a header
        ahead = held + data[start : start + _MAX_HEADER_SIZE]
        try:
            found = self._header(ahead, 0)
        except ValueError:
            return len(data)  # the feed says what is wrong
        if found is None:
            return min(start + _MAX_HEADER_SIZE, len(data))
        begin, size = found
        end = begin if size > self._max_size else begin + size + len(self._close)
        return min(start + end - len(held), len(data))

    def _fresh(self) -> Any:
        return self._framing.codec()

    def feed(self, data: bytes, /) -> list[Any]:
        if type(data) is not bytes:
            data = bytes(data)  # a view of a buffer that its owner will use again
        if self._unusual:
            data = self._resume(data)
        tail = self._tail
        if tail:
            if len(tail) + len(data) < self._needed:
                self._append(data)
                return []
            data = b"".join((tail, data))
            tail = self._tail = b""  # of one huge frame, only one copy more than needed is alive at a time
        messages: list[Any] = []
        end = self._cut(data, messages)
        self._consumed = data
        self._consumed_size = end
        self._tail = data[end:]
        self.offset += end
        if self.fault is not None and not messages:
            raise self.fault
        return messages

    def _cut(self, data: bytes, messages: list[Any], start: int = 0) -> int:
        """Add the messages of all whole frames; return where the first frame that is not whole starts.

        Sets `_needed`. An error is recorded, and ends the cutting at its frame.
        """
        header, max_size, close, total = self._header, self._max_size, self._close, len(data)
        trailer = len(close)
        keep_header = self._keep_header
        self._needed = 0
        try:
            while start < total:
                found = header(data, start)
                if found is None:
                    break
                begin, size = found
                if size > max_size:
                    behind = self._shorten(data, start, begin, size, messages)
                    if behind is None:
                        break
                    start = behind
                    continue
                end = begin + size
                if end + trailer > total:
                    self._needed = end + trailer - start
                    break
                if trailer and data[end] != close[0]:
                    raise ValueError(self._unclosed(data[end : end + 1]))
                messages.append(data[start if keep_header else begin : end])
                start = end + trailer
        except ValueError as error:
            self._set_fault(self._as_fault(error, self.offset + start))
        return start

    def _as_fault(self, error: ValueError, offset: int) -> FramingError:
        return error if isinstance(error, FramingError) else self._malformed(offset, str(error))

    def _shorten(self, data: bytes, start: int, begin: int, size: int, messages: list[Any]) -> int | None:
        """Refuse an over-long frame, or skip it.

        Returns:
            Where to go on; None: more bytes of its beginning are needed first.

        Raises:
            FrameTooLongError: by policy.
        """
        error = self._too_long(self.offset + start, size)
        if self._is_fatal(size):
            raise error
        if self._oversize == "truncate":
            if len(data) - begin < self._max_size:
                self._needed = begin - start + self._max_size
                return None
            messages.append(self._beginning(data, start, begin))
        return self._skip_frame(data, begin + size + len(self._close), error)

    def _beginning(self, data: bytes, start: int, begin: int) -> bytes:
        """Return what is left of an over-long frame."""
        return data[start if self._keep_header else begin : begin + self._max_size]

    def _skip_frame(self, data: bytes, end: int, error: FrameTooLongError) -> int:
        self._report(error)
        if end <= len(data):
            self._check_closed(data[end - 1 : end])
            return end
        self._skipping = end - len(data)
        self._skipped_at = error.offset or 0
        return len(data)

    def _skip(self, data: bytes) -> bytes:
        if data and self._skipping <= len(data):
            try:
                self._check_closed(data[self._skipping - 1 : self._skipping])
            except ValueError as error:
                self._fail(self._as_fault(error, self._skipped_at))
        return super()._skip(data)

    def _check_closed(self, last: bytes) -> None:
        if self._close and last != self._close:
            raise ValueError(self._unclosed(last))

    def _unclosed(self, byte: bytes) -> str:
        return f"{self._close.decode()!r} must follow the payload, not {byte!r}, in the frame"

    def _missing_text(self, missing: int) -> str:
        return f"at least {missing} more are missing"

    def feed_eof(self) -> list[Any]:
        tail = self._eof()
        if tail or self._skipping:
            missing = max(self._needed - len(tail), self._skipping)
            self._fail_truncated(tail, self._missing_text(missing) if missing else "its header is not whole")
        return []
