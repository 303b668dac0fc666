"""Waiting inside a running trio program: its scopes, its time-outs, its cancellation work on our awaits.

Made for the trio that runs, or with a run of its own by `run`. Tasks are trio's system tasks: they outlive the block
that started them, and none outlives the run.
"""

from __future__ import annotations

import contextvars
import math
import os
import select
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    RunVar,
    current_clock,
    current_task,
    current_trio_token,
    in_trio_run,
    notify_closing,
    reschedule,
    spawn_system_task,
    wait_readable,
    wait_task_rescheduled,
    wait_writable,
)
from trio.lowlevel import Task as Inner

from socketkit.engines.engine import READ, Engine, call_guarded, check_moment, report_error
from socketkit.errors import BusyError, DeadlineError

__all__ = ["TrioEngine", "engine_of_run"]

T = TypeVar("T")

_engines: RunVar[TrioEngine] = RunVar("socketkit")


class MonotonicClock(trio.abc.Clock):
    """The clock of a run that `TrioEngine.run` starts: the system's, so that it can be read before the run."""

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        return time.monotonic()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - time.monotonic()


class TrioTask:
    """A coroutine that runs beside its starter, in a scope of its own."""

    __slots__ = ("scope", "was_cancelled")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        # trio would cancel every wait from then on. Our tasks get one exception, as on every engine, so that a
        # clean-up may wait.
        self.was_cancelled = False

    def cancel(self) -> None:
        self.scope.cancel()


class TrioEvent:
    """An event whose waiters are tasks of one run."""

    __slots__ = ("_engine", "_event")

    def __init__(self, engine: TrioEngine) -> None:
        self._engine = engine
        self._event = trio.Event()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def wait(self, *, deadline: float | None = None) -> None:
        if not self._event.is_set():
            await self._engine.until(self._event.wait, (), deadline)


class TrioEngine(Engine):
    """Waiting in one run of trio."""

    name: ClassVar[str] = "trio"
    is_prompt: ClassVar[bool] = False
    cancelled = trio.Cancelled

    def __init__(self, clock: trio.abc.Clock | None = None) -> None:
        self._clock = MonotonicClock() if clock is None else clock
        self._is_own = clock is None
        self._state = "new" if self._is_own else "running"
        self.now = self._clock.current_time
        self._token = None if self._is_own else current_trio_token()
        self._tasks: dict[Inner, TrioTask] = {}
        self._task_ended: trio.Event | None = None  # set while a run of our own ends
        self._failure: BaseException | None = None
        self._main_scope: trio.CancelScope | None = None
        self._soon: list[Callable[[], object]] = []
        self._pid = os.getpid()
        self._caller: Inner | None = None  # parked while there is nothing to call

    # Waiting.

    async def until(
        self, wait: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], deadline: float | None
    ) -> None:
        """Await a wait of trio, with this library's rules for deadlines and cancellation."""
        task = self._tasks.get(current_task())
        was_cancelled = task is not None and task.was_cancelled
        try:
            if deadline is None and not was_cancelled:
                await wait(*arguments)
                return
            moment = math.inf if deadline is None else check_moment(deadline)
            with trio.CancelScope(deadline=moment, shield=was_cancelled):
                await wait(*arguments)
                return
        except trio.Cancelled:
            if task is not None and task.scope.cancel_called:
                task.was_cancelled = True
            raise
        raise DeadlineError("the deadline has passed")

    async def sleep(self, seconds: float) -> None:
        await self.until(trio.sleep, (max(0.0, check_moment(seconds)),), None)

    async def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> None:
        try:
            await self.until(wait_readable if direction == READ else wait_writable, (descriptor,), deadline)
        except DeadlineError:
            if not _is_ready(descriptor, direction):  # trio does not poll in a scope that is over
                raise
        except trio.BusyResourceError:
            raise BusyError(f"another task already waits for descriptor {descriptor} in that direction") from None
        except trio.ClosedResourceError:
            pass  # unregistered: the next call on the descriptor says why
        except PermissionError:  # EPERM, epoll_ctl(2): a regular file, which never blocks
            pass

    def unregister(self, descriptor: int) -> None:
        if in_trio_run() and os.getpid() == self._pid:  # else its epoll(7) is the parent's, which still watches
            notify_closing(descriptor)

    # Tasks.

    def start(self, coroutine: Coroutine[Any, Any, None]) -> TrioTask:
        task = TrioTask()
        inner = spawn_system_task(self._live, task, coroutine, context=contextvars.copy_context())
        self._tasks[inner] = task
        return task

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.start(coroutine)

    async def _live(self, task: TrioTask, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            with task.scope:
                await coroutine
        except Exception as error:
            report_error(error)
        except (KeyboardInterrupt, SystemExit) as error:
            if self._main_scope is None:
                raise  # in a run that is not ours: trio ends it
            self._failure = self._failure or error
            self._main_scope.cancel()
        finally:
            self._tasks.pop(current_task(), None)
            if self._task_ended is not None:
                self._task_ended.set()

    async def shielded(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with trio.CancelScope(shield=True):
            return await coroutine
        raise AssertionError("this scope is never cancelled")

    def event(self) -> TrioEvent:
        return TrioEvent(self)

    # Turns and threads.

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._soon.append(callback)
        if len(self._soon) > 1:
            return  # the call is on its way
        if self._caller is None:
            spawn_system_task(self._call_soon)
        else:
            caller, self._caller = self._caller, None
            reschedule(caller)

    async def _call_soon(self) -> None:
        """Make the calls of each turn in the next one, behind all tasks that were running."""

        def abort(raise_cancel: RaiseCancelT) -> Abort:
            self._caller = None
            return Abort.SUCCEEDED

        while True:
            callbacks, self._soon = self._soon, []
            for callback in callbacks:
                call_guarded(callback)
            if not self._soon:
                self._caller = current_task()
                await wait_task_rescheduled(abort)
            else:
                await trio.lowlevel.checkpoint()

    def from_thread(self, callback: Callable[[], object]) -> None:
        if self._state == "ended":
            raise RuntimeError("the trio engine has ended")
        if self._token is not None:
            self._token.run_sync_soon(call_guarded, callback)

    # A run of our own.

    def run(self, coroutine: Coroutine[Any, Any, T], *, cleanup_timeout: float | None = None) -> T:
        if self._state != "new":
            coroutine.close()
            raise RuntimeError("the trio engine has ended: it runs once")
        asyncio = sys.modules.get("asyncio")
        if in_trio_run() or (asyncio is not None and asyncio._get_running_loop() is not None):
            coroutine.close()
            raise RuntimeError("a loop runs in this thread already: await here, with the engine that is running")
        try:
            return trio.run(self._main, coroutine, clock=self._clock)
        finally:
            self._state = "ended"

    async def _main(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._state = "running"
        self._token = current_trio_token()
        _engines.set(self)
        try:
            with trio.CancelScope() as self._main_scope:
                return await coroutine
            assert self._failure is not None
            raise self._failure
        finally:
            with trio.CancelScope(shield=True):
                await self._end_all()

    async def _end_all(self) -> None:
        """Cancel what is left, until nothing is: a task may start another in its clean-up."""
        asked: set[TrioTask] = set()
        while self._tasks:
            self._task_ended = trio.Event()
            for task in set(self._tasks.values()) - asked:
                task.cancel()
                asked.add(task)
            await self._task_ended.wait()


def engine_of_run() -> TrioEngine:
    """The engine of the trio run around this call; the same one for as long as it runs."""
    try:
        return _engines.get()
    except LookupError:
        engine = TrioEngine(current_clock())
        _engines.set(engine)
        return engine


def _is_ready(descriptor: int, direction: int) -> bool:
    if not hasattr(select, "poll"):  # pragma: no cover - Windows; could not be run on Linux
        watched = ([descriptor], []) if direction == READ else ([], [descriptor])
        return any(select.select(*watched, [], 0))
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if direction == READ else select.POLLOUT)
    return bool(poller.poll(0))
