"""Stop servers at SIGINT or SIGTERM: the lame-duck time, the end of accepting, and what a second signal does.

`Server.wait_signal`, `BlockingServer.wait_signal` and `serve(...).run` are this wait. The signals reach the main
thread; everything else happens in the thread of the servers' engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Final, Protocol

from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, OptionError
from socketkit.server.signals import STOP_SIGNALS, handlers, is_signal_thread
from socketkit.sockets.systemd import notify

__all__ = ["SIGNAL_CHECK_INTERVAL", "SignalStop", "Stoppable", "require_signal_thread", "wait_signal"]


SIGNAL_CHECK_INTERVAL: Final = 0.5
"""Seconds that a blocked main thread may be late for a signal that came just before it blocked."""


class Stoppable(Protocol):
    """What a signal stops: a server, seen from below it."""

    @property
    def is_closing(self) -> bool: ...

    @property
    def is_closed(self) -> bool: ...

    def reloading(self) -> AbstractContextManager[None]: ...

    def begin_lame_duck(self) -> None: ...

    def stop_accepting(self) -> None: ...

    async def wait_ending(self) -> None: ...

    async def raise_failure(self) -> None: ...

    async def close(self, *, grace: float | None = None) -> None: ...

    def release_signals_by(self, stop: SignalStop) -> None: ...


def require_signal_thread() -> None:
    """Raises:
    OptionError: this is not the main thread.
    """
    if not is_signal_thread():
        raise OptionError("wait_signal works in the main thread only, because Python's signal handlers run there")


class SignalStop:
    """Servers of one engine that stop together at a signal.

    Args:
        engine: of the servers.
        servers: at least one.
        lame_duck: seconds in which they still accept after the first signal.
        stopping: is called at each signal, in the engine's thread, before anything else happens.

    Attributes:
        numbers: the signals so far.
    """

    def __init__(
        self,
        engine: Engine,
        servers: Sequence[Stoppable],
        *,
        lame_duck: float,
        stopping: Callable[[int], object] = lambda number: None,
    ) -> None:
        self.engine = engine
        self._servers = servers
        self._lame_duck = lame_duck
        self._stopping = stopping
        self._changed = Condition(engine)
        self._is_given_up = False
        self._stack: ExitStack | None = None
        self.numbers: list[int] = []

    # In the main thread

    def handle_signals(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on, until the last of the servers is closed, or `release`."""
        self._stack = ExitStack()
        self._stack.enter_context(handlers(self._handle, STOP_SIGNALS))
        for server in self._servers:
            self._stack.enter_context(server.reloading())
            server.release_signals_by(self)

    def _handle(self, number: int) -> None:
        """In a signal handler."""
        if self._is_closed():  # in another thread, which could not release the handlers
            self.release()
            os.kill(os.getpid(), number)
            return
        with suppress(RuntimeError):  # the engine has ended: the servers are closed in a moment
            self.engine.from_thread(lambda: self.signalled(number))

    def release(self) -> None:
        """Set the earlier handlers again; harmless twice, and nothing in another thread than the main one."""
        if self._stack is not None and is_signal_thread():
            stack, self._stack = self._stack, None
            stack.close()

    def release_if_closed(self) -> None:
        """As `release`, once all servers are closed: until then a second signal has to find the handlers."""
        if self._is_closed():
            self.release()

    def _is_closed(self) -> bool:
        return all(server.is_closed for server in self._servers)

    # In the engine's thread

    def signalled(self, number: int) -> None:
        """A signal has come: the first begins the lame-duck time, a later one ends everything at once."""
        self.numbers.append(
            number
        )  # first: where the engine blocks this is a signal handler, which another may interrupt
        if len(self.numbers) == 1:
            notify("STOPPING=1")
        self._stopping(number)
        if len(self.numbers) == 1 and not all(server.is_closing for server in self._servers):
            for server in self._servers:
                server.begin_lame_duck()
        else:
            for server in self._servers:
                if not server.is_closed:
                    self.engine.start(server.close(grace=0))
        self._changed.notify()

    def give_up(self) -> None:
        """Let `wait` return None: another server that was waited for has ended."""
        self._is_given_up = True
        self._changed.notify()

    async def wait(self) -> int | None:
        """Wait for a signal, then for the end of the lame-duck time; the servers listen no more when it returns.

        A second signal, or the end of all servers, ends the lame-duck time.

        Returns:
            The number of the first signal; None where a server was closed, or is over, before one came.

        Raises:
            OSError: a server cannot go on accepting; it was closed.
        """
        ended: set[int] = set()
        group = Group(self.engine)
        async with group:
            for index, server in enumerate(self._servers):
                group.start(self._watch(index, server, ended))
            try:
                await self._wait_until(lambda: bool(self.numbers or ended) or self._is_given_up)
                if self.numbers:
                    await self._wait_lame_duck(ended)
            finally:
                group.cancel()
        for server in self._servers:
            await server.raise_failure()
        if not self.numbers:
            return None
        for server in self._servers:
            server.stop_accepting()
        return self.numbers[0]

    async def _wait_until(self, is_so: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait as `Condition.wait_until`.

        A main thread that blocks in the system looks again now and then: a signal that comes between its last
        instruction of Python and the system call interrupts nothing, and its handler would run after that call only.
        """
        while self.engine.blocks and is_signal_thread() and not is_so():
            soon = self.engine.now() + SIGNAL_CHECK_INTERVAL
            if deadline is not None and deadline <= soon:
                break
            with suppress(DeadlineError):
                await self._changed.wait_until(is_so, deadline=soon)
        await self._changed.wait_until(is_so, deadline=deadline)

    async def _wait_lame_duck(self, ended: AbstractSet[int]) -> None:
        if self._lame_duck > 0:
            with suppress(DeadlineError):
                await self._wait_until(
                    lambda: len(self.numbers) > 1 or len(ended) == len(self._servers),
                    self.engine.now() + self._lame_duck,
                )

    async def _watch(self, index: int, server: Stoppable, ended: set[int]) -> None:
        await server.wait_ending()
        ended.add(index)
        self._changed.notify()


async def wait_signal(engine: Engine, servers: Sequence[Stoppable], lame_duck: float) -> int | None:
    """Wait as `Server.wait_signal` does, for servers of the engine that runs in this thread."""
    require_signal_thread()
    stop = SignalStop(engine, servers, lame_duck=lame_duck)
    stop.handle_signals()
    notify("READY=1")
    try:
        return await stop.wait()
    finally:
        if not stop.numbers:  # cancelled, or a server has failed or ended: nothing is left to wait for
            stop.release()
