"""Waiting inside a running asyncio loop, uvloop's too: its tasks, its timeouts, its cancellation work on our awaits.

A descriptor's reader stays registered between waits, and the waiting task is resumed by the loop's callback itself:
asyncio accepts any awaitable that follows its future protocol, and ours calls the task's wake-up without another
turn of the loop (a turn costs more than ten messages).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import os
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ClassVar, Final, TypeVar

from socketkit.engines.engine import LEFT_BEHIND, READ, Engine, check_moment
from socketkit.errors import BusyError, DeadlineError

__all__ = ["AsyncioEngine", "UvloopEngine", "engine_of"]

T = TypeVar("T")

_KEY = "_socketkit_engine"

CROWD: Final = 4
"""Callbacks in a turn from which on they wait for the end of the turn. Sending in a row costs less (a ping-pong over 50
connections on uvloop: a tenth); for a single connection the loop's extra turn costs more."""

TRIAL: Final = 64
"""Turns of single callbacks after which the number of callbacks in a turn is measured again."""

TURN_TASKS: Final = 32
"""As in `readiness`: the first connection must not wait for the last of five hundred."""

_NOTHING: Final = itertools.repeat(None).__next__
"""A function that returns None, in C: asyncio's tasks ask a future for its result and its loop at each wait, and a call
into Python costs three times as much."""


class Side:
    """One direction of a registered descriptor, and the wait there, as asyncio's tasks see a future.

    Made once, and used for one wait after the other.
    """

    __slots__ = (
        "_add", "_asyncio_future_blocking", "_callback", "_context", "_engine", "_error", "_remove", "_timer", "armed",
        "busy", "deadline", "descriptor", "get_loop", "result",
    )  # fmt: skip

    def __init__(self, engine: AsyncioEngine, descriptor: int, direction: int) -> None:
        loop = engine.loop
        self._engine = engine
        self.get_loop = engine.get_loop
        self.result: Callable[[], None] = _NOTHING
        self._add = loop.add_reader if direction == READ else loop.add_writer
        self._remove = loop.remove_reader if direction == READ else loop.remove_writer
        # True: a task takes it for a future. None: `asyncio.isfuture` does not, and it is wrapped into a task.
        self._asyncio_future_blocking: bool | None = None
        self._callback: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None
        self._error: BaseException | None = None
        self._timer: tuple[float, asyncio.TimerHandle] | None = None
        self.descriptor = descriptor
        self.armed = False
        self.busy = False
        self.deadline: float | None = None

    # Called by the task, as on a future.

    def __await__(self) -> Generator[Any, None, None]:
        if self.busy:
            raise self._engine.busy(self.descriptor)
        if not self.armed and not self.arm():
            return
        if self.deadline is not None:
            self._set_timer(check_moment(self.deadline))
        self.busy = self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.busy = False
            self.result = _NOTHING
            self._asyncio_future_blocking = self._error = self._callback = self.deadline = None

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: contextvars.Context | None = None
    ) -> None:
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        if self._callback is None or self._error is not None:
            return False
        self._fail(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        # Not from here: a running task cancels, and tasks do not nest.
        self._engine.loop.call_soon(self.finish)
        return True

    def done(self) -> bool:
        return self._callback is None

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.result = self._raise_error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    # Called by the engine.

    def arm(self) -> bool:
        """Watch; False where it cannot be watched because it never blocks."""
        try:
            self._add(self.descriptor, self._on_ready)
        except PermissionError:  # EPERM, epoll_ctl(2): a regular file
            return False
        self.armed = True
        return True

    def disarm(self) -> None:
        self.armed = False
        self._remove(self.descriptor)

    def finish(self) -> None:
        """Resume the task, from a callback of the loop."""
        callback, self._callback = self._callback, None
        if callback is None:
            return
        if self._context is None:
            callback(self)
        else:
            self._context.run(callback, self)

    def _on_ready(self, watch: object = None) -> None:
        del watch  # an exception that the program keeps holds this frame
        callback = self._callback
        if callback is None:
            self.disarm()  # no task waits: it would be reported again at every turn
        elif self._error is None:
            engine = self._engine
            engine._inside = True
            self._callback = None
            try:
                if self._context is None:
                    callback(self)
                else:
                    self._context.run(callback, self)
            finally:
                engine._inside = False
                if engine._soon and (not engine._is_called or len(engine._soon) >= TURN_TASKS):
                    engine._end_turn()

    def _set_timer(self, deadline: float) -> None:
        """One timer a direction, put back when it comes due too early: most deadlines never come."""
        if self._timer is None or self._timer[0] > deadline:
            self.drop_timer()
            self._timer = (deadline, self._engine.call_at(deadline, self._due))

    def drop_timer(self) -> None:
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        if self.deadline is None or self._callback is None or self._error is not None:
            return
        if self.deadline > self._engine.now():
            self._set_timer(self.deadline)
        else:
            self._fail(DeadlineError("the deadline has passed"))
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
            if self.busy and not self._engine.loop.is_closed():
                self._engine.loop.call_soon(self._arm_again)  # behind the closing

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


class AsyncioEngine(Engine):
    """Waiting in one asyncio loop. Made for a running loop by `engine_of`, or with a loop of its own by `run`."""

    name: ClassVar[str] = "asyncio"
    cancelled = asyncio.CancelledError

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop: asyncio.AbstractEventLoop = loop if loop is not None else self._new_loop()
        self.now = self.loop.time
        self._sides: tuple[dict[int, Side], dict[int, Side]] = ({}, {})  # readers, writers
        self._soon: list[Callable[[], object]] = []
        self._inside = False  # in one of our callbacks, which calls `_end_turn`
        self._is_called = False  # the loop will call `_run_called`
        self._is_crowded = False
        self._gathered = 0  # callbacks since the turn began
        self._trial = TRIAL  # turns until we look for a crowd
        self.get_loop: Callable[[], asyncio.AbstractEventLoop] = itertools.repeat(self.loop).__next__
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
            raise self.busy(descriptor)
        side.deadline = deadline
        return side

    def busy(self, descriptor: int) -> BusyError:
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

    def call_soon(self, callback: Callable[[], object]) -> None:
        if not self._inside and not self._is_called:
            self._is_called = True
            self._gathered = 0
            self.loop.call_soon(self._run_called)
        self._soon.append(callback)

    def _end_turn(self) -> None:
        """Make the calls at the end of one of our callbacks, or at the end of the turn where there are many."""
        self._trial -= 1
        if not self._is_called and (self._is_crowded or not self._trial):
            self._is_called = True
            self._gathered = 0
            self.loop.call_soon(self._run_called)
        else:
            self._run_soon()

    def _run_called(self) -> None:
        self._is_called = False
        self._run_soon()
        self._is_crowded = self._gathered >= CROWD
        self._trial = TRIAL

    def _run_soon(self) -> None:
        callbacks, self._soon = self._soon, []
        self._gathered += len(callbacks)
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # the callbacks behind it belong to other connections
                self._report_error("a deferred callback has failed", error)

    def _report_error(self, message: str, error: BaseException) -> None:
        self.loop.call_exception_handler({"message": message, "exception": error})

    def from_thread(self, callback: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(callback)

    def call_at(self, moment: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call at a moment of this engine's clock, and never before it."""
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

    def call_at(self, moment: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
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
