"""How long one connection's task may work without a wait, before the other tasks have their turn.

A flood of tiny messages is work without a wait: the socket always has more. The budget is time, and the clock is read
at least every `TURN_MESSAGES` messages (see `session`).
"""

from __future__ import annotations

from typing import Final

from socketkit.engines.engine import Engine

__all__ = ["Turn"]

TURN_TIME: Final = 0.0015
"""Seconds. A turn of the engine, with what another connection does in it, costs 20 to 60 us: at most 3 % of this. Each
flooding peer delays the others by as much."""


class Turn:
    """When the task of one connection has to let the others run."""

    __slots__ = ("_end", "_engine", "_is_shared")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_shared = not engine.blocks  # else each task has a thread of its own
        self._end = 0.0  # a moment of the engine's clock

    def is_over(self) -> bool:
        """Whether the others are to run now.

        Asked only where the task goes on without a wait. Other waits are not recorded, which would cost every message
        something: after them it is over too early, once in `TURN_TIME` at most.
        """
        return self._is_shared and self._engine.now() >= self._end

    async def hand_over(self) -> None:
        """Let the other tasks run.

        Cancellation: nothing is lost.
        """
        await self._engine.checkpoint()
        self._end = self._engine.now() + TURN_TIME
