"""Wait until a predicate is true; another task notifies of changes. Works on any engine."""

from __future__ import annotations

from collections.abc import Callable

from socketkit.engines.engine import Engine, Event

__all__ = ["Condition"]


class Condition:
    """A condition that several tasks wait for, each with a predicate of its own; costs nothing while no task waits.

    Attributes:
        waiting: the events of the waiting tasks; while it is empty, `notify` has nothing to do.
    """

    __slots__ = ("_engine", "waiting")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # One event for each waiting task, added and removed by that task alone. Where the engine blocks the tasks are
        # threads, and of two threads that replaced a shared event at once only one would be resumed.
        self.waiting: dict[Event, None] = {}

    def notify(self) -> None:
        """Make the waiting tasks test their predicates again. Call it after the change, as `Event.set`."""
        if self.waiting:
            for event in list(self.waiting):
                event.set()

    async def wait_until(self, is_so: Callable[[], bool], *, deadline: float | None = None) -> None:
        """Wait until the predicate is true; return at once where it is.

        Raises:
            DeadlineError: the deadline passed first.
        """
        while not is_so():
            event = self._engine.event()
            self.waiting[event] = None
            try:
                if is_so():  # a thread may have changed it before the event was added
                    return
                await event.wait(deadline=deadline)
            finally:
                del self.waiting[event]
