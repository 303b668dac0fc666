"""The loop of the readiness engines, in Python; `kernel.c` is the same, compiled.

Holds the state that the loop needs at each step, and the loop. What happens rarely (timers, calls from threads, the end
of a task) is in `engines.readiness`.
"""

from __future__ import annotations

import contextvars
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any, Final, Protocol

__all__ = ["PARKED", "READ", "READ_BITS", "TURN_TASKS", "WRITE", "WRITE_BITS", "Kernel", "Slot", "TaskState"]

READ: Final = 1
WRITE: Final = 2

# The readiness bits of poll(2), which epoll(7) shares. An error or a hang-up makes both directions ready: the call that
# follows reports it.
READ_BITS: Final = 0x001 | 0x008 | 0x010 | 0x020
WRITE_BITS: Final = 0x004 | 0x008 | 0x010 | 0x020

TURN_TASKS: Final = 32
"""Callbacks (`call_soon`: batches to send) that may wait for the end of the turn. Sending for many in a row costs less
than receiving and sending for each (a ping-pong of 64 bytes over 50 connections: 10.2 us, not 11.0), but the first
connection must not wait for the last of five hundred."""

LONGEST_POLL: Final = 24 * 3600.0
"""Seconds: poll(2) and epoll_wait(2) take less than 25 days, and select(2) no infinity. As asyncio."""

PARKED: Final = object()
"""Yielded by every wait of a readiness engine: anything else comes from another loop's awaitable."""


class TaskState:
    """A coroutine, and where it is parked; see `engines.kernel_task`."""

    __slots__ = (
        "cancelling", "context", "coroutine", "deadline", "direction", "done", "error", "event", "ready", "slot",
        "timer",
    )  # fmt: skip

    ready: deque[Any]
    coroutine: Coroutine[Any, Any, Any]
    context: contextvars.Context
    slot: Slot | None
    direction: int
    event: Any
    deadline: float | None
    timer: float | None
    error: BaseException | None
    cancelling: bool
    done: bool

    def __init__(self) -> None:
        self.slot = self.event = self.deadline = self.timer = self.error = None
        self.direction = 0
        self.cancelling = self.done = False


class Slot:
    """A registered descriptor: what the poller watches, and which tasks wait."""

    __slots__ = ("armed", "reader", "writer")

    def __init__(self) -> None:
        self.armed = 0
        self.reader: Any = None
        self.writer: Any = None


class IsDone(Protocol):
    """What the loop runs until it is done."""

    @property
    def done(self) -> bool: ...


class Kernel:
    """The state of the loop, and the loop."""

    now: Callable[[], float]
    _current: Any
    _epoll: int
    _poller: Any
    _ready: deque[Any]
    _soon: deque[Callable[[], object]]
    _timers: list[tuple[float, int, Any]]

    # The slots by descriptor.

    @cached_property
    def _registered(self) -> dict[int, Slot]:
        return {}

    def _slot(self, descriptor: int, /) -> Slot | None:
        """Return a descriptor's slot; None: it has none."""
        return self._registered.get(descriptor)

    def _make_slot(self, descriptor: int, /) -> Slot:
        """Give a descriptor a slot, and return it."""
        slot = self._registered[descriptor] = Slot()
        return slot

    def _drop_slot(self, descriptor: int, /) -> None:
        """Forget a descriptor's slot; harmless without one."""
        self._registered.pop(descriptor, None)

    # The loop.

    def _loop_until(self, main: IsDone, waker: int, /) -> None:
        """Run tasks until this one is done."""
        slots, ready, soon, step = self._registered, self._ready, self._soon, self._step
        poll, timers = self._poller.poll, self._timers
        while True:
            # The slots are found before a task runs: it may close a descriptor, whose number the next socket gets.
            events = [(descriptor, slots.get(descriptor), bits) for descriptor, bits in poll(self._timeout())]
            for descriptor, slot, bits in events:
                if slot is None:
                    if descriptor == waker:
                        self._run_calls()
                    continue
                if bits & READ_BITS:
                    task = slot.reader
                    if task is not None:
                        slot.reader = task.slot = task.deadline = None
                        step(task)
                    elif slot.armed & READ:
                        self._disarm(descriptor, slot, READ)
                if bits & WRITE_BITS:
                    task = slot.writer
                    if task is not None:
                        slot.writer = task.slot = task.deadline = None
                        step(task)
                    elif slot.armed & WRITE:
                        self._disarm(descriptor, slot, WRITE)
                if len(soon) >= TURN_TASKS:
                    self._run_soon()
            if timers and timers[0][0] <= self.now():
                self._run_timers()
            if ready and soon:
                self._run_soon()  # the answers to what has come do not wait for a task that has handed over its turn
            for _ in range(len(ready)):
                step(ready.popleft())
                if len(soon) >= TURN_TASKS:
                    self._run_soon()
            if soon:
                self._run_soon()
            if main.done:
                return

    def _timeout(self) -> float | None:
        if self._ready or self._soon:
            return 0
        if not self._timers:
            return None
        return min(max(0.0, self._timers[0][0] - self.now()), LONGEST_POLL)

    def _run_soon(self) -> None:
        """Make the calls that wait for the end of the turn; what one lets out is reported, and ends nothing else."""
        soon = self._soon
        for _ in range(len(soon)):
            try:
                soon.popleft()()
            except Exception as error:
                self._report(error)

    def _step(self, task: Any) -> None:
        """Run one task up to its next wait."""
        self._current = task
        error = task.error
        try:
            if error is None:
                stray = task.context.run(task.coroutine.send, None)
            else:
                task.error = None
                stray = task.context.run(task.coroutine.throw, error)
            while stray is not PARKED:  # the task awaited what only another loop can complete
                stray = task.context.run(task.coroutine.throw, self._foreign(stray))
        except StopIteration as stop:
            self._finish(task, stop.value, None)
        except (KeyboardInterrupt, SystemExit):
            self._finish(task, None, None)
            raise
        except BaseException as failure:
            self._finish(task, None, failure)
        finally:
            error = None

    # The engine's part.

    @abstractmethod
    def _disarm(self, descriptor: int, slot: Slot, direction: int) -> None:
        """Stop watching a direction in which no task waits."""

    @abstractmethod
    def _finish(self, task: Any, result: Any, error: BaseException | None) -> None:
        """Record that a task has ended."""

    @abstractmethod
    def _foreign(self, stray: object) -> BaseException:
        """Return the error for a task that awaits what only another loop can complete."""

    @abstractmethod
    def _report(self, error: BaseException) -> None:
        """Report an exception that a deferred call has let out."""

    @abstractmethod
    def _run_calls(self) -> None:
        """Make the calls that other threads have asked for."""

    @abstractmethod
    def _run_timers(self) -> None:
        """Resume the tasks whose deadline has passed."""
