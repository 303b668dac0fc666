"""A size in decimal digits with a byte behind it: the header of a netstring, and of an octet-counted frame."""

from __future__ import annotations

__all__ = ["read_decimal"]

_MOST_DIGITS = 19
"""Digits of 2**63 - 1, the largest size that any system counts to."""

_ZERO = ord("0")


def read_decimal(data: bytes, start: int, mark: bytes) -> tuple[int, int] | None:
    """Where the byte behind the mark is, and the number before it; None: the mark has not come yet.

    Raises:
        ValueError: these are not digits, too many, or the first of several is a zero.
    """
    end = data.find(mark, start, start + _MOST_DIGITS + 1)
    digits = data[start:end] if end >= 0 else data[start : start + _MOST_DIGITS + 1]
    has_leading_zero = len(digits) > 1 and digits[0] == _ZERO
    if digits.isdigit() and not has_leading_zero:
        if end >= 0:
            return end + 1, int(digits)
        if len(digits) <= _MOST_DIGITS:
            return None
        raise ValueError(f"the size has more than {_MOST_DIGITS} digits in the frame")
    if has_leading_zero:
        raise ValueError(f"the size {digits!r} has a leading zero in the frame")
    raise ValueError(f"a decimal size and {mark.decode()!r} must come first, not {digits!r}, in the frame")
