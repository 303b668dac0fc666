"""Wait until something is so, when somebody else tells that something has changed. Written once, on any engine."""

from __future__ import annotations

from collections.abc import Callable

from socketkit.engines.engine import Engine, Event

__all__ = ["Condition"]


class Condition:
    """What several tasks wait for, each with a question of its own; costs nothing while nobody waits.

    Attributes:
        waiting: those who wait; where there are none, there is nobody to `notify`.
    """

    __slots__ = ("_engine", "waiting")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # One event for each who waits, and put in and out by him alone: where the engine blocks, the others are
        # threads, and an event that two of them made or exchanged at once would be told to one.
        self.waiting: dict[Event, None] = {}

    def notify(self) -> None:
        """Something has changed: let those who wait ask again. Call it after the change, where `Event.set` may be."""
        if self.waiting:
            for event in list(self.waiting):
                event.set()

    async def wait_until(self, is_so: Callable[[], bool], *, deadline: float | None = None) -> None:
        """Wait until the question is answered with yes; at once where it is.

        Raises:
            DeadlineError: the moment came first.
        """
        while not is_so():
            event = self._engine.event()
            self.waiting[event] = None
            try:
                if is_so():  # a thread may have changed it before there was an event to tell
                    return
                await event.wait(deadline=deadline)
            finally:
                del self.waiting[event]
