"""What `connect`, `serve`, `listen` and `pair` return: an object that `with` and `async with` open.

This module and `api` alone look up the engine that runs. They pass it down; nothing below looks it up.
"""

from __future__ import annotations

import contextvars
from collections.abc import Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

from socketkit import engines
from socketkit.engines.engine import Engine
from socketkit.errors import BusyError, OptionError

__all__ = ["OpenContext"]

A = TypeVar("A")
B = TypeVar("B")


class _Entry:
    """One entered block: what `__enter__` opened, and for which context object."""

    __slots__ = ("opened", "owner")

    def __init__(self, owner: object, opened: Any) -> None:
        self.owner: object = owner
        self.opened = opened

    def clear(self) -> None:
        """Drop the references: a task that was started inside the block keeps a copy of `_entries`."""
        self.owner = self.opened = None


_entries: contextvars.ContextVar[tuple[_Entry, ...]] = contextvars.ContextVar("socketkit.entries", default=())
"""The blocks that this task or thread has entered. Each task has a copy, so that one never sees another's entries."""


class OpenContext(Generic[B, A]):
    """Opened by `with` as a B, and by `async with` as an A; each opening is a new one.

    Concurrency: any number of tasks and threads may enter one object; each leaves what it has opened itself.
    """

    def __init__(self, engine: str | Engine | None) -> None:
        if isinstance(engine, str) and (reason := engines.missing(engine)) is not None:
            raise OptionError(f"engine={engine}: {reason}")
        self._engine = engine
        self._entered: list[_Entry] = []  # of all tasks and threads

    def _open_blocking(self) -> B:
        raise NotImplementedError

    async def _open(self, engine: Engine) -> A:
        raise NotImplementedError

    def open(self) -> B:
        """Open it in plain code, without a `with`: the program closes it.

        Raises:
            BusyError: an async engine runs in this thread.
        """
        self._refuse_inside_engine()
        return self._open_blocking()

    def _refuse_inside_engine(self) -> None:
        if engines.running() is not None:
            raise BusyError("this thread runs an async engine, which a blocking wait would stop: use `async with`")

    def __await__(self) -> Generator[Any, Any, A]:
        """Open it in async code, without an `async with`: the program closes it."""
        return self._open(self._running_engine()).__await__()

    def __enter__(self) -> B:
        opened = self.open()
        self._remember(opened)
        return opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget().__exit__(kind, error, traceback)

    async def __aenter__(self) -> A:
        opened = await self._open(self._running_engine())
        self._remember(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._forget().__aexit__(kind, error, traceback)

    def _remember(self, opened: Any) -> None:
        entry = _Entry(self, opened)
        self._entered.append(entry)
        _entries.set((*(one for one in _entries.get() if one.owner is not None), entry))

    def _forget(self) -> Any:
        """What this task or thread has opened last and not left yet.

        A block may be left in another context than it was entered in: test fixtures are set up and torn down in two
        tasks. Then the last entry of the whole object is meant.
        """
        mine = [entry for entry in _entries.get() if entry.owner is self]
        entry = mine[-1] if mine else self._entered[-1]
        self._entered.remove(entry)
        _entries.set(tuple(one for one in _entries.get() if one is not entry and one.owner is not None))
        opened = entry.opened
        entry.clear()
        return opened

    def _running_engine(self) -> Engine:
        if isinstance(self._engine, Engine):
            return self._engine
        running = engines.running()
        if running is None:
            raise OptionError("`async with` needs a running engine: asyncio, uvloop, trio, or one of ours")
        if self._engine is not None and self._engine != running.name:
            raise OptionError(f"engine={self._engine}: the {running.name} engine runs here; leave `engine` out")
        return running

    def _blocking_engine(self) -> Engine:
        if isinstance(self._engine, Engine) and self._engine.blocks:
            return self._engine
        if self._engine not in (None, "blocking"):
            raise OptionError(f"engine={self._engine}: plain code waits by the blocking engine; leave `engine` out")
        return engines.make("blocking")
