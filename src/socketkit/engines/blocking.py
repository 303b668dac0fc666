"""The engine that blocks: a coroutine runs to its end in a single step, in the thread that calls it.

Tasks are threads. A wait is one `poll` of the descriptor and of the thread's waker. Other threads wake it up to cancel
it, to set an event, or to close the descriptor. There is no loop and no hidden thread.
"""

from __future__ import annotations

import contextvars
import os
import select
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakSet

from socketkit.config.time_limits import CANCEL_TIMEOUT
from socketkit.engines.engine import READ, WRITE, Engine, call_guarded, check_moment
from socketkit.engines.waker import Waker
from socketkit.errors import BusyError, DeadlineError

__all__ = ["BlockingEngine", "Cancelled"]

T = TypeVar("T")

_LONG: Final = 24 * 3600.0
"""Seconds of the longest single wait: poll(2) takes less than 25 days. As asyncio."""


class Cancelled(BaseException):
    """Raised inside a thread that was cancelled. Clean up, and do not catch it for good."""


class Here(threading.local):
    """What the engine knows about the calling thread."""

    def __init__(self) -> None:
        self.task: ThreadTask | None = None
        self.waker: Waker | None = None  # a task's is made at its start; None during a wait
        self.family: set[ThreadTask] | None = None  # the tasks of the `run` that this thread is part of
        self.is_shielded = False
        self.seen_counts: dict[int, int] = {}  # the count of each descriptor at this thread's last wait


class ThreadTask:
    """A coroutine that runs to its end in a thread of its own."""

    def __init__(self, engine: BlockingEngine, coroutine: Coroutine[Any, Any, None]) -> None:
        self._engine = engine
        self._coroutine = coroutine
        self._family = engine._here.family
        self.waker = Waker()
        self.cancelling = False
        self.ended = threading.Event()
        context = contextvars.copy_context()
        # A daemon: a handler that is stuck in a call must not delay the end of the program.
        thread = threading.Thread(target=context.run, args=(self._live,), name="socketkit task", daemon=True)
        if self._family is not None:
            self._family.add(self)
        try:
            thread.start()
        except BaseException:
            coroutine.close()
            self._leave()
            raise

    def cancel(self) -> None:
        self.cancelling = True  # before the wake-up: the thread reads it then
        self.waker.wake()

    def _live(self) -> None:
        here = self._engine._here
        here.task, here.waker, here.family = self, self.waker, self._family
        try:
            _finish(self._coroutine)
        except Cancelled:
            pass
        finally:
            self._leave()

    def _leave(self) -> None:
        self.waker.close()
        if self._family is not None:
            self._family.discard(self)
        self.ended.set()


class ThreadEvent:
    """An event for threads. Its waiters are the wakers of those that wait."""

    def __init__(self, engine: BlockingEngine) -> None:
        self._engine = engine
        self._set = False
        self._waiting: list[Waker] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        # No lock, because a signal handler may run anywhere. Here the flag is set before the wakers are read; `wait`
        # adds its waker before it reads the flag. So one of both sees the other.
        self._set = True
        for waker in list(self._waiting):
            waker.wake()

    async def wait(self, *, deadline: float | None = None) -> None:
        waker = self._engine._take_waker()
        self._waiting.append(waker)
        try:
            while not self._set:
                self._engine._pause(waker, deadline)
        finally:
            self._waiting.remove(waker)
            self._engine._here.waker = waker


class BlockingEngine(Engine):
    """Waiting by `poll` in the calling thread. One engine serves many threads, and may run again."""

    name: ClassVar[str] = "blocking"
    blocks: ClassVar[bool] = True
    cancelled = Cancelled

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._here = Here()
        self._waiting: dict[tuple[int, int], Waker] = {}  # by descriptor and direction: of the thread that waits
        self._unregister_counts: dict[int, int] = {}  # how often each descriptor was unregistered
        _engines.add(self)

    # Waits.

    async def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> None:
        if descriptor < 0:
            return  # another thread has just closed it: the next call on it says so
        waiting, place, waker = self._waiting, (descriptor, direction), self._take_waker()
        try:
            if waiting.setdefault(place, waker) is not waker:
                raise BusyError(f"another task already waits for descriptor {descriptor} in that direction")
            if self._was_unregistered(descriptor):
                return
            while waiting.get(place) is waker:  # else it was unregistered
                if self._pause(waker, deadline, descriptor, direction):
                    return
        finally:
            if waiting.get(place) is waker:
                del waiting[place]
            self._here.waker = waker

    def _was_unregistered(self, descriptor: int) -> bool:
        """Whether the descriptor was unregistered since this thread last waited for it.

        Its number may belong to another file by now, and the calling code, which read it before, must look again.
        `wait` adds its waker before it asks; `unregister` counts before it removes the waker: one of both sees the
        other.
        """
        count, seen = self._unregister_counts.get(descriptor, 0), self._here.seen_counts
        if seen.get(descriptor, 0) == count:
            return False
        seen[descriptor] = count
        return True

    def forget_threads(self) -> None:
        """In a child of fork(2): no other thread waits."""
        self._waiting.clear()

    def is_alone(self) -> bool:
        """Whether the calling thread is no task, so that nothing can cancel its wait."""
        return self._here.task is None

    def _take_waker(self) -> Waker:
        """Return this thread's waker, which the wait gives back to `Here.waker` at its end.

        A signal handler may wait in the middle of a wait. It gets another waker: with the same one it would take the
        wake-up of the wait that it has interrupted.
        """
        here = self._here
        waker, here.waker = here.waker, None
        return Waker() if waker is None else waker

    def _pause(
        self, waker: Waker, deadline: float | None, descriptor: int | None = None, direction: int = READ
    ) -> bool:
        """Wait until the descriptor is ready (True), or another thread has woken this one (False)."""
        self._take_cancellation()
        timeout = None if deadline is None else min(max(0.0, check_moment(deadline) - self.now()), _LONG)
        if _poll(descriptor, direction, waker.fileno(), timeout):
            self._take_cancellation()
            return True
        if not waker.clear() and deadline is not None and self.now() >= deadline:
            raise DeadlineError("the deadline has passed")
        return False

    def _take_cancellation(self) -> None:
        """Raise a requested cancellation; called before and after each wait."""
        here = self._here
        task = here.task
        if task is not None and task.cancelling and not here.is_shielded:
            task.cancelling = False
            raise Cancelled

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            self._take_cancellation()
            return
        try:
            await self.event().wait(deadline=self.now() + seconds)
        except DeadlineError:
            pass  # as intended

    def unregister(self, descriptor: int) -> None:
        self._unregister_counts[descriptor] = self._here.seen_counts[descriptor] = (
            self._unregister_counts.get(descriptor, 0) + 1
        )
        for direction in (READ, WRITE):
            waker = self._waiting.pop((descriptor, direction), None)
            if waker is not None:
                waker.wake()

    # Tasks.

    def start(self, coroutine: Coroutine[Any, Any, None]) -> ThreadTask:
        return ThreadTask(self, coroutine)

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        here = self._here
        before, here.is_shielded = here.is_shielded, True  # it runs to its end also in a thread that was cancelled
        try:
            _finish(coroutine)
        finally:
            here.is_shielded = before

    def event(self) -> ThreadEvent:
        return ThreadEvent(self)

    # Turns and threads.

    def call_soon(self, callback: Callable[[], object]) -> None:
        call_guarded(callback)

    def from_thread(self, callback: Callable[[], object]) -> None:
        call_guarded(callback)

    async def run_in_thread(
        self, function: Callable[[], T], *, deadline: float | None = None, purpose: str = "functions"
    ) -> T:
        if deadline is None and self._here.task is None:
            return function()  # nothing could interrupt it anyway
        return await super().run_in_thread(function, deadline=deadline, purpose=purpose)

    def run(self, coroutine: Coroutine[Any, Any, T], *, cleanup_timeout: float | None = None) -> T:
        here = self._here
        outer, family, pid = here.family, set[ThreadTask](), os.getpid()
        here.family = family
        try:
            return _finish(coroutine)
        finally:
            here.family = outer
            if family and os.getpid() == pid:  # a child of fork(2) has none of these threads
                _end_all(family, CANCEL_TIMEOUT if cleanup_timeout is None else cleanup_timeout)


_engines: WeakSet[BlockingEngine] = WeakSet()


def _forget_threads() -> None:
    """In a child of fork(2): the parent's other threads, which waited, are not here."""
    for engine in list(_engines):
        engine.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _end_all(family: set[ThreadTask], cleanup_timeout: float) -> None:
    """Cancel the threads that are left, and those that they start meanwhile; leave behind those that do not end."""
    asked: set[ThreadTask] = set()
    last = time.monotonic() + cleanup_timeout
    while family and time.monotonic() < last:
        left = list(family)
        for task in left:
            if task not in asked:
                asked.add(task)
                task.cancel()
        for task in left:
            task.ended.wait(max(0.0, last - time.monotonic()))


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        stray = coroutine.send(None)
        while True:  # awaited, but only a loop can complete it: raise where it was awaited
            stray = coroutine.throw(_foreign(stray))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _foreign(stray: object) -> RuntimeError:
    return RuntimeError(
        f"the blocking engine cannot wait for {type(stray).__module__}.{type(stray).__qualname__}: it belongs to an "
        f"event loop; serve with engine='asyncio', or call a blocking function here"
    )


if hasattr(select, "poll"):

    def _poll(descriptor: int | None, direction: int, waker: int, timeout: float | None) -> bool:
        """Whether the descriptor is ready within `timeout` seconds; False also when the waker ends the wait."""
        poller = select.poll()
        poller.register(waker, select.POLLIN)
        if descriptor is not None:
            poller.register(descriptor, select.POLLIN if direction == READ else select.POLLOUT)
        ready = poller.poll(None if timeout is None else timeout * 1000)
        return any(number == descriptor for number, _ in ready)

else:  # pragma: no cover - Windows; could not be run on Linux

    def _poll(descriptor: int | None, direction: int, waker: int, timeout: float | None) -> bool:
        readers = [waker] if descriptor is None or direction != READ else [waker, descriptor]
        writers = [] if descriptor is None or direction == READ else [descriptor]
        ready = select.select(readers, writers, writers, timeout)
        return any(descriptor in numbers for numbers in ready)
