"""Waiting in an asyncio loop, in Python; `side.c` is the same, compiled."""

from __future__ import annotations

import contextvars
from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any, Final

from socketkit._core.kernel import TURN_TASKS

__all__ = ["LoopCore", "SideCore"]

CROWD: Final = 4
"""Callbacks in a turn from which on they wait for the end of the turn. Sending in a row costs less (a ping-pong over 50
connections on uvloop: a tenth); for a single connection the loop's extra turn costs more."""

TRIAL: Final = 64
"""Turns of single callbacks after which the number of callbacks in a turn is measured again."""


class LoopCore:
    """The calls at the end of a turn; see `engines.asyncio`."""

    loop: Any
    _readers: dict[int, Any]

    def __init__(self) -> None:
        self._readers = {}
        self._soon: list[Callable[[], object]] = []
        self._inside = False  # in one of our callbacks, which calls `_end_turn`
        self._is_called = False  # the loop will call `_run_called`
        self._is_crowded = False
        self._gathered = 0  # callbacks since the turn began
        self._trial = TRIAL  # turns until we look for a crowd

    def call_soon(self, callback: Callable[[], object], /) -> None:
        """Call a function at the end of the current turn."""
        if not self._inside and not self._is_called:
            self._is_called = True
            self._gathered = 0
            self.loop.call_soon(self._run_called)
        self._soon.append(callback)

    def _end_turn(self) -> None:
        """Make the calls at the end of one of our callbacks, or at the end of the turn where there are many."""
        self._trial -= 1
        if not self._is_called and (self._is_crowded or not self._trial):
            self._is_called = True
            self._gathered = 0
            self.loop.call_soon(self._run_called)
        else:
            self._run_soon()

    def _run_called(self) -> None:
        """Make the calls that wait for the end of the turn; the loop calls this."""
        self._is_called = False
        self._run_soon()
        self._is_crowded = self._gathered >= CROWD
        self._trial = TRIAL

    def _run_soon(self) -> None:
        callbacks, self._soon = self._soon, []
        self._gathered += len(callbacks)
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # the callbacks behind it belong to other connections
                self._report(error)

    @abstractmethod
    def busy_error(self, descriptor: int) -> BaseException:
        """Return the error of the second of two waiters."""

    @abstractmethod
    def _report(self, error: BaseException) -> None:
        """Report an exception that a deferred call has let out."""


class SideCore:
    """One direction of a registered descriptor, and the wait there, as asyncio's tasks see a future.

    Made once, and used for one wait after the other.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_callback", "_context", "_engine", "_error", "armed", "busy", "deadline",
        "descriptor",
    )  # fmt: skip

    def __init__(self, engine: LoopCore, /) -> None:
        self._engine = engine
        # True: a task takes it for a future. None: `asyncio.isfuture` does not, and it is wrapped into a task.
        self._asyncio_future_blocking: bool | None = None
        self._callback: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None
        self._error: BaseException | None = None
        self.armed = False
        self.busy = False
        self.deadline: float | None = None
        self.descriptor = -1

    # Called by the task, as on a future.

    def __await__(self) -> Generator[Any, None, None]:
        if self.busy:
            raise self._engine.busy_error(self.descriptor)
        if not self.armed and not self.arm():
            return
        if self.deadline is not None:
            self._begin_timer()
        self.busy = self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.busy = False
            self._asyncio_future_blocking = self._error = self._callback = self.deadline = None

    def add_done_callback(
        self, callback: Callable[[Any], object], /, *, context: contextvars.Context | None = None
    ) -> None:
        self._callback = callback
        self._context = context

    def result(self) -> None:
        if self._error is not None:
            raise self._error

    def done(self) -> bool:
        return self._callback is None

    def get_loop(self) -> Any:
        return self._engine.loop

    # Called by the loop and the engine.

    def finish(self) -> None:
        """Resume the task, from a callback of the loop."""
        callback, self._callback = self._callback, None
        if callback is None:
            return
        if self._context is None:
            callback(self)
        else:
            self._context.run(callback, self)

    def _on_ready(self, watch: object = None, /) -> None:
        """Resume the task; the loop calls this when the descriptor is ready."""
        del watch  # an exception that the program keeps holds this frame
        if self._callback is None:
            self.disarm()  # no task waits: it would be reported again at every turn
        elif self._error is None:
            engine = self._engine
            engine._inside = True
            try:
                self.finish()
            finally:
                engine._inside = False
                if engine._soon and (not engine._is_called or len(engine._soon) >= TURN_TASKS):
                    engine._end_turn()

    # The engine's part.

    @abstractmethod
    def arm(self) -> bool:
        """Watch; False where it cannot be watched because it never blocks."""

    @abstractmethod
    def disarm(self) -> None:
        """Watch no more."""

    @abstractmethod
    def _begin_timer(self) -> None:
        """Begin to wait for the deadline."""
