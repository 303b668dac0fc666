"""What the front doors are made of: a recipe that opens by `with` or by `async with`, and a place to talk at.

A recipe is opened in plain code (blocking, in this thread) or in async code (in the engine that runs here). This is the
one room that asks which engine runs; it passes it down, and nobody below looks it up.
"""

from __future__ import annotations

from collections.abc import Generator
from copy import copy
from types import TracebackType
from typing import Any, Generic, TypeVar

from socketkit import engines
from socketkit import framing as framings
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.errors import BusyError, OptionError
from socketkit.framing.codec import Framing
from socketkit.tls.handshake import settled

__all__ = ["Place", "Recipe"]

A = TypeVar("A")
B = TypeVar("B")


class Recipe(Generic[B, A]):
    """What is opened by `with` as a B, and by `async with` as an A; each opening is a new one."""

    def __init__(self, engine: str | Engine | None) -> None:
        if isinstance(engine, str) and (reason := engines.missing(engine)) is not None:
            raise OptionError(f"engine={engine}: {reason}")
        self._engine = engine
        self._opened: list[Any] = []

    def _open_blocking(self) -> B:
        raise NotImplementedError

    async def _open(self, engine: Engine) -> A:
        raise NotImplementedError

    def open(self) -> B:
        """Open it in plain code, without a `with`: the caller closes it."""
        self._check_plain()
        return self._open_blocking()

    def _check_plain(self) -> None:
        if engines.running() is not None:
            raise BusyError("this thread runs an async engine, which a blocking wait would stop: use `async with`")

    def __await__(self) -> Generator[Any, Any, A]:
        """Open it in async code, without an `async with`: the caller closes it."""
        return self._open(self._running_engine()).__await__()

    def __enter__(self) -> B:
        opened = self.open()
        self._opened.append(opened)
        return opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> A:
        opened = await self._open(self._running_engine())
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.pop().__aexit__(kind, error, traceback)

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


class Place:
    """An address, and how to talk there: options from the address, overruled by keywords."""

    def __init__(self, address: str | Address, framing: object, keywords: dict[str, object]) -> None:
        self.address = Address.parse(address)
        self.options = settled(self.address, Options.make(dict(self.address.options), **keywords))
        chosen = framing if framing is not None else self.options.framing
        self.framing: Framing = framings.of("chunks" if chosen is None else chosen)

    def moved(self, address: Address) -> Place:
        """The same conversation somewhere else."""
        place = copy(self)
        place.address = address
        return place
