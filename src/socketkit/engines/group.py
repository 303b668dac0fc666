"""A group of tasks that is joined, and cancelled, as one. Written once, on the verbs of any engine."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from socketkit.engines.engine import Engine, Event, Task

__all__ = ["Group"]


class Group:
    """Tasks that end before their block does.

    Leaving the block waits for all of them. If the block, or one of them, fails, the others are cancelled; the block's
    own exception goes on, else the first failure of a task is raised (several: an ExceptionGroup). A failing task does
    not interrupt the block itself, only its end: keep the body short, or make it wait for something the tasks set.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: dict[int, Task] = {}
        self._count = 0
        self._errors: list[BaseException] = []
        self._empty: Event | None = None
        self._cancelled = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in this group, from the engine's own thread. In a group that was cancelled it never runs."""
        if self._cancelled:
            coroutine.close()
            return
        self._count += 1
        key = self._count
        placeholder: Any = None  # where the engine starts at once, the task may end before `start` has returned
        self._tasks[key] = placeholder
        task = self._engine.start(self._live(key, coroutine))
        if key in self._tasks:
            self._tasks[key] = task

    def cancel(self) -> None:
        """Ask every task to end. Later ones are not started."""
        self._cancelled = True
        for task in list(self._tasks.values()):
            if task is not None:
                task.cancel()

    async def join(self, *, deadline: float | None = None) -> None:
        """Wait until no task is left.

        Raises:
            DeadlineError: the moment came first; the tasks run on.
        """
        while self._tasks:
            if self._empty is None or self._empty.is_set():
                self._empty = self._engine.event()
                if not self._tasks:  # a thread ended between the two lines
                    return
            await self._empty.wait(deadline=deadline)

    async def __aenter__(self) -> Group:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            await self.join()
        except BaseException:
            self.cancel()
            await self.join()
            raise
        if error is None and self._errors:
            if len(self._errors) == 1:
                raise self._errors.pop()
            raise BaseExceptionGroup("several tasks of a group failed", self._errors)

    async def _live(self, key: int, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except self._engine.cancelled:
            pass  # it was asked to
        except BaseException as error:
            self._errors.append(error)
            self.cancel()
        finally:
            coroutine.close()
            del self._tasks[key]
            if not self._tasks and self._empty is not None:
                self._empty.set()
