"""Happy Eyeballs (RFC 8305): of the addresses of a name, the first that answers, with a head start for the better ones.

One coroutine tries them all: it starts the next attempt when the time for that has come or when one has failed, and
else waits for whichever answers first. So there is no task to lose, nothing to be closed twice, one winner. Knows
when to begin, and not what connecting is: that is the connector's, which tests write as a script.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from socketkit.engines.descriptor_set import DescriptorSet
from socketkit.engines.engine import WRITE, Engine
from socketkit.errors import DeadlineError
from socketkit.sockets.resolver import Candidate

__all__ = ["Attempt", "Connector", "HappyEyeballs", "interleaved"]


class Attempt(Protocol):
    """An attempt under way: a descriptor that can be written when there is an answer."""

    def fileno(self) -> int:
        """The descriptor."""

    def close(self) -> None:
        """Give it up."""


B = TypeVar("B", bound=Attempt)
T = TypeVar("T", covariant=True)


class Connector(Protocol[B, T]):
    """Starts attempts. An attempt that fails raises, and `failed` reports it."""

    def begin(self, candidate: Candidate) -> B:
        """Begin an attempt, without waiting.

        Raises:
            OSError: it failed at once; nothing is left open.
        """

    def finish(self, candidate: Candidate, begun: B) -> T:
        """The outcome of a finished attempt; the receiver owns the descriptor.

        Raises:
            OSError: it failed; the descriptor is still ours.
        """

    def failed(self, candidate: Candidate, error: OSError) -> None:
        """An attempt came to nothing; its descriptor is closed. `DeadlineError` (which is one): given up."""


def interleaved(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The families by turns, beginning with that of the first; each in its order (RFC 8305, section 4)."""
    families: dict[int, deque[Candidate]] = {}
    for candidate in candidates:
        families.setdefault(candidate.family, deque()).append(candidate)
    order: list[Candidate] = []
    while families:
        for family, left in list(families.items()):
            order.append(left.popleft())
            if not left:
                del families[family]
    return order


class HappyEyeballs(Generic[B, T]):
    """One dial at several addresses.

    Args:
        engine: where to wait.
        connector: how an attempt begins and ends.
        candidates: in the resolver's order, which knows what is near (RFC 6724).
        delay: seconds between two starts, while nothing fails; it never ends an attempt. None: one after another, each
            with an equal share of the time that is left, which does end it.
        deadline: a moment of the engine's clock, for all together.

    Attributes:
        is_late: whether the deadline has ended it.
        untried: those whose turn did not come.
    """

    def __init__(
        self,
        engine: Engine,
        connector: Connector[B, T],
        candidates: Iterable[Candidate],
        *,
        delay: float | None,
        deadline: float | None = None,
    ) -> None:
        self._engine = engine
        self._connector = connector
        self._delay = delay
        self._deadline = math.inf if deadline is None else deadline
        self._under_way: dict[int, tuple[Candidate, B]] = {}  # by descriptor, in the order in which they began
        self._next = -math.inf  # the moment of the next start
        self.untried = deque(interleaved(candidates))
        self.is_late = False

    async def run(self) -> T | None:
        """The first that answers well; None where none did. All others are closed then.

        Raises:
            OSError: the system is short of descriptors. What else the connector raises ends the race too.

        Cancellation: everything is closed.
        """
        with DescriptorSet(self._engine, WRITE) as attempts:
            try:
                return await self._run(attempts)
            finally:
                for _, begun in self._under_way.values():
                    begun.close()
                self._under_way.clear()

    async def _run(self, attempts: DescriptorSet) -> T | None:
        while self._under_way or self.untried:
            if self._under_way:
                moment = min(self._next, self._deadline) if self.untried else self._deadline
                try:
                    ready = await attempts.wait(deadline=None if moment == math.inf else moment)
                except DeadlineError:
                    if self._delay is None:
                        self._give_up(attempts)  # its share is over
                else:
                    winner = self._take_ready(attempts, ready)
                    if winner is not None:
                        return winner
            now = self._engine.now()
            if now >= self._deadline:
                self._give_up(attempts)
                self.is_late = True
                break
            if self.untried and now >= self._next:
                self._start(attempts, now)
        return None

    def _start(self, attempts: DescriptorSet, now: float) -> None:
        candidate = self.untried.popleft()
        try:
            begun = self._connector.begin(candidate)
        except OSError as error:
            self._connector.failed(candidate, error.with_traceback(None))
            return  # and the next at once
        self._under_way[begun.fileno()] = candidate, begun
        attempts.add(begun.fileno())
        if self._delay is not None:
            self._next = now + self._delay
        else:
            self._next = now + (self._deadline - now) / (len(self.untried) + 1)

    def _take_ready(self, attempts: DescriptorSet, ready: list[int]) -> T | None:
        for descriptor in [descriptor for descriptor in self._under_way if descriptor in ready]:
            candidate, begun = self._under_way[descriptor]
            try:
                winner = self._connector.finish(candidate, begun)
            except OSError as error:
                self._drop(attempts, descriptor, error)
                self._next = -math.inf  # the next at once: this one has had its answer (RFC 8305, section 5)
            else:
                attempts.remove(descriptor)
                del self._under_way[descriptor]
                return winner
        return None

    def _give_up(self, attempts: DescriptorSet) -> None:
        for descriptor in list(self._under_way):
            self._drop(attempts, descriptor, DeadlineError("no answer in time"))

    def _drop(self, attempts: DescriptorSet, descriptor: int, error: OSError) -> None:
        attempts.remove(descriptor)
        candidate, begun = self._under_way.pop(descriptor)
        begun.close()
        self._connector.failed(candidate, error.with_traceback(None))
