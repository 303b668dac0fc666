"""A group of tasks that is joined, and cancelled, as one. Works on any engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine, Task

__all__ = ["Group"]


class Group:
    """Tasks that end before their block does.

    Leaving the block waits for all of them. If the block, or one of them, fails, the others are cancelled; the block's
    own exception goes on, else the first failure of a task is raised (several: an ExceptionGroup). A failing task does
    not interrupt the block itself, only its end: keep the body short, or make it wait for something the tasks set.

    Concurrency: every verb is called in the engine's own thread (any thread where the engine blocks).
    """

    def __init__(self, engine: Engine, *, changed: Condition | None = None) -> None:
        """Args:
        engine: runs the tasks.
        changed: is notified when one has ended; None: a condition of the group's own.
        """
        self._engine = engine
        self._tasks: dict[Any, Task | None] = {}  # None: it is being started
        # Where the engine blocks each task is a thread, which may end before `start_member` has its handle. A signal
        # handler may start one in the middle of this.
        self._lock = threading.RLock()
        self._errors: list[BaseException] = []
        self._changed = Condition(engine) if changed is None else changed
        self._cancelled = False
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def members(self) -> list[Any]:
        """The keys of the tasks that have not ended."""
        return list(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> bool:
        """Run a coroutine in this group, beside the current task; False where the group was cancelled."""
        is_started = False
        try:
            is_started = self.start_member(coroutine, self._live(coroutine))
        finally:
            if not is_started:
                coroutine.close()
        return is_started

    def start_member(self, key: Any, coroutine: Coroutine[Any, Any, None]) -> bool:
        """As `start`, of a coroutine that reports its end itself: no frame of the group's is around it.

        Args:
            key: hashable; not the key of another member.
            coroutine: the last thing that it does is to call `end` with this key. It is closed where it is not started.
        """
        if self._cancelled:
            coroutine.close()
            return False
        self._tasks[key] = None
        try:
            task = self._engine.start(coroutine)
        except BaseException:  # no thread could be had, say
            coroutine.close()
            self._tasks.pop(key, None)
            raise
        with self._lock:
            if key in self._tasks:
                self._tasks[key] = task
        if self._cancelled:  # by a thread, between the first line and here
            task.cancel()
        return True

    def cancel(self) -> None:
        """Cancel every task. Later ones are not started."""
        self._cancelled = True
        for task in list(self._tasks.values()):
            if task is not None:
                task.cancel()

    async def join(self, *, deadline: float | None = None) -> None:
        """Wait until no task is left. In a child of fork(2) the parent's tasks are not there: nothing is waited for.

        Raises:
            DeadlineError: the deadline passed first; the tasks run on.
        """
        if os.getpid() != self._pid:
            return
        await self._changed.wait_until(lambda: not self._tasks, deadline=deadline)

    async def __aenter__(self) -> Group:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            await self._join_all()
        finally:
            errors, self._errors = self._errors, []  # held by the caller alone: no reference cycle
        if error is not None or not errors:
            return
        try:
            exits = [failure for failure in errors if not isinstance(failure, Exception)]
            if exits or len(errors) == 1:
                raise (exits or errors)[0]
            raise BaseExceptionGroup("several tasks of a group failed", errors)
        finally:
            del errors, exits

    async def _join_all(self) -> None:
        """Join. If this task is cancelled, however often, cancel the tasks once: none is left behind, and no clean-up
        is interrupted."""
        try:
            await self.join()
        except BaseException:
            if not self._cancelled:
                self.cancel()
            await self._engine.shielded(self._join_all())
            raise

    async def _live(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except BaseException as error:
            if not self.end(coroutine, error):
                raise
        else:
            self.end(coroutine)

    def end(self, key: Any, error: BaseException | None = None) -> bool:
        """Take the end of a member, and what it has raised; False: it is to be raised on."""
        is_taken = True
        if isinstance(error, GeneratorExit):
            is_taken = False  # the engine was dropped, and the member's frame with it
        elif error is not None and not isinstance(error, self._engine.cancelled):
            self._errors.append(error)
            self.cancel()
            # KeyboardInterrupt, SystemExit: they end the run, not only the group
            is_taken = isinstance(error, Exception) or self._engine.blocks
        with self._lock:
            self._tasks.pop(key, None)
        self._changed.notify()
        return is_taken
