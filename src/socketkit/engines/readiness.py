"""The readiness engines: many coroutines in one thread, over select, poll, epoll or kqueue.

A task is a coroutine. When it would block it is parked at a descriptor, an event or a deadline; the loop resumes it
directly, without a queue between. A descriptor stays registered between waits, and is removed only when it becomes
ready while no task waits for it.
"""

from __future__ import annotations

import heapq
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import coroutine as generator_coroutine
from typing import Any, Final, TypeVar

from socketkit._core import PARKED, Kernel, Slot
from socketkit.engines.engine import LEFT_BEHIND, READ, Engine, call_guarded, check_moment, report_error
from socketkit.engines.kernel_task import Cancelled, KernelEvent, KernelTask, Sooner, TimedCall
from socketkit.engines.pollers import POLLERS, Poller
from socketkit.engines.waker import Waker
from socketkit.errors import BusyError, DeadlineError

__all__ = ["READINESS", "Cancelled", "ReadinessEngine", "running"]

T = TypeVar("T")

FEW_TIMERS: Final = 64
"""Stale timers that the heap may hold before it is cleaned; from then on as many as live ones. As asyncio."""


class RunningKernel(threading.local):
    """The kernel that runs in each thread."""

    kernel: ReadinessEngine | None = None


_running = RunningKernel()


def running() -> ReadinessEngine | None:
    """Return the kernel that runs in this thread now; for `api` only."""
    return _running.kernel


class ReadinessEngine(Kernel, Engine):
    """The kernel. Its subclasses differ in one class attribute: the poller."""

    cancelled = Cancelled

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, poller: Poller | None = None) -> None:
        """Args:
        clock: returns the current time, in seconds.
        poller: waits in place of the system call that the engine is named after.
        """
        self.now = clock
        self._poller: Poller = POLLERS[self.name]() if poller is None else poller
        self._epoll = getattr(self._poller, "epoll", -1)
        self._ready = deque()
        self._timers = []
        self._timer_count = 0
        self._stale_count = 0  # entries of the heap whose task needs them no more
        self._soon = deque()
        self.call_soon = self._soon.append
        self._tasks: dict[KernelTask, None] = {}  # a set takes twice as much memory
        self._current = None
        self._main: KernelTask | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._calls: deque[Callable[[], object]] = deque()  # from other threads
        self._waker = Waker(takes_signals=True)
        self._poller.arm(self._waker.fileno(), 0, READ)
        self._ended = False

    # Waits: each parks the current task and hands the thread back to the loop.

    @generator_coroutine
    def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> Generator[object, None, None]:
        task = self._current
        assert task is not None
        if task.cancelling:
            task.take_cancellation()
        slot = self._slot(descriptor)
        if slot is None:
            slot = self._make_slot(descriptor)
        if (slot.reader if direction == READ else slot.writer) is not None:
            raise BusyError(f"another task already waits for descriptor {descriptor} in that direction")
        if not slot.armed & direction:
            try:
                self._arm(descriptor, slot, slot.armed | direction)
            except PermissionError:  # EPERM, epoll_ctl(2): a regular file, which never blocks
                self._drop_slot(descriptor)
                return
            except BaseException:
                if not slot.armed:
                    self._drop_slot(descriptor)
                raise
        if deadline is not None:
            self._set_timer(task, deadline)
        if direction == READ:
            slot.reader = task
        else:
            slot.writer = task
        task.slot = slot
        task.direction = direction
        yield PARKED

    @generator_coroutine
    def _park_at(self, event: KernelEvent, deadline: float | None) -> Generator[object, None, None]:
        task = self._current
        assert task is not None
        task.take_cancellation()
        if deadline is not None:
            self._set_timer(task, deadline)
        event.waiting[task] = None
        task.event = event
        yield PARKED

    @generator_coroutine
    def _park_until(self, moment: float) -> Generator[object, None, None]:
        task = self._current
        assert task is not None
        task.take_cancellation()
        self._set_timer(task, moment)
        yield PARKED

    @generator_coroutine
    def _yield_turn(self) -> Generator[object, None, None]:
        task = self._current
        assert task is not None
        task.take_cancellation()
        self._ready.append(task)
        yield PARKED

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await self._yield_turn()
            return
        try:
            await self._park_until(self.now() + seconds)
        except DeadlineError:
            pass  # as intended

    def unregister(self, descriptor: int) -> None:
        slot = self._slot(descriptor)
        if slot is None:
            return
        self._drop_slot(descriptor)
        if slot.armed:
            try:
                self._poller.arm(descriptor, slot.armed, 0)
            except (OSError, KeyError):
                pass  # closed already: the system has dropped it
        for task in (slot.reader, slot.writer):
            if task is not None and task.leave():
                self._ready.append(task)

    def _arm(self, descriptor: int, slot: Slot, directions: int) -> None:
        self._poller.arm(descriptor, slot.armed, directions)
        slot.armed = directions

    def _set_timer(self, task: KernelTask | TimedCall, moment: float) -> None:
        """Keep one heap entry for each task: an entry that is due too early is put back, instead of a push for each
        wait."""
        task.deadline = check_moment(moment)
        if task.timer is None or moment < task.timer:
            if task.timer is not None:
                self._count_stale()
            task.timer = moment
            self._timer_count += 1
            heapq.heappush(self._timers, (moment, self._timer_count, task))

    def _count_stale(self) -> None:
        """Tasks that ended long before their deadline must not pile up until it comes."""
        self._stale_count += 1
        if self._stale_count > FEW_TIMERS and self._stale_count * 2 > len(self._timers):
            self._timers[:] = [entry for entry in self._timers if entry[2].timer == entry[0]]
            heapq.heapify(self._timers)
            self._stale_count = 0

    # Tasks.

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> KernelTask:
        task = KernelTask(self._ready, coroutine)
        self._tasks[task] = None
        self._ready.append(task)
        return task

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.start(coroutine)

    def call_at(self, moment: float, callback: Callable[[], object], /) -> TimedCall:
        made = TimedCall(lambda: call_guarded(callback), self._count_stale)
        self._set_timer(made, moment)
        return made

    def event(self) -> KernelEvent:
        return KernelEvent(self._ready, self._park_at)

    def from_thread(self, callback: Callable[[], object]) -> None:
        if self._ended:
            raise RuntimeError(f"the {self.name} engine has ended")
        self._calls.append(callback)
        self._waker.wake()

    # The loop.

    def run(self, coroutine: Coroutine[Any, Any, T], *, cleanup_timeout: float | None = None) -> T:
        if self._ended:
            coroutine.close()
            raise RuntimeError(f"the {self.name} engine has ended: it runs once")
        before = running()
        _running.kernel = self
        self._main = self.start(coroutine)
        old_wakeup = self._watch_signals()
        try:
            self._loop_until(self._main, self._waker.fileno())
        finally:
            self._main = None  # it is done, or its result is not needed any more
            try:
                self._end_all(cleanup_timeout)
            finally:
                _running.kernel = before
                if old_wakeup is not None:
                    signal.set_wakeup_fd(old_wakeup)
                self._close()
        error, result = self._error, self._result
        try:
            if error is not None:
                raise error
            return result  # type: ignore[no-any-return]
        finally:
            self._error = self._result = error = None  # no circle of exception, frame and engine

    def _watch_signals(self) -> int | None:
        """In the main thread: end a wait at each signal, for Python's handlers run between two waits only.

        Returns:
            The wake-up descriptor to set at the end; None: another one was set already, and stays.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        old = signal.set_wakeup_fd(self._waker.signal_fileno(), warn_on_full_buffer=False)
        if old != -1:
            signal.set_wakeup_fd(old, warn_on_full_buffer=False)
            return None
        return old

    def _end_all(self, cleanup_timeout: float | None) -> None:
        """Cancel what is left, main included, until nothing is: a task may start another in its clean-up."""
        # A KeyboardInterrupt may have struck between taking a task from its place and running it.
        ready = set(self._ready)
        self._ready.extend(task for task in self._tasks if task not in ready and not task.is_parked())
        asked: set[KernelTask] = set()  # once each: a task that cleans up is not cancelled again
        alarm = None if cleanup_timeout is None else self.start(self.sleep(cleanup_timeout))
        while (left := self._tasks.keys() - {alarm}) and not (alarm is not None and alarm.done):
            for task in left - asked:
                asked.add(task)
                task.cancel()
            for task in left:
                if not task.done:
                    self._loop_until(task if alarm is None else Sooner(task, alarm), self._waker.fileno())
        if alarm is not None:
            alarm.coroutine.close()
            LEFT_BEHIND.extend(self._tasks.keys() - {alarm})

    def _close(self) -> None:
        self._ended = True
        self._current = None
        self._run_soon()
        self._poller.close()
        self._waker.close()

    def _disarm(self, descriptor: int, slot: Slot, direction: int) -> None:
        """Stop watching what no task waits for: a level-triggered poller would report it at every call."""
        if self._slot(descriptor) is slot:  # it may have been unregistered in this very turn
            try:
                self._arm(descriptor, slot, slot.armed & ~direction)
            except (OSError, KeyError):  # closed without `unregister`: the other tasks go on
                self._drop_slot(descriptor)

    def _run_timers(self) -> None:
        now = self.now()
        timers = self._timers
        while timers and timers[0][0] <= now:
            moment, _, task = heapq.heappop(timers)
            if task.timer != moment:  # the task has ended, or a sooner entry has taken over
                self._stale_count -= 1
                continue
            task.timer = None
            if task.deadline is None:
                continue
            if task.deadline > now:
                self._set_timer(task, task.deadline)
            elif task.leave():
                task.error = DeadlineError("the deadline has passed")
                self._ready.append(task)

    def _run_calls(self) -> None:
        self._waker.clear()
        for _ in range(len(self._calls)):
            call_guarded(self._calls.popleft())

    def check_capacity(self) -> None:
        self._poller.check_capacity()

    def _foreign(self, stray: object) -> RuntimeError:
        return RuntimeError(
            f"the {self.name} engine cannot wait for {type(stray).__module__}.{type(stray).__qualname__}: it belongs "
            f"to another event loop; use connection.engine.sleep() and friends here, or serve with engine='asyncio'"
        )

    def _report(self, error: BaseException) -> None:
        report_error(error)

    def _finish(self, task: KernelTask, result: Any, error: BaseException | None) -> None:
        task.done = True
        self._tasks.pop(task, None)
        if task.timer is not None:
            task.timer = None
            self._count_stale()
        if task is self._main:
            self._result, self._error = result, error
        elif error is not None and not isinstance(error, Cancelled):
            report_error(error)


def _subclass(name: str) -> type[ReadinessEngine]:
    return type(f"{name.capitalize()}Engine", (ReadinessEngine,), {"name": name, "__module__": __name__})


READINESS: dict[str, type[ReadinessEngine]] = {name: _subclass(name) for name in POLLERS}
