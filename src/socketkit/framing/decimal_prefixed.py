"""Frames that begin with their size in decimal digits and a byte behind it: netstrings, and octet-counted ones."""

from __future__ import annotations

from typing import Any

from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import Limited

__all__ = ["DecimalCodec"]

_MAX_DIGITS = 19
"""Digits of 2**63 - 1, the largest size that any system counts to."""

_ZERO = ord("0")


def _read_decimal(data: bytes, start: int, mark: bytes) -> tuple[int, int] | None:
    """Return where the byte behind the mark is, and the number before it; None: the mark is not there yet.

    Raises:
        ValueError: these are not digits, too many, or the first of several is a zero.
    """
    end = data.find(mark, start, start + _MAX_DIGITS + 1)
    digits = data[start:end] if end >= 0 else data[start : start + _MAX_DIGITS + 1]
    has_leading_zero = len(digits) > 1 and digits[0] == _ZERO
    if digits.isdigit() and not has_leading_zero:
        if end >= 0:
            return end + 1, int(digits)
        if len(digits) <= _MAX_DIGITS:
            return None
        raise ValueError(f"the size has more than {_MAX_DIGITS} digits in the frame")
    if has_leading_zero:
        raise ValueError(f"the size {digits!r} has a leading zero in the frame")
    raise ValueError(f"a decimal size and {mark.decode()!r} must come first, not {digits!r}, in the frame")


class DecimalCodec(LengthPrefixedCodec):
    """The receiving half of both. The usual frames are cut by a tight loop, the others by that of the base class."""

    __slots__ = ("_mark",)

    def __init__(self, framing: Limited, *, mark: bytes, close: bytes = b"") -> None:
        super().__init__(framing, close=close)
        self._mark = mark  # the byte between the size and the payload

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        return _read_decimal(data, start, self._mark)

    def _cut(self, data: bytes, messages: list[Any], start: int = 0) -> int:
        find, append, total, mark = data.find, messages.append, len(data), self._mark
        close, max_size = self._close, self._max_size
        while True:
            begin = find(mark, start, start + _MAX_DIGITS + 1) + 1
            digits = data[start : begin - 1]
            if not begin or not digits.isdigit() or digits[0] == _ZERO:
                break
            end = begin + int(digits)
            frame_end = end + len(close)
            if frame_end > total or end - begin > max_size or data[end:frame_end] != close:
                break
            append(data[begin:end])
            start = frame_end
        return super()._cut(data, messages, start)
