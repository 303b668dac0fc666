"""Open and serve until a signal: what `serve(...).run` and every server of the command do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from socketkit.config.address import Address
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.server.server import Server
from socketkit.server.signal_stop import SignalStop
from socketkit.server.signals import stop_signals

__all__ = ["OpenUntilSignal", "serve_until_signal"]


class OpenUntilSignal:
    """A server that is opened by `async with`, and closed at its end; the block gets None if SIGINT or SIGTERM came
    before it was open. Then nothing is left: neither sockets nor files.

    Args:
        engine: runs already.
        opening: opens the server: what `serve(...)` returns.

    Attributes:
        number: of the signal that came first; None: there was none.

    Raises:
        OptionError, ResolveError, ListenError: as `Server.open`.
    """

    def __init__(self, engine: Engine, opening: Awaitable[Server]) -> None:
        self._engine = engine
        self._opening = opening
        self._server: Server | None = None
        self._is_entered = False
        self._signals = ExitStack()
        self.number: int | None = None

    async def __aenter__(self) -> Server | None:
        group = Group(self._engine)

        def stop(number: int) -> None:
            if self._server is not None and self._server.is_stopped_by_signals:
                return  # `serve_until_signal` handles them from now on
            self.number = self.number or number
            group.cancel()
            if self._is_entered and self._server is not None:  # just before `serve_until_signal` handles signals itself
                self._engine.start(self._server.close())

        self._signals.enter_context(stop_signals(self._engine, stop))
        try:
            async with group:
                group.start(self._open())
            self._is_entered = self.number is None
            if self.number is not None and self._server is not None:
                server, self._server = self._server, None
                await server.close(grace=0)
        except BaseException:
            self._signals.close()
            raise
        return self._server

    async def _open(self) -> None:
        self._server = await self._opening

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._server is not None:
                await self._server.__aexit__(kind, error, traceback)
        finally:
            self._signals.close()


async def serve_until_signal(
    server: Server,
    *,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    stopping: Callable[[int], object] = lambda number: None,
    until: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> int | None:
    """Serve until SIGINT or SIGTERM, accept for the lame-duck time, then drain within the grace; a second signal ends
    it at once. SIGHUP reads the certificates again.

    Args:
        server: is open; it is closed when this returns, unless it raises.
        listening: receives the real addresses, once the signals are handled.
        stopping: is called at each signal, with its number, before the server stops.
        until: what to wait for; None: the end of the server. The first signal stops the server only where this is
            None: else `stopping` has to end what `until` waits for.

    Returns:
        The number of the first signal; None where there was none.

    Raises:
        OSError: accepting failed for good.
    """
    stop = SignalStop(server.engine, [server], lame_duck=server.lame_duck, stopping=stopping)
    if until is None:
        with stop_signals(server.engine, stop.signalled), server.reloading():
            server.is_stopped_by_signals = True
            listening(server.addresses)
            await stop.wait()
            await server.close()
        return stop.numbers[0] if stop.numbers else None
    numbers: list[int] = []

    def end(number: int) -> None:
        numbers.append(number)
        stopping(number)
        if server.is_closing:
            server.engine.start(server.close(grace=0))

    with stop_signals(server.engine, end), server.reloading():
        server.is_stopped_by_signals = True
        listening(server.addresses)
        await until()
        await server.close()
    return numbers[0] if numbers else None
