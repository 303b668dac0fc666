"""A bound on the threads of one engine: tasks that would start one more wait, first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["ThreadSlots"]


class _Event(Protocol):
    def set(self) -> None: ...

    async def wait(self, *, deadline: float | None = None) -> None: ...


class _Engine(Protocol):
    def event(self) -> _Event: ...

    def from_thread(self, callback: Callable[[], object]) -> None: ...


class ThreadSlots:
    """Slots for threads. A slot is taken by a task before it starts a thread, and left by the thread at its end.

    Args:
        size: how many slots there are.

    Concurrency: `leave` may be called in any thread.
    """

    # It does not keep the engine, which keeps it: an engine without references is freed at once, with its descriptors.
    def __init__(self, size: int) -> None:
        self._free_count = size
        self._waiting: deque[_Event] = deque()
        self._lock = threading.Lock()

    async def take(self, engine: _Engine, deadline: float | None) -> None:
        """Take a slot, as soon as one is free; the task waits on its engine.

        Raises:
            DeadlineError: the deadline passed first; no slot was taken.

        Cancellation: no slot was taken.
        """
        with self._lock:
            if self._free_count:
                self._free_count -= 1
                return
            event = engine.event()
            self._waiting.append(event)
        try:
            await event.wait(deadline=deadline)
        except BaseException:
            with self._lock:
                is_waiting = event in self._waiting
                if is_waiting:
                    self._waiting.remove(event)
            if not is_waiting:  # it was given a slot at the same moment
                self.leave(engine)
            raise

    def leave(self, engine: _Engine) -> None:
        """Leave a slot, to the task that has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free_count += 1
                return
            event = self._waiting.popleft()
        try:
            engine.from_thread(event.set)
        except RuntimeError:
            pass  # the engine has ended: no task waits any more
