"""Serve until a signal: the one loop of `serve(...).run` and of every server of the command."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from socketkit.config.address import Address
from socketkit.server.server import Server
from socketkit.server.signal_stop import SignalStop
from socketkit.server.signals import stop_signals

__all__ = ["serve_until_signal"]


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
        listening(server.addresses)
        await until()
        await server.close()
    return numbers[0] if numbers else None
