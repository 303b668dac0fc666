"""Frames that end by their own structure: each byte is scanned once, wherever the stream is cut.

A subclass goes on scanning from where it stopped. Its state is small, so an over-long value is skipped without being
held.
"""

from __future__ import annotations

from typing import Any

from socketkit.errors import FramingError
from socketkit.framing.decoder import FrameDecoder
from socketkit.framing.spec import Limited

__all__ = ["ScanningCodec"]

_PIECE = 256
"""Bytes that are scanned at first to find one value; then twice as many, and so on."""


class ScanningCodec(FrameDecoder):
    """The receiving half of a codec that scans. Its tail is a bytearray throughout, and begins with a value."""

    __slots__ = ("_at", "_framing", "_grown")

    def __init__(self, framing: Limited) -> None:
        super().__init__(str(framing), max_size=framing.max_size, oversize=framing.oversize)
        self._framing = framing
        self._tail = self._grown = bytearray()  # both names for the same
        self._at = 0  # where the scan of the value goes on; perhaps beyond the bytes that are there

    def _skip_blank(self, tail: bytearray, start: int) -> int:
        """Return, between values, where the next one begins (at the end of the tail: none has begun)."""
        return start

    def _take_quickly(self, tail: bytearray, start: int, messages: list[Any]) -> int:
        """Take, between values, whole ones that are nothing unusual, at speed; return where the next one begins."""
        return start

    def _is_inside(self) -> bool:
        """Whether the scan has stopped inside a value."""
        raise NotImplementedError

    def _scan(self, tail: bytearray) -> bool:
        """Go on from `_at`; return whether the value is whole: then `_at` is behind it.

        Raises:
            ValueError: no value begins so.
        """
        raise NotImplementedError

    def _least(self) -> int:
        """Return the least size of the value, by what was scanned."""
        return self._at

    def _decode(self, data: bytes) -> Any:
        """Return the message of the bytes of a whole value.

        Raises:
            ValueError: they are none.
        """
        raise NotImplementedError

    def _ends_with_stream(self) -> bool:
        """Whether the end of stream completes the value."""
        return False

    def _forget(self) -> None:
        """Be between values."""
        self._at = 0

    portion = 8 * 1024  # 1 to 2 us a message, which may be a single byte

    def next_cut(self, data: bytes, start: int, size: int) -> int:
        known = self._at - len(self._grown)  # bytes that the scan need not look at
        return min(start + size + max(known, 0), len(data))

    def _fresh(self) -> Any:
        return self._framing.codec()

    def feed(self, data: bytes, /) -> list[Any]:
        if self._unusual:
            data = self._resume(data)
        tail = self._grown
        tail += data
        messages: list[Any] = []
        start = 0 if self._is_inside() else self._take_quickly(tail, 0, messages)
        self._consume(self._take_values(tail, start, messages))
        return self._checked(messages)

    def feed_first(self, data: bytes | bytearray, start: int) -> tuple[list[Any], int]:
        """Scan pieces that grow, and give back what lies behind the value."""
        size = _PIECE
        messages: list[Any] = []
        try:
            while start < len(data):
                piece = bytes(data[start : start + size])
                start += len(piece)
                was_skipping = self._skipping
                behind = self._feed_piece(piece, messages)
                start -= behind
                if messages or behind or (was_skipping and not self._skipping):
                    break
                size *= 2
            return messages, start
        except FramingError:
            return [], start

    def _feed_piece(self, piece: bytes, messages: list[Any]) -> int:
        """Feed until a value is whole; return how many bytes lie behind it."""
        was_skipping = self._skipping
        if self._unusual:
            piece = self._resume(piece)
        tail = self._grown
        tail += piece
        end = 0
        if not was_skipping:
            end = self._take_values(tail, 0, messages, is_first_only=True)
        behind = 0 if self._is_inside() or self.fault is not None else len(tail) - end
        if behind:
            del tail[end:]
        self._consume(end)
        self._checked(messages)
        return behind

    def _take_values(self, tail: bytearray, start: int, messages: list[Any], *, is_first_only: bool = False) -> int:
        """Take whole values one by one; return where the one begins that is not whole, or faulty."""
        try:
            while True:
                if not self._is_inside():
                    start = self._at = self._skip_blank(tail, start)
                    if start == len(tail):
                        break
                if not self._scan(tail):
                    break
                self._finish(tail, start, messages)
                start = self._at
                if is_first_only:
                    break
        except ValueError as error:
            self._set_fault(self._as_fault(error, start))
        return start

    def _consume(self, size: int) -> None:
        """Record that so many bytes became messages, or mean nothing."""
        self._consumed, self._consumed_size = bytes(memoryview(self._grown)[:size]), size
        self._drop(size)

    def _finish(self, tail: bytearray, start: int, messages: list[Any]) -> None:
        """Decode a whole value, unless it is too long."""
        size = self._at - start
        if size > self._max_size:
            error = self._too_long(self.offset + start, size)
            if self._is_fatal(size):
                raise error
            self._report(error)
            return
        messages.append(self._decode(bytes(memoryview(tail)[start : self._at])))

    def _checked(self, messages: list[Any]) -> list[Any]:
        """Check whether the partial value is too long already. Then return the messages, or raise the error."""
        if self.fault is None and not self._skipping and self._is_inside() and self._least() > self._max_size:
            error = self._too_long(self.offset, self._least(), at_least=True)
            if self._is_fatal(error.size):
                self._set_fault(error)
            else:
                self._report(error)
                self._skipping = 1
                self._drop(min(self._at, len(self._grown)))
        if self.fault is not None and not messages:
            raise self.fault
        return messages

    def _drop(self, size: int) -> None:
        """Drop so many bytes, which are scanned."""
        del self._grown[:size]
        self._at -= size
        self.offset += size

    def _skip(self, data: bytes) -> bytes:
        self._grown += data
        if self._scan(self._grown):
            self._skipping = 0
        self._drop(min(self._at, len(self._grown)))
        return b""

    def _as_fault(self, error: ValueError, start: int) -> FramingError:
        return error if isinstance(error, FramingError) else self._malformed(self.offset + start, str(error))

    def feed_eof(self) -> list[Any]:
        tail = self._eof()
        if not self._is_inside():
            return []
        if not self._ends_with_stream():
            self._fail_truncated(tail, "and its end is missing")
        try:
            messages = [] if self._skipping else [self._decode(tail)]
        except ValueError as error:
            self._fail_truncated(tail, f"which are no value ({error})")
        self._drop(len(tail))
        self._skipping = 0
        self._forget()
        return messages

    def take_rest(self, unread: int = 0, /) -> bytes:
        rest = super().take_rest(unread)
        begin = self._skip_blank(bytearray(rest), 0)
        rest = rest[begin:]
        self.offset += begin
        self._tail = self._grown = bytearray()
        self._forget()
        return rest
