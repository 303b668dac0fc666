"""Time that passes only when nobody has anything to do: tests of timers last no time and name exact moments."""

from __future__ import annotations

import math

from socketkit.engines.pollers import POLLERS, Poller
from socketkit.engines.readiness import READINESS, ReadinessEngine


class VirtualClock:
    """A clock that stands still until it is moved. Give it as `clock=`."""

    def __init__(self, moment: float = 0.0) -> None:
        self.moment = moment

    def __call__(self) -> float:
        return self.moment

    def advance(self, seconds: float) -> None:
        # A step that is too small for this moment's precision is still a step.
        self.moment = max(self.moment + seconds, math.nextafter(self.moment, math.inf))


class JumpingPoller:
    """A poller that does not wait for the next timer but moves the clock to it.

    News of descriptors comes first; without a timer it waits for real (for a thread, say: an engine that has both a
    timer and a thread under way jumps to the timer).
    """

    def __init__(self, inner: Poller, clock: VirtualClock) -> None:
        self._inner = inner
        self._clock = clock

    def arm(self, descriptor: int, before: int, after: int) -> None:
        self._inner.arm(descriptor, before, after)

    def check_capacity(self) -> None:
        self._inner.check_capacity()

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        news = self._inner.poll(None if timeout is None else 0)
        if not news and timeout:
            self._clock.advance(timeout)
        return news

    def close(self) -> None:
        self._inner.close()


def virtual_engine(name: str = "poll") -> tuple[ReadinessEngine, VirtualClock]:
    """A readiness engine and the clock that it lives by."""
    clock = VirtualClock()
    return READINESS[name](clock=clock, poller=JumpingPoller(POLLERS[name](), clock)), clock
