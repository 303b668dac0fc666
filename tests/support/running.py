"""Tasks whose outcome a test can ask for, and turns that pass, on any engine."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from socketkit.engines.engine import Engine

FAR = 60.0
"""Seconds that no test lives to see."""


class Running:
    """A coroutine that runs beside the test, on whatever engine: a task, or a thread."""

    def __init__(self, engine: Engine, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._engine = engine
        self._ended = engine.event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._task = engine.start(self._live(coroutine))

    async def _live(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self._result = await coroutine
        except BaseException as error:  # kept for the one who asks
            self._error = error.with_traceback(None)
        finally:
            self._ended.set()

    def cancel(self) -> None:
        """Ask it to end."""
        self._task.cancel()

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its end, by a result or an error."""
        return self._ended.is_set()

    async def outcome(self) -> Any:
        """Wait for its end: its result, or its error as a value (so that a test may compare its type)."""
        await self._ended.wait(deadline=self._engine.now() + FAR)
        return self._result if self._error is None else self._error

    async def result(self) -> Any:
        """Wait for its end: its result, or its error raised."""
        outcome = await self.outcome()
        if outcome is self._error and self._error is not None:
            raise self._error
        return outcome


async def turns(engine: Engine, count: int = 3) -> None:
    """Let the others come to their waits. Where the engine blocks they are threads: a moment does, which need not be
    long enough, because every test holds without it too."""
    if engine.blocks:
        await engine.sleep(0.002)
    for _ in range(count):
        await engine.sleep(0)


async def until(engine: Engine, is_so: Any) -> None:
    """Let turns pass until something is so."""
    deadline = engine.now() + FAR
    while not is_so():
        assert engine.now() < deadline, "it never came"
        await (engine.sleep(0.001) if engine.blocks else engine.sleep(0))
