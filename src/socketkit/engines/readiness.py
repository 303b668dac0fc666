"""Our own small kernel: many coroutines in one thread, over select, poll, epoll or kqueue.

A task is a coroutine; when it would block it is parked at a descriptor, an event or a moment, and resumed from the
loop directly, without a queue between. A descriptor is registered once and stays registered; it is taken off only
when news comes that nobody waits for. Knows when to call a task, never what the task does with its socket.
"""

from __future__ import annotations

import contextvars
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import coroutine as generator_coroutine
from typing import Any, TypeVar

from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.engines.pollers import POLLERS, READ_BITS, WRITE_BITS
from socketkit.engines.waker import Waker
from socketkit.errors import BusyError, DeadlineError

__all__ = ["READINESS", "Cancelled", "ReadinessEngine", "running"]

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised inside a task that was asked to end. Clean up and let it pass."""


class KernelTask:
    """A coroutine, and where it is parked."""

    __slots__ = (
        "cancelling", "context", "coroutine", "deadline", "direction", "done", "error", "event", "kernel", "result",
        "send", "slot", "timer",
    )  # fmt: skip

    def __init__(self, kernel: ReadinessEngine, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.kernel = kernel
        self.coroutine = coroutine
        self.send = coroutine.send
        self.context = contextvars.copy_context()
        self.slot: Slot | None = None
        self.direction = 0
        self.event: KernelEvent | None = None
        self.deadline: float | None = None
        self.timer: float | None = None  # the moment of the heap's earliest live entry for this task
        self.error: BaseException | None = None  # to be thrown at the next step
        self.cancelling = False
        self.done = False
        self.result: Any = None

    def cancel(self) -> None:
        if self.done or self.cancelling:
            return
        self.cancelling = True
        if self.leave():
            self.error = Cancelled()
            self.cancelling = False
            self.kernel._ready.append(self)
        # else it is running, or about to: its next wait raises

    def leave(self) -> bool:
        """Go from wherever it is parked; False when it is not parked."""
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
        """At the door of a wait: raise what was asked for while the task ran."""
        if self.cancelling:
            self.cancelling = False
            raise Cancelled


class Slot:
    """A registered descriptor: what the poller watches, and who waits."""

    __slots__ = ("armed", "reader", "writer")

    def __init__(self) -> None:
        self.armed = 0
        self.reader: KernelTask | None = None
        self.writer: KernelTask | None = None


class KernelEvent:
    """An event whose waiters are tasks of one kernel."""

    __slots__ = ("_kernel", "_set", "waiting")

    def __init__(self, kernel: ReadinessEngine) -> None:
        self._kernel = kernel
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
            self._kernel._ready.append(task)

    async def wait(self, *, deadline: float | None = None) -> None:
        if not self._set:
            await self._kernel._park_at(self, deadline)


_running = threading.local()


def running() -> ReadinessEngine | None:
    """The kernel that runs in this thread now; for the front door only."""
    return getattr(_running, "kernel", None)


class ReadinessEngine(Engine):
    """The kernel. Its subclasses differ in one class attribute: the poller."""

    cancelled = Cancelled

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock  # type: ignore[method-assign]  # the clock itself: one call less on each use
        self._poller = POLLERS[self.name]()
        self._slots: dict[int, Slot] = {}
        self._ready: deque[KernelTask] = deque()
        self._timers: list[tuple[float, int, KernelTask]] = []
        self._timer_count = 0
        self._soon: list[Callable[[], None]] = []
        self._tasks: set[KernelTask] = set()
        self._current: KernelTask | None = None
        self._calls: deque[Callable[[], None]] = deque()  # from other threads
        self._waker = Waker()
        self._poller.arm(self._waker.fileno(), 0, READ)
        self._ended = False

    def now(self) -> float:  # replaced by the clock
        raise NotImplementedError

    # --- waits: each parks the current task and hands the thread back to the loop ---

    @generator_coroutine
    def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> Generator[None, None, None]:
        task = self._current
        assert task is not None
        if task.cancelling:
            task.take_cancellation()
        slot = self._slots.get(descriptor)
        if slot is None:
            slot = self._slots[descriptor] = Slot()
        if (slot.reader if direction == READ else slot.writer) is not None:
            raise BusyError(f"another task already waits for descriptor {descriptor} in that direction")
        if not slot.armed & direction:
            try:
                self._arm(descriptor, slot, slot.armed | direction)
            except PermissionError:  # EPERM, epoll_ctl(2): a regular file, which never blocks
                self._slots.pop(descriptor, None)
                return
        if deadline is not None:
            self._set_timer(task, deadline)
        if direction == READ:
            slot.reader = task
        else:
            slot.writer = task
        task.slot = slot
        task.direction = direction
        yield

    @generator_coroutine
    def _park_at(self, event: KernelEvent, deadline: float | None) -> Generator[None, None, None]:
        task = self._current
        assert task is not None
        task.take_cancellation()
        if deadline is not None:
            self._set_timer(task, deadline)
        event.waiting[task] = None
        task.event = event
        yield

    @generator_coroutine
    def _pass_the_turn(self) -> Generator[None, None, None]:
        task = self._current
        assert task is not None
        task.take_cancellation()
        self._ready.append(task)
        yield

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await self._pass_the_turn()
            return
        try:
            await self._park_at(KernelEvent(self), self.now() + seconds)
        except DeadlineError:
            pass  # which is what it waited for

    def forget(self, descriptor: int) -> None:
        slot = self._slots.pop(descriptor, None)
        if slot is None:
            return
        if slot.armed:
            try:
                self._poller.arm(descriptor, slot.armed, 0)
            except (OSError, KeyError):
                pass  # closed already: the system has forgotten it by itself
        for task in (slot.reader, slot.writer):
            if task is not None and task.leave():
                self._ready.append(task)

    def _arm(self, descriptor: int, slot: Slot, directions: int) -> None:
        self._poller.arm(descriptor, slot.armed, directions)
        slot.armed = directions

    def _set_timer(self, task: KernelTask, moment: float) -> None:
        """One heap entry a task: an entry that comes due too early is put back, not one pushed for each wait."""
        task.deadline = moment
        if task.timer is None or moment < task.timer:
            task.timer = moment
            self._timer_count += 1
            heapq.heappush(self._timers, (moment, self._timer_count, task))

    # --- tasks ---

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> KernelTask:
        task = KernelTask(self, coroutine)
        self._tasks.add(task)
        self._ready.append(task)
        return task

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.start(coroutine)

    def event(self) -> KernelEvent:
        return KernelEvent(self)

    def soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        if self._ended:
            raise RuntimeError(f"the {self.name} engine has ended")
        self._calls.append(callback)
        self._waker.wake()

    # --- the loop ---

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        before = running()
        _running.kernel = self
        main = self.start(coroutine)
        try:
            self._loop_until(main)
        finally:
            try:
                self._end_all()
            finally:
                _running.kernel = before
                self._close()
        error, main.error = main.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # no circle of exception and frame
        result: T = main.result
        return result

    def _end_all(self) -> None:
        """Cancel what is left, main included, until nothing is: a task may start another in its clean-up."""
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            self._loop_until(next(iter(self._tasks)))

    def _close(self) -> None:
        self._ended = True
        self._run_soon()
        self._poller.close()
        self._waker.close()

    def _loop_until(self, main: KernelTask) -> None:
        slots, ready, waker, step = self._slots, self._ready, self._waker.fileno(), self._step
        poll = self._poller.poll
        while True:
            for descriptor, bits in poll(self._timeout()):
                slot = slots.get(descriptor)
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
            if self._timers:
                self._run_timers()
            for _ in range(len(ready)):
                step(ready.popleft())
            if self._soon:
                self._run_soon()
            if main.done:
                return

    def _timeout(self) -> float | None:
        if self._ready or self._soon:
            return 0
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - self.now())

    def _disarm(self, descriptor: int, slot: Slot, direction: int) -> None:
        """News that nobody waits for would come again at every call: watch no more until somebody does."""
        if self._slots.get(descriptor) is slot:  # it may have been forgotten in this very turn
            self._arm(descriptor, slot, slot.armed & ~direction)

    def _run_timers(self) -> None:
        now = self.now()
        timers = self._timers
        while timers and timers[0][0] <= now:
            moment, _, task = heapq.heappop(timers)
            if task.timer != moment:
                continue  # a sooner entry has taken over
            task.timer = None
            if task.deadline is None or task.done:
                continue
            if task.deadline > now:
                self._set_timer(task, task.deadline)
            elif task.leave():
                task.error = DeadlineError("the deadline has passed")
                self._ready.append(task)

    def _run_calls(self) -> None:
        self._waker.clear()
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def _run_soon(self) -> None:
        callbacks, self._soon = self._soon, []
        for callback in callbacks:
            callback()

    def _step(self, task: KernelTask) -> None:
        """Run one task up to its next wait."""
        self._current = task
        error = task.error
        try:
            if error is None:
                stray = task.context.run(task.send, None)
            else:
                task.error = None
                stray = task.context.run(task.coroutine.throw, error)
            while stray is not None:  # somebody awaited what only another loop can complete
                stray = task.context.run(task.coroutine.throw, _foreign(self.name, stray))
        except StopIteration as stop:
            self._finish(task, stop.value, None)
        except Cancelled as cancelled:
            self._finish(task, None, cancelled)
        except (KeyboardInterrupt, SystemExit) as exit_error:
            self._finish(task, None, exit_error)
            raise
        except BaseException as failure:
            self._finish(task, None, failure)
        finally:
            error = None

    def _finish(self, task: KernelTask, result: Any, error: BaseException | None) -> None:
        task.done = True
        task.result = result
        task.error = error
        self._tasks.discard(task)


def _foreign(engine: str, stray: object) -> RuntimeError:
    return RuntimeError(
        f"the {engine} engine cannot wait for {type(stray).__module__}.{type(stray).__qualname__}: it belongs to "
        f"another event loop; use connection.engine.sleep() and friends here, or serve with engine='asyncio'"
    )


def _subclass(name: str) -> type[ReadinessEngine]:
    return type(f"{name.capitalize()}Engine", (ReadinessEngine,), {"name": name, "__module__": __name__})


READINESS: dict[str, type[ReadinessEngine]] = {name: _subclass(name) for name in POLLERS}
