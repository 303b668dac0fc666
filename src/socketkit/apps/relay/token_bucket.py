"""A token bucket: how long to wait so that the rate in bytes a second is not exceeded. Time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["TokenBucket", "portion_of"]

BURST: Final = 0.1
"""Seconds' worth of bytes that may pass at once after a pause."""


class TokenBucket:
    """Bytes a second, for one direction or for many that share it.

    Bytes are taken after they have passed. Where more was taken than the rate allows, the taker waits for the rest, and
    later takers wait behind it.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._paid_until = 0.0  # from this moment on bytes may pass again

    def take(self, size: int, now: float) -> float:
        """The seconds to wait after this many bytes have passed at this moment."""
        begin = max(self._paid_until, now - BURST)
        self._paid_until = begin + size / self._rate
        return max(0.0, self._paid_until - now)


def portion_of(rate: float) -> int:
    """The largest portion in bytes that may pass at once at this rate: a burst."""
    return max(1, int(rate * BURST))
