"""How long speakers may wait for readers that are slow. Time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["WaitBudget"]


class WaitBudget:
    """Seconds that speakers may wait for slow readers: a quarter second at once, a tenth of the time in the long run.

    So a reader that was only not scheduled loses nothing, and a slow one delays nobody for long.
    """

    MOST: Final = 0.25
    SHARE: Final = 0.1

    def __init__(self, now: float) -> None:
        self._left = self.MOST
        self._updated = now

    def left(self, now: float) -> float:
        """The seconds that are left at this moment."""
        self._left = min(self.MOST, self._left + (now - self._updated) * self.SHARE)
        self._updated = now
        return max(0.0, self._left)

    def spend(self, seconds: float) -> None:
        """Take the seconds of a wait from the budget."""
        self._left -= seconds
