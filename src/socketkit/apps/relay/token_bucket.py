"""A token bucket: how long to wait so that no more than so many bytes a second pass. Time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["Bucket", "portion_of"]

BURST: Final = 0.1
"""Seconds' worth that may pass at once, after a silence."""


class Bucket:
    """Bytes a second, for one direction or for many that share it.

    What has passed is paid for afterwards: whoever takes more than there is waits until it is earned, and those who
    come meanwhile wait for theirs behind it.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_until = 0.0  # the moment from which on there is something again

    def take(self, size: int, now: float) -> float:
        """So many bytes have passed at this moment; the seconds to wait before more may."""
        begin = max(self._paid_until, now - BURST)
        self._paid_until = begin + size / self._rate
        return max(0.0, self._paid_until - now)


def portion_of(rate: float) -> int:
    """Bytes that are small enough to be taken at once at this rate: a burst's worth."""
    return max(1, int(rate * BURST))
