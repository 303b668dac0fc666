"""Wait for the first of several descriptors, as one wait. Works on any engine.

An epoll(7) or kqueue(2) is a descriptor itself, readable when one of its descriptors is ready. An engine waits for it
as for any other; no task and no thread waits for each descriptor.
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

POLL_INTERVAL: Final = 0.01
"""Seconds between two polls where the system has neither: rare enough to cost nothing, frequent enough to connect."""


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
        self._descriptor = self._poller.descriptor

    def add(self, descriptor: int) -> None:
        """Wait for this one too.

        Raises:
            OSError, ValueError: it cannot be waited for.
        """
        self._poller.arm(descriptor, 0, self._direction)

    def remove(self, descriptor: int) -> None:
        """Stop waiting for it; it is about to be closed, or is used otherwise."""
        self._poller.arm(descriptor, self._direction, 0)

    async def wait(self, *, deadline: float | None = None) -> list[int]:
        """Wait until some are ready, and return those, at least one, in no order; at once where some are.

        Raises:
            DeadlineError: the engine's clock reached `deadline` first, and none was ready.
            BusyError: another task waits for this set.

        Cancellation: nothing has changed; the next wait gives the same.
        """
        while not (ready := [descriptor for descriptor, _ in self._poller.poll(0)]):
            if self._descriptor is not None:
                await self._engine.wait(self._descriptor, READ, deadline)
            else:
                await self._pause(deadline)
        return ready

    async def _pause(self, deadline: float | None) -> None:
        left = POLL_INTERVAL if deadline is None else deadline - self._engine.now()
        if left <= 0:
            raise DeadlineError("the deadline has passed")
        await self._engine.sleep(min(left, POLL_INTERVAL))

    def close(self) -> None:
        """Close the set; its descriptors stay open. Harmless twice."""
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
