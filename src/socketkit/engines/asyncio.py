"""Waiting inside a running asyncio loop, uvloop's too: its tasks, its timeouts, its cancellation work on our awaits.

A descriptor's reader stays registered between waits, and the waiting task is resumed by the loop's callback itself:
asyncio accepts any awaitable that follows its future protocol, and ours calls the task's wake-up without another
turn of the loop (a turn costs more than ten messages).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from socketkit._core import LoopCore, SideCore
from socketkit.engines.engine import LEFT_BEHIND, READ, Engine, check_moment
from socketkit.errors import BusyError, DeadlineError

__all__ = ["AsyncioEngine", "UvloopEngine", "engine_of"]

T = TypeVar("T")

_KEY = "_socketkit_engine"


class Side(SideCore):
    """One direction of a registered descriptor, and the wait there, as asyncio's tasks see a future.

    Made once, and used for one wait after the other.
    """

    __slots__ = ("_add", "_loop_engine", "_remove", "_timer")

    def __init__(self, engine: AsyncioEngine, descriptor: int, direction: int) -> None:
        super().__init__(engine)
        loop = engine.loop
        self._loop_engine = engine
        self.descriptor = descriptor
        self._add = loop.add_reader if direction == READ else loop.add_writer
        self._remove = loop.remove_reader if direction == READ else loop.remove_writer
        self._timer: tuple[float, asyncio.TimerHandle] | None = None

    def cancel(self, msg: object = None) -> bool:
        """Cancel the wait, as a task does with a future."""
        if self._callback is None or self._error is not None:
            return False
        self._error = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        # Not from here: a running task cancels, and tasks do not nest.
        self._loop_engine.loop.call_soon(self.finish)
        return True

    def arm(self) -> bool:
        try:
            self._add(self.descriptor, self._on_ready)
        except PermissionError:  # EPERM, epoll_ctl(2): a regular file
            return False
        self.armed = True
        return True

    def disarm(self) -> None:
        self.armed = False
        self._remove(self.descriptor)

    def _begin_timer(self) -> None:
        """One timer a direction, put back when it comes due too early: most deadlines never come."""
        assert self.deadline is not None
        deadline = check_moment(self.deadline)
        if self._timer is None or self._timer[0] > deadline:
            self.drop_timer()
            self._timer = (deadline, self._loop_engine.call_at(deadline, self._due))

    def drop_timer(self) -> None:
        """Wait for no deadline."""
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self.deadline is None or self._callback is None or self._error is not None:
            return
        if self.deadline > self._loop_engine.now():
            self._begin_timer()
        else:
            self._error = DeadlineError("the deadline has passed")
            self.finish()


class UvloopSide(Side):
    """A side on uvloop, which at an error (POLLERR) calls back once more and closes its handle for good.

    That may be too early: before a reset there is data to read, and a datagram socket outlives an error. uvloop drops
    its references then, so that `Watch.__del__` reports it, at no cost while nothing happens.
    """

    __slots__ = ()

    def arm(self) -> bool:
        try:
            try:
                self._add(self.descriptor, self._on_ready, Watch(self))
            except RuntimeError:  # its handle is closed
                self._remove(self.descriptor)
                self._add(self.descriptor, self._on_ready, Watch(self))
        except PermissionError:  # EPERM, epoll_ctl(2): a regular file
            return False
        self.armed = True
        return True

    def watch_ended(self) -> None:
        """Watch again if uvloop has ended the watch by itself."""
        if self.armed:  # else `disarm` ended it
            self.armed = False
            if self.busy and not self._loop_engine.loop.is_closed():
                self._loop_engine.loop.call_soon(self._arm_again)  # behind the closing

    def _arm_again(self) -> None:
        if self.busy and not self.armed:
            try:
                is_watched = self.arm()
            except OSError:
                is_watched = False
            if not is_watched:
                self.finish()  # the call says what is wrong


class Watch:
    """Held by uvloop's handle for as long as it watches."""

    __slots__ = ("_side",)

    def __init__(self, side: UvloopSide) -> None:
        self._side = side

    def __del__(self) -> None:
        self._side.watch_ended()


class LoopEvent:
    """An event whose waiters are tasks of one loop."""

    __slots__ = ("_engine", "_set", "_waiting")

    def __init__(self, engine: AsyncioEngine) -> None:
        self._engine = engine
        self._set = False
        self._waiting: dict[asyncio.Future[bool], None] = {}  # ordered: first come, first served

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            _resolve(future, True)

    async def wait(self, *, deadline: float | None = None) -> None:
        if self._set:
            return
        if deadline is not None:
            check_moment(deadline)
        future: asyncio.Future[bool] = self._engine.loop.create_future()
        self._waiting[future] = None
        timer = None if deadline is None else self._engine.call_at(deadline, _resolve, future, False)
        try:
            if not await future:
                raise DeadlineError("the deadline has passed")
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting.pop(future, None)


def _resolve(future: asyncio.Future[bool], is_set: bool) -> None:
    if not future.done():
        future.set_result(is_set)


class LoopTask(asyncio.Task[None]):
    """A task that begins before it is cancelled.

    asyncio throws a cancellation into a coroutine that has not run a single line, and then its `finally` never runs.
    """

    def cancel(self, msg: Any = None) -> bool:
        coroutine = self.get_coro()
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            self.get_loop().call_soon(super().cancel, msg)  # behind its first step, which is in the queue already
            return True
        return super().cancel(msg)


class AsyncioEngine(LoopCore, Engine):
    """Waiting in one asyncio loop. Made for a running loop by `engine_of`, or with a loop of its own by `run`."""

    name: ClassVar[str] = "asyncio"
    cancelled = asyncio.CancelledError

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop = loop if loop is not None else self._new_loop()
        self.now = self.loop.time
        self._sides: tuple[dict[int, Side], dict[int, Side]] = (self._readers, {})  # readers, writers
        self._tasks: set[asyncio.Task[None]] = set()
        self._pid = os.getpid()
        setattr(self.loop, _KEY, self)  # a circle with the loop, which ends with it

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def _new_side(self, descriptor: int, direction: int) -> Side:
        return Side(self, descriptor, direction)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(check_moment(seconds))

    def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> Side:
        sides = self._sides[direction != READ]
        side = sides.get(descriptor)
        if side is None:
            side = sides[descriptor] = self._new_side(descriptor, direction)
        elif side.busy:
            raise self.busy_error(descriptor)
        side.deadline = deadline
        return side

    def busy_error(self, descriptor: int) -> BusyError:
        """Return the error of the second of two waiters."""
        return BusyError(f"another task already waits for descriptor {descriptor} in that direction")

    def unregister(self, descriptor: int) -> None:
        if os.getpid() != self._pid:
            return  # a child of fork(2) shares the loop's epoll(7) with its parent, which still watches
        for sides in self._sides:
            side = sides.pop(descriptor, None)
            if side is not None and not self.loop.is_closed():
                side.disarm()
                side.drop_timer()
                if side.busy:
                    self.loop.call_soon(side.finish)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> LoopTask:
        task = LoopTask(coroutine, loop=self.loop)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._end_task)
        return task

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report_error("a task has failed", error)

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.start(coroutine)

    def event(self) -> LoopEvent:
        return LoopEvent(self)

    def _report(self, error: BaseException) -> None:
        self._report_error("a deferred callback has failed", error)

    def _report_error(self, message: str, error: BaseException) -> None:
        self.loop.call_exception_handler({"message": message, "exception": error})

    def from_thread(self, callback: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(callback)

    def call_at(self, moment: float, callback: Callable[..., object], /, *arguments: Any) -> asyncio.TimerHandle:
        return self.loop.call_at(moment, callback, *arguments)

    def run(self, coroutine: Coroutine[Any, Any, T], *, cleanup_timeout: float | None = None) -> T:
        if self.loop.is_closed():
            coroutine.close()
            raise RuntimeError(f"the {self.name} engine has ended: it runs once")
        if asyncio._get_running_loop() is not None:
            coroutine.close()
            self.loop.close()
            raise RuntimeError("a loop runs in this thread already: await here, with the engine that is running")
        runner = asyncio.Runner(loop_factory=lambda: self.loop)
        left: set[asyncio.Task[Any]] = set()
        try:
            try:
                return runner.run(coroutine)
            finally:
                left = runner.run(_end_all(cleanup_timeout))
        finally:
            if left:
                self._leave(left)
            else:
                runner.close()

    def _leave(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Close the loop over tasks that do not end, for which `Runner.close` would wait."""
        for task in tasks:
            setattr(task, "_log_destroy_pending", False)  # noqa: B010 - left behind on purpose: no complaint of asyncio
        LEFT_BEHIND.extend(tasks)
        self.loop.close()


async def _end_all(cleanup_timeout: float | None) -> set[asyncio.Task[Any]]:
    """Cancel what is left, until nothing is: a task may start another in its clean-up, which `Runner` overlooks. Return
    the tasks that outlast the time-out."""
    last = None if cleanup_timeout is None else time.monotonic() + cleanup_timeout
    asked = {asyncio.current_task()}
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        ahead = None if last is None else last - time.monotonic()
        if ahead is not None and ahead <= 0:
            break
        for task in left - asked:
            task.cancel()
        asked |= left
        await asyncio.wait(left, timeout=ahead)
    return left


class UvloopEngine(AsyncioEngine):
    """The same on uvloop's loop: libuv underneath, faster turns."""

    name: ClassVar[str] = "uvloop"

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop)
        self.now = time.monotonic  # uvloop's own clock stands still within a turn

    def _new_side(self, descriptor: int, direction: int) -> Side:
        return UvloopSide(self, descriptor, direction)

    def call_at(self, moment: float, callback: Callable[..., object], /, *arguments: Any) -> asyncio.TimerHandle:
        # uvloop counts whole milliseconds, and rounds both ends: one and a half more, and none comes too early.
        delay = moment - self.now()
        return self.loop.call_later(delay + 0.0015 if delay > 0 else 0, callback, *arguments)

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()


def engine_of(loop: asyncio.AbstractEventLoop) -> AsyncioEngine:
    """The engine of a running loop; the same one each time, so that registrations are shared."""
    engine: AsyncioEngine | None = getattr(loop, _KEY, None)
    if engine is None:
        kind = UvloopEngine if type(loop).__module__.partition(".")[0] == "uvloop" else AsyncioEngine
        engine = kind(loop)
    return engine
