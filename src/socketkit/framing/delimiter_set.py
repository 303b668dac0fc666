r"""Frames that end with any of several delimiters: the one that begins first, and of those the longest.

Of `\r` and `\r\n`, a `\r` at the end of what came is *open*: the next byte, or the end of the stream, decides which of
them it is. Until then it is held with its frame. So any cut of the bytes gives the same messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from socketkit.config.quoting import quote
from socketkit.errors import FramingError, OptionError
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.spec import Limited

__all__ = ["DelimiterSetCodec", "check_set"]


def check_set(delimiters: Sequence[bytes], *, name: str = "") -> None:
    r"""Refuse delimiters that a receiver could not tell apart by one byte more.

    Raises:
        OptionError: one is given twice; the first, which is sent, is the beginning of another one; or one has another
            inside, but at its end or as all but its last byte.
    """
    first = delimiters[0]
    for delimiter in delimiters:
        if delimiters.count(delimiter) > 1:
            raise OptionError(f"{name}: {quote(delimiter)} is given twice; allowed is each delimiter once")
        if delimiter.startswith(first) and delimiter != first:
            raise OptionError(
                f"{name}: {quote(first)} is sent, and is the beginning of {quote(delimiter)}; "
                "allowed as the first, which is sent, is one that begins no other"
            )
        others = [other for other in delimiters if other != delimiter]
        beginning = delimiter[:-1]
        inside = _search_of(others).findall(beginning) if others else []
        if inside not in ([], [beginning]):
            raise OptionError(
                f"{name}: {quote(delimiter)} has {quote(inside[0])} inside; allowed is another delimiter at its end, "
                "or as all but its last byte"
            )


def _search_of(delimiters: Sequence[bytes]) -> re.Pattern[bytes]:
    """Finds the first delimiter, and of those that begin there the longest."""
    return re.compile(b"|".join(re.escape(one) for one in sorted(delimiters, key=len, reverse=True)))


class DelimiterSetCodec(DelimiterCodec):
    """The codec of `delimited` with several delimiters; the first one is sent."""

    __slots__ = ("_beginnings", "_has_open_end", "_is_decided", "_longest", "_open", "_search", "_split")

    def __init__(self, framing: Limited, delimiters: Sequence[bytes]) -> None:
        super().__init__(framing, delimiters[0])
        self._search = _search_of(delimiters)
        self._split = re.compile(b"(" + self._search.pattern + b")").split
        self._longest = max(map(len, delimiters))
        self._beginnings = frozenset(one[:size] for one in delimiters for size in range(1, len(one)))
        self._open = self._beginnings.intersection(delimiters)  # those that begin another one
        self._is_decided = False  # whether a delimiter at the end of what is fed is not open: the byte behind is known
        self._has_open_end = True

    @property
    def has_open_end(self) -> bool:
        return self._has_open_end

    # Where frames end

    def next_cut(self, data: bytes, start: int, size: int) -> int:
        return min(start + size, len(data))

    def first_cut(self, data: bytes | bytearray, start: int) -> int:
        seam = self._seam()
        if seam:
            near = seam + data[start : start + self._longest]
            found = self._search.search(near)
            if found is not None and found.start() < len(seam):
                return len(data) if self._is_open(found, near) else start + max(found.end() - len(seam), 0)
        found = self._search.search(data, start)
        return len(data) if found is None else found.end()

    def _seam(self) -> bytes:
        """Return as much of what was fed before as may be the beginning of a delimiter."""
        return self._carry if self._skipping else self._end_of(bytes(self._tail[-self._longest :]))

    def _end_of(self, data: bytes) -> bytes:
        return data[max(len(data) - self._longest + 1, 0) :]

    def _is_open(self, found: re.Match[bytes], data: bytes | bytearray) -> bool:
        return found.end() == len(data) and found[0] in self._open

    def _frames_of(self, data: bytes) -> tuple[list[bytes], list[bytes], bytes]:
        """Return the whole frames of data, the delimiters behind each, and what is no whole frame."""
        pieces = self._split(data)
        rest = pieces.pop()
        frames, ends = pieces[::2], pieces[1::2]
        if not rest and ends and ends[-1] in self._open and not self._is_decided:
            rest = frames.pop() + ends.pop()
        return frames, ends, rest

    # Receiving

    def feed_first(self, data: bytes | bytearray, start: int) -> tuple[list[Any], int]:
        end = self.first_cut(data, start)
        self._is_decided = end < len(data)
        try:
            return self.feed(bytes(memoryview(data)[start:end])), end
        except FramingError:
            return [], end
        finally:
            self._is_decided = False

    def feed(self, data: bytes, /) -> list[Any]:
        if type(data) is not bytes:
            data = bytes(data)  # a view of a buffer that its owner will use again
        if self._unusual:
            data = self._resume(data)
        if self._tail:
            if not self._frames_of(self._seam() + data)[1]:
                return self._feed_part(data)
            data = bytes(self._tail) + data
        frames, ends, rest = self._frames_of(data)
        if not ends:
            return self._feed_part(data)
        if len(data) <= self._max_size or max(map(len, frames)) <= self._max_size:
            self._take(data, len(data) - len(rest), rest)
            return self._checked(frames)
        return self._take_carefully(data, frames, ends)

    def _take_carefully(self, data: bytes, frames: list[bytes], ends: list[bytes]) -> list[Any]:
        """Take frames of which one at least is too long: up to the first error."""
        messages: list[Any] = []
        size = 0
        for frame, end in zip(frames, ends, strict=True):
            try:
                messages += self._read_frame(frame, self.offset + size)
            except FramingError as error:
                self._set_fault(error)
                break
            size += len(frame) + len(end)
        self._take(data, size, data[size:])
        return self._checked(messages)

    def _read_frame(self, frame: bytes, offset: int) -> list[Any]:
        if len(frame) <= self._max_size:
            return [frame]
        return self._shortened(frame, self._too_long(offset, len(frame)))

    def _read_last(self, frame: bytes) -> list[Any]:
        return [frame]

    def _truncated(self, frame: bytes) -> Any:
        return frame[: self._max_size]

    def _is_too_long(self, tail: bytes | bytearray) -> bool:
        return len(tail) - self._begun(tail) > self._max_size

    def _begun(self, tail: bytes | bytearray) -> int:
        """Return how many bytes at the end may belong to a delimiter, at most."""
        sizes = range(min(self._longest - 1, len(tail)), 0, -1)
        return next((size for size in sizes if bytes(tail[-size:]) in self._beginnings), 0)

    def _skip(self, data: bytes) -> bytes:
        seen = self._carry + data
        found = self._search.search(seen)
        if found is None or (self._is_open(found, seen) and not self._is_decided):
            self._carry = self._end_of(seen)
            self.offset += len(data)
            return b""
        end = found.end() - len(self._carry)
        self._skipping = 0
        self._carry = b""
        self.offset += end
        return data[end:]

    def feed_eof(self) -> list[Any]:
        self._is_decided = True
        try:
            messages = self.feed(b"")
        finally:
            self._is_decided = False
        self._has_open_end = bool(self._tail or self._skipping)
        if self._has_open_end:
            return super().feed_eof()
        self._at_eof = True
        return messages

    # Sending

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        if not payloads:
            return b""
        delimiter = self._delimiter
        data = delimiter.join(payloads) + delimiter
        for index, payload in enumerate(payloads):
            found = self._search.search(payload + delimiter)
            if found is None or found.start() < len(payload):
                raise self._refused(index, found)
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data

    def _refused(self, index: int, found: re.Match[bytes] | None) -> FramingError:
        delimiter = self._delimiter if found is None else found[0]
        return FramingError(
            f"{self._text}: message {index} contains the delimiter {quote(delimiter)}, or the beginning of one at its "
            "end; nothing was encoded; use a framing that counts bytes (netstring, length)",
            framing=self._text,
        )
