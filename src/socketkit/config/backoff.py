"""Backoff: pauses that grow while something keeps failing. Arithmetic; neither waits nor asks for the time."""

from __future__ import annotations

import os

__all__ = ["Backoff", "chance", "pause_after", "polling_backoff"]


class Backoff:
    """Pauses in a row: `first`, each longer than the one before by `factor`, up to `maximum`.

    Args:
        first: the first pause, in seconds.
        maximum: the longest pause, in seconds.
        factor: by which each pause is longer than the one before.
        jitter: which part of a pause is left to chance: 0 none of it, 1 all of it.

    Attributes:
        count: pauses since the last `reset`.
    """

    __slots__ = ("_factor", "_first", "_jitter", "_maximum", "count")

    def __init__(self, first: float, maximum: float, *, factor: float = 2.0, jitter: float = 0.0) -> None:
        self._first = first
        self._maximum = maximum
        self._factor = factor
        self._jitter = jitter
        self.count = 0

    def next(self, luck: float = 0.0) -> float:
        """The next pause in seconds; `luck`, from 0 to 1, shortens it by as much of the jitter."""
        self.count += 1
        return pause_after(self.count, luck, self._first, self._maximum, self._factor, self._jitter)

    def reset(self) -> None:
        """It has succeeded: the next pause is the first again."""
        self.count = 0


def pause_after(failures: int, luck: float, first: float, maximum: float, factor: float, jitter: float) -> float:
    """Seconds to wait after so many failures in a row (at least one); the other arguments are those of `Backoff`."""
    try:
        pause = min(maximum, first * factor ** (failures - 1))
    except OverflowError:
        pause = maximum
    return pause * (1 - jitter * luck)


def polling_backoff() -> Backoff:
    """For a state that the system does not report by an event, so that it is looked at again and again: 1 to 50 ms."""
    return Backoff(0.001, 0.05)


def chance() -> float:
    """A number from 0 up to, and not including, 1. From the system: `random` costs several milliseconds to import."""
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)
