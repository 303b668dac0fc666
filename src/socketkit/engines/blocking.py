"""The engine that waits here and now: a coroutine runs to its end in a single step, by whoever calls it.

Tasks are threads. A wait is one `poll` of the descriptor and, in a thread of ours, of the waker by which the thread
is cancelled. There is no loop and no hidden thread.
"""

from __future__ import annotations

import contextvars
import select
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from socketkit.engines.engine import READ, Engine
from socketkit.engines.waker import Waker
from socketkit.errors import DeadlineError

__all__ = ["BlockingEngine", "Cancelled"]

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised inside a thread that was asked to end. Clean up and let it pass."""


class ThreadTask:
    """A coroutine that runs to its end in a thread of its own."""

    def __init__(self, engine: BlockingEngine, coroutine: Coroutine[Any, Any, None]) -> None:
        self._engine = engine
        self._coroutine = coroutine
        self._lock = threading.Lock()
        self.waker: Waker | None = Waker()
        self.cancelling = False
        context = contextvars.copy_context()
        # A daemon: a handler that is stuck in a call of its own must not hold up the end of the program.
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="socketkit task", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        with self._lock:
            if self.waker is not None:
                self.cancelling = True
                self.waker.wake()

    def _work(self) -> None:
        self._engine._local.task = self
        try:
            _finish(self._coroutine)
        except Cancelled:
            pass
        finally:
            with self._lock:
                waker, self.waker = self.waker, None
            if waker is not None:
                waker.close()

    def take_cancellation(self) -> None:
        """At the door of a wait: raise what was asked for."""
        if self.cancelling:
            with self._lock:
                self.cancelling = False
                if self.waker is not None:
                    self.waker.clear()
            raise Cancelled


class ThreadEvent:
    """An event for threads: each waiter polls a waker of its own."""

    def __init__(self, engine: BlockingEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._set = False
        self._waiting: list[Waker] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._lock:
            self._set = True
            for waker in self._waiting:
                waker.wake()

    async def wait(self, *, deadline: float | None = None) -> None:
        waker = Waker()
        try:
            with self._lock:
                if self._set:
                    return
                self._waiting.append(waker)
            try:
                await self._engine.wait(waker.fileno(), READ, deadline)
            finally:
                with self._lock:
                    self._waiting.remove(waker)
        finally:
            waker.close()


class BlockingEngine(Engine):
    """Waiting by `poll` in the calling thread. One engine may serve many threads."""

    name: ClassVar[str] = "blocking"
    blocks: ClassVar[bool] = True
    cancelled = Cancelled

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._local = threading.local()

    def now(self) -> float:
        return self._clock()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            self._take_cancellation()
            return
        try:
            await self.event().wait(deadline=self.now() + seconds)
        except DeadlineError:
            pass  # which is what it waited for

    async def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> None:
        task: ThreadTask | None = getattr(self._local, "task", None)
        waker = None if task is None or task.waker is None else task.waker.fileno()
        while True:
            if task is not None:
                task.take_cancellation()
            timeout = None if deadline is None else max(0.0, deadline - self._clock())
            ready = _poll(descriptor, direction, waker, timeout)
            if task is not None:
                task.take_cancellation()
            if ready:
                return
            if timeout is not None and self._clock() >= deadline:  # type: ignore[operator]
                raise DeadlineError("the deadline has passed")

    def _take_cancellation(self) -> None:
        task: ThreadTask | None = getattr(self._local, "task", None)
        if task is not None:
            task.take_cancellation()

    def forget(self, descriptor: int) -> None:
        pass  # nothing is registered: a wait in another thread wakes up by the shutdown that comes before a close

    def start(self, coroutine: Coroutine[Any, Any, None]) -> ThreadTask:
        return ThreadTask(self, coroutine)

    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        _finish(coroutine)

    def event(self) -> ThreadEvent:
        return ThreadEvent(self)

    def soon(self, callback: Callable[[], None]) -> None:
        callback()

    def from_thread(self, callback: Callable[[], None]) -> None:
        callback()

    async def aside(self, function: Callable[[], T], *, deadline: float | None = None) -> T:
        if deadline is None:
            return function()
        return await super().aside(function, deadline=deadline)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return _finish(coroutine)


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        stray = coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError(
        f"the blocking engine cannot wait for {type(stray).__qualname__}: it belongs to an event loop; "
        f"serve with engine='asyncio', or call a blocking function here"
    )


if hasattr(select, "poll"):
    _INTEREST = {READ: select.POLLIN}

    def _poll(descriptor: int, direction: int, waker: int | None, timeout: float | None) -> bool:
        """Whether the descriptor has news within `timeout` seconds; False also when the waker ends the wait."""
        poller = select.poll()
        poller.register(descriptor, _INTEREST.get(direction, select.POLLOUT))
        if waker is not None:
            poller.register(waker, select.POLLIN)
        news = poller.poll(None if timeout is None else timeout * 1000)
        return any(ready == descriptor for ready, _ in news)

else:  # pragma: no cover - Windows; could not be run on Linux

    def _poll(descriptor: int, direction: int, waker: int | None, timeout: float | None) -> bool:
        readers = [descriptor] if direction == READ else []
        writers = [] if direction == READ else [descriptor]
        if waker is not None:
            readers.append(waker)
        news = select.select(readers, writers, writers, timeout)
        return any(descriptor in ready for ready in news)
