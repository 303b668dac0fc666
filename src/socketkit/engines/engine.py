"""The contract of every engine: it waits, and does nothing else.

The socket verbs are coroutines that try the call and, if it would block, `await engine.wait(...)` and try again.
An engine never reads, writes, accepts or connects. It is passed down from `api`, never looked up. What needs no more
than these verbs (a function in a thread, a group of tasks) is written once, for all engines.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar, Final, Protocol, TypeVar

from socketkit._core import DONE, READ, WRITE, Done
from socketkit.config.durations import parse_timeout
from socketkit.engines.thread_slots import ThreadSlots
from socketkit.errors import OptionError

__all__ = [
    "DONE",
    "LEFT_BEHIND",
    "MAX_THREADS",
    "READ",
    "WRITE",
    "Done",
    "Engine",
    "Event",
    "Task",
    "Timer",
    "call_guarded",
    "check_moment",
    "report_error",
    "run_to_end",
]

MAX_THREADS: Final = 64
"""Threads of `run_in_thread` at a time on one engine, for each purpose: each costs a stack (8 MiB of address space).
AnyIO allows 40, Trio 20, Python's executors four more than there are processors, at most 32."""

LEFT_BEHIND: Final[list[object]] = []
"""Tasks that did not end when an engine did. They are kept, because Python throws GeneratorExit into a task that is
collected, and reports that it ignored it."""

T = TypeVar("T")


def report_error(error: BaseException) -> None:
    """Report an exception that no caller waits for, as Python reports those of threads (`threading.excepthook`)."""
    arguments = (type(error), error, error.__traceback__, threading.current_thread())
    try:
        threading.excepthook(threading.ExceptHookArgs(arguments))
    except Exception as failure:  # of a hook that the program has set: it must not end the engine either
        sys.__excepthook__(type(failure), failure, failure.__traceback__)


def call_guarded(callback: Callable[[], object]) -> None:
    """Call a deferred callback; an `Exception` is reported, so that it ends nothing but itself."""
    try:
        callback()
    except Exception as error:
        report_error(error)


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an engine that blocks, where it never suspends; return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("a coroutine of ours has suspended on the blocking engine")


class Task(Protocol):
    """A coroutine that runs beside its starter."""

    def cancel(self) -> object:
        """Cancel: the current wait, or the next one, raises the engine's `cancelled`, once. Harmless after the end.

        A task that has not begun begins all the same, and its first wait raises: its clean-up always runs.
        """


class Timer(Protocol):
    """A call at a moment."""

    def cancel(self) -> object:
        """Do not call. Harmless afterwards."""


class Event(Protocol):
    """A flag that several tasks may wait for. Once set, it stays set."""

    def is_set(self) -> bool:
        """Whether it is set."""

    def set(self) -> None:
        """Resume all waiting tasks. Call it from the engine's own thread (from any thread where the engine blocks)."""

    async def wait(self, *, deadline: float | None = None) -> None:
        """Wait until it is set; at once where it is.

        Raises:
            DeadlineError: the engine's clock reached `deadline` first.
        """


def check_moment(moment: float) -> float:
    """Return a deadline as it is, unless it is NaN.

    A heap of timers that holds NaN is not in order, so that no timer of the engine would fire.

    Raises:
        OptionError: it is NaN.
    """
    if moment != moment:
        raise OptionError("deadline: NaN is not a time")
    return moment


class Engine(ABC):
    """A way of waiting.

    One task's fault never ends the engine. An exception that a task or a callback lets out is reported once, and the
    other tasks and callbacks go on: to the loop's exception handler on asyncio and uvloop, to `threading.excepthook`
    on the other engines. Only KeyboardInterrupt and SystemExit end the run.

    Class attributes:
        name: its name for `engine=` and `--engine`.
        blocks: True where a wait stops the thread, so that a coroutine runs to its end in a single step.
        is_prompt: True where callbacks of `call_soon` run before the loop looks at new events.
        cancelled: the exception that a cancelled wait raises; a `BaseException`, to be let through.
    """

    name: ClassVar[str]
    blocks: ClassVar[bool] = False
    is_prompt: ClassVar[bool] = True
    cancelled: ClassVar[type[BaseException]]

    now: Callable[[], float]
    """Returns the current time, in seconds of a clock that never goes back. All deadlines are times of this clock.
    Each engine stores its clock's own function here: one call less on each use."""

    call_soon: Callable[[Callable[[], object]], object]
    """Call a function at the end of the current turn, after the running tasks have reached their waits; at once where
    the engine blocks. An exception that it lets out is reported, and ends nothing else. Each engine stores its queue's
    own `append` here where it can: one call less a message."""

    def deadline(self, timeout: float | str | None) -> float | None:
        """The moment that lies `timeout` ahead on this engine's clock; None for None (no limit).

        Args:
            timeout: seconds, at least 0; a time as options take it (`"250ms"`) works too.

        Raises:
            OptionError: not a time, NaN, or negative. A NaN would compare false with every moment, and stop all timers.
        """
        if timeout is None:
            return None
        seconds = parse_timeout(timeout)
        return None if seconds is None else self.now() + seconds

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds. With 0: give the turn to the other tasks."""

    async def checkpoint(self) -> None:
        """Give the turn to the other tasks, timers and descriptors; return when their turn is over.

        For a task that has had work for long without waiting. Costs one turn of the loop; nothing where the engine
        blocks, because there the system shares the processor between threads.

        Cancellation: a pending cancellation is raised here, also one of a surrounding scope of trio or AnyIO.
        """
        await self.sleep(0)

    @abstractmethod
    def wait(self, descriptor: int, direction: int, deadline: float | None = None) -> Awaitable[None]:
        """Wait until a call on the descriptor would not block: there is data, free buffer space, an end or an error.

        It may return without a reason (another process was faster): make the call, and wait again if it would block.
        The registration outlives the wait; call `unregister` before the descriptor is closed.

        Args:
            descriptor: an open socket, pipe or terminal. A regular file never blocks: it is ready at once.
            direction: READ or WRITE.
            deadline: a time of this engine's clock, also one in the past, or infinity.

        Raises:
            DeadlineError: the deadline passed first.
            BusyError: another task waits for the same direction of the descriptor.
            OptionError: the deadline is NaN.

        Cancellation: nothing was read or written; the next wait works at once.
        """

    @abstractmethod
    def unregister(self, descriptor: int) -> None:
        """Drop the registration of a descriptor that is about to be closed. A waiting task is resumed. Harmless if
        unknown. In a child of fork(2) the parent's registration stays."""

    def is_alone(self) -> bool:
        """Whether nothing can cancel the calling thread's wait, so that a blocking system call is as good as `wait`.
        False where the engine does not block."""
        return False

    @abstractmethod
    def start(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine beside the current task (in a thread where the engine blocks), in a copy of its context.

        An exception that it lets out is reported, and ends nothing else. Start a task that may fail in a `Group`,
        which raises its exception.
        """

    @abstractmethod
    def background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, even if the current task is cancelled; at once, in this thread, where the engine
        blocks. It must let no exception out."""

    def call_at(self, moment: float, callback: Callable[[], object], /) -> Timer | None:
        """Call a function at a moment of this engine's clock, never before it, in the engine's thread. An exception
        that it lets out is reported, and ends nothing else.

        Returns:
            A timer, for `cancel`; None: this engine makes no such calls, and nothing will happen (blocking, trio).
        """
        return None

    @abstractmethod
    def event(self) -> Event:
        """Return a new event of this engine."""

    async def shielded(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a clean-up that has to wait, in a task that was cancelled; keep it short, or under a deadline.

        Most engines raise a cancellation once, and need nothing for it; trio raises a scope's at every wait."""
        return await coroutine

    @abstractmethod
    def from_thread(self, callback: Callable[[], object]) -> None:
        """From any thread, or a signal handler: call this soon in the engine's own thread, and wake it up for it. An
        exception that it lets out is reported, and ends nothing else."""

    def check_capacity(self) -> None:  # noqa: B027 - most engines have no limit of their own
        """Check that the engine can wait for one more descriptor; done before a connection is accepted.

        Raises:
            OSError: EMFILE: select(2) takes descriptors below 1024 only, and they are all in use.
        """

    async def run_in_thread(
        self, function: Callable[[], T], *, deadline: float | None = None, purpose: str = "functions"
    ) -> T:
        """Run a blocking function in a thread of its own; wait for its result.

        At most `MAX_THREADS` (64) of these threads run at a time on one engine; the next function waits for the end of
        one, first come, first served. Lookups of names, and waits for children, have as many threads of their own, so
        that functions which wait for a name cannot keep it from being resolved. A function must not wait for another
        one that has not begun.

        Args:
            function: what to run.
            deadline: a time of this engine's clock, for the wait for a thread too.
            purpose: the threads of each purpose are counted apart.

        Raises:
            DeadlineError: the deadline passed first. A thread that was started cannot be stopped: it goes on as a
                daemon, which does not delay the end of the program, and its result is dropped.

        Cancellation: as for the deadline.
        """
        slots = self._thread_slots(purpose)
        await slots.take(self, deadline)
        done = self.event()
        outcome: list[tuple[T | None, BaseException | None]] = []

        def work() -> None:
            try:
                outcome.append((function(), None))
            except BaseException as error:  # raised in the waiting task
                outcome.append((None, error))
            slots.leave(self)
            try:
                self.from_thread(done.set)
            except RuntimeError:
                pass  # the engine has ended: no task waits any more

        try:
            threading.Thread(target=work, name="socketkit run_in_thread", daemon=True).start()
        except BaseException:  # no thread could be started
            slots.leave(self)
            raise
        await done.wait(deadline=deadline)
        result, error = outcome.pop()
        if error is not None:
            try:
                raise error
            finally:
                del error  # no circle of exception and frame
        return result  # type: ignore[return-value]

    def _thread_slots(self, purpose: str) -> ThreadSlots:
        # `setdefault` is one step: where the engine blocks, two threads get the same object.
        all_slots: dict[str, ThreadSlots] = self.__dict__.setdefault("_slots", {})
        return all_slots.get(purpose) or all_slots.setdefault(purpose, ThreadSlots(MAX_THREADS))

    @abstractmethod
    def run(self, coroutine: Coroutine[Any, Any, T], *, cleanup_timeout: float | None = None) -> T:
        """Run a coroutine to its end and return its result. An engine runs once; one that blocks may run again.

        When it ends, by a result or by an exception (KeyboardInterrupt too), every task that is left is cancelled once
        and joined first. A thread that is stuck in a call of its own, where the engine blocks, is left behind.

        Args:
            coroutine: the main task.
            cleanup_timeout: seconds that those tasks have to end. A task that does not end by then is left behind where
                it waits (but on trio, which leaves no task behind). None: no limit.

        Raises:
            RuntimeError: it has run already. Inside the coroutine: it awaits what only another event loop can complete
                (trio has TypeError for it).
        """

    def __repr__(self) -> str:
        return f"<{self.name} engine>"
