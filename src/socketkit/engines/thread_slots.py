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
        engine: where the tasks wait.
        size: how many slots there are.

    Concurrency: `leave` may be called in any thread.
    """

    def __init__(self, engine: _Engine, size: int) -> None:
        self._engine = engine
        self._free_count = size
        self._waiting: deque[_Event] = deque()
        self._lock = threading.Lock()

    async def take(self, deadline: float | None) -> None:
        """Take a slot, as soon as one is free.

        Raises:
            DeadlineError: the deadline passed first; no slot was taken.

        Cancellation: no slot was taken.
        """
        with self._lock:
            if self._free_count:
                self._free_count -= 1
                return
            event = self._engine.event()
            self._waiting.append(event)
        try:
            await event.wait(deadline=deadline)
        except BaseException:
            with self._lock:
                is_waiting = event in self._waiting
                if is_waiting:
                    self._waiting.remove(event)
            if not is_waiting:  # it was given a slot at the same moment
                self.leave()
            raise

    def leave(self) -> None:
        """Leave a slot, to the task that has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free_count += 1
                return
            event = self._waiting.popleft()
        try:
            self._engine.from_thread(event.set)
        except RuntimeError:
            pass  # the engine has ended: no task waits any more
