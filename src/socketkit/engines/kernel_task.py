"""A task of the readiness kernel, and the places where it waits: a descriptor's slot, an event.

Holds state only. The loop in `readiness` decides when a task runs.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from socketkit._core import READ, TaskState

__all__ = ["Cancelled", "KernelEvent", "KernelTask", "Sooner", "TimedCall"]


class Cancelled(BaseException):
    """Raised inside a task that was cancelled. Clean up, and do not catch it for good."""


class KernelTask(TaskState):
    """A coroutine, and where it is parked.

    Attributes:
        coroutine: is run in `context`.
        ready: the kernel's queue of tasks that run next.
        slot, direction: the descriptor where it is parked; `event`: the event; `deadline`: the moment.
        timer: the moment of the heap's earliest live entry for this task.
        error: is thrown at the next step.
        cancelling: the next wait raises `Cancelled`.
        done: it has ended.
    """

    __slots__ = ()

    def __init__(self, ready: deque[KernelTask], coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.ready = ready
        self.coroutine = coroutine
        self.context = contextvars.copy_context()

    def cancel(self) -> None:
        if self.done or self.cancelling or isinstance(self.error, Cancelled):
            return
        self.cancelling = True
        if self.leave():
            self.error = Cancelled()
            self.cancelling = False
            self.ready.append(self)
        # else it is running, or about to: its next wait raises

    def is_parked(self) -> bool:
        """Whether it waits for a descriptor, an event or a deadline."""
        return self.slot is not None or self.event is not None or self.deadline is not None

    def leave(self) -> bool:
        """End the wait without a result; False when it is not parked."""
        slot, event = self.slot, self.event
        if slot is not None:
            self.slot = None
            if self.direction == READ:
                slot.reader = None
            else:
                slot.writer = None
        elif event is not None:
            self.event = None
            event.waiting.pop(self, None)
        elif self.deadline is None:
            return False
        self.deadline = None
        return True

    def take_cancellation(self) -> None:
        """Raise a cancellation that was requested while the task ran; called at the beginning of each wait."""
        if self.cancelling:
            self.cancelling = False
            raise Cancelled


class Sooner:
    """The first of two tasks to be done."""

    def __init__(self, *tasks: KernelTask) -> None:
        self._tasks = tasks

    @property
    def done(self) -> bool:
        return any(task.done for task in self._tasks)


class TimedCall:
    """A call at a moment: stands among the timers in place of a task.

    Attributes:
        timer, deadline: as of a task.
    """

    __slots__ = ("_call", "_count_stale", "deadline", "timer")

    def __init__(self, call: Callable[[], object], count_stale: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call
        self._count_stale = count_stale
        self.timer: float | None = None
        self.deadline: float | None = None

    def leave(self) -> bool:
        """Make the call. Returns False: there is no task to be resumed."""
        call, self._call, self.deadline = self._call, None, None
        if call is not None:
            call()
        return False

    def cancel(self) -> None:
        """Do not call."""
        self._call = self.deadline = None
        if self.timer is not None:
            self.timer = None
            self._count_stale()


Park = Callable[["KernelEvent", float | None], Awaitable[None]]
"""Parks the current task at an event, up to a deadline."""


class KernelEvent:
    """An event whose waiters are tasks of one kernel."""

    __slots__ = ("_park", "_ready", "_set", "waiting")

    def __init__(self, ready: deque[KernelTask], park: Park) -> None:
        self._ready = ready
        self._park = park
        self._set = False
        self.waiting: dict[KernelTask, None] = {}  # ordered: first come, first served

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self.waiting = self.waiting, {}
        for task in waiting:
            task.event = None
            task.deadline = None
            self._ready.append(task)

    async def wait(self, *, deadline: float | None = None) -> None:
        if not self._set:
            await self._park(self, deadline)
