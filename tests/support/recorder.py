"""An observer that remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Recorder:
    """Remembers whatever it is called with, in order; with a clock, also when.

    Attributes:
        events: what it was called with.
        moments: when, one for each event; empty without a clock.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self.events: list[Any] = []
        self.moments: list[float] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        if self._clock is not None:
            self.moments.append(self._clock())

    def of(self, kind: type) -> list[Any]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self) -> list[str]:
        """The story in words: the class of each event."""
        return [type(event).__name__ for event in self.events]

    def clear(self) -> None:
        self.events.clear()
        self.moments.clear()
