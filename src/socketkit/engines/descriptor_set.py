"""Wait for the first of several descriptors, as one wait. Written once, on any engine.

A set of descriptors is a descriptor itself, to be read when one of them has news: so epoll(7) and kqueue(2) have it.
An engine waits for that one as for any other; no task, and no thread, stands at each.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

from socketkit.engines.engine import READ, Engine
from socketkit.engines.pollers import POLLERS, Poller
from socketkit.errors import DeadlineError

__all__ = ["DescriptorSet"]

NESTED: Final = ("epoll", "kqueue")
"""The pollers that can be polled themselves."""

LOOK: Final = 0.01
"""Seconds between two looks where the system has neither: seldom enough to cost nothing, often enough for a dial."""


class DescriptorSet:
    """Descriptors that are waited for together, in one direction, by one task at a time.

    A descriptor may be registered with the engine too, though it need not be. As a block, it is closed at the end.

    Args:
        engine: where to wait.
        direction: READ or WRITE.
        kind: which poller holds the set; None: the best for it that the system has.

    Raises:
        OSError: the system is short of descriptors.
    """

    def __init__(self, engine: Engine, direction: int, *, kind: str | None = None) -> None:
        self._engine = engine
        self._direction = direction
        self._poller: Poller = POLLERS[kind or next((name for name in NESTED if name in POLLERS), "select")]()
        fileno = getattr(self._poller, "fileno", None)
        self._descriptor: int | None = None if fileno is None else fileno()

    def add(self, descriptor: int) -> None:
        """Wait for this one too.

        Raises:
            OSError, ValueError: it cannot be waited for.
        """
        self._poller.arm(descriptor, 0, self._direction)

    def remove(self, descriptor: int) -> None:
        """Wait for it no more; it is about to be closed, or has found its use."""
        self._poller.arm(descriptor, self._direction, 0)

    async def wait(self, *, deadline: float | None = None) -> list[int]:
        """Wait until some of them have news; at once where they do. Those that have, in no order; at least one.

        Raises:
            DeadlineError: the engine's clock reached `deadline` first, and there was no news.
            BusyError: another task waits here.

        Cancellation: nothing has changed; the next wait gives the same.
        """
        while not (ready := [descriptor for descriptor, _ in self._poller.poll(0)]):
            if self._descriptor is not None:
                await self._engine.wait(self._descriptor, READ, deadline)
            else:
                await self._pause(deadline)
        return ready

    async def _pause(self, deadline: float | None) -> None:
        left = LOOK if deadline is None else deadline - self._engine.now()
        if left <= 0:
            raise DeadlineError("the deadline has passed")
        await self._engine.sleep(min(left, LOOK))

    def close(self) -> None:
        """Give back what the system lent; the descriptors stay open. Harmless twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._engine.unregister(descriptor)
        self._poller.close()

    def __enter__(self) -> DescriptorSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
