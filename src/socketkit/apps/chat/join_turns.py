"""How many guests join before the others have their turn: a crowd that is ready at one moment comes bit by bit."""

from __future__ import annotations

from collections import deque
from typing import Final

from socketkit.engines.engine import Engine, Event

__all__ = ["JoinTurns"]

TURN_JOINS: Final = 8
"""Guests that join in one turn: 3 ms, by WebSocket 8 ms, with fifty lines of history for each."""


class JoinTurns:
    """Lets so many join in each turn of the engine's loop. The others wait, in their order.

    Accepting is bounded in the same way, but guests that were accepted one after the other can be ready at once: those
    that send nothing are, as the wait for their first bytes ends.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0  # of those that joined in this turn
        self._waiting: deque[Event] = deque()

    async def wait(self) -> None:
        """Wait for a turn in which one more may join.

        Cancellation: its place is left empty.
        """
        if self._count >= TURN_JOINS:
            turn = self._engine.event()
            self._waiting.append(turn)
            await turn.wait()
            return
        if not self._count:
            self._engine.background(self._count_turns())
        self._count += 1

    async def _count_turns(self) -> None:
        while self._count:
            await self._engine.sleep(0)
            self._count = min(TURN_JOINS, len(self._waiting))
            for _ in range(self._count):
                self._waiting.popleft().set()
