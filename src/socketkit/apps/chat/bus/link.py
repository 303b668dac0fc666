"""A chat host's link to the others: the cluster, which decides, and the worker, which speaks with the bus."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from socketkit.apps.chat.bus.bus import Bus, Entry
from socketkit.apps.chat.bus.cluster import Cluster
from socketkit.apps.chat.bus.origin import Origin, State
from socketkit.apps.chat.bus.worker import BusWorker
from socketkit.apps.chat.decisions import Decision
from socketkit.apps.chat.hub import Hub
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError

__all__ = ["BusLink"]

TICK_TIME: Final = 0.1
FIRST_TIMEOUT: Final = 2.0
"""Seconds that a chat waits for the bus before it takes guests."""

LAST_TIMEOUT: Final = 2.0
"""Seconds that it waits at its end, until what was said is published."""


class BusLink:
    """The link of one host. Its methods never wait, but those that say so.

    Concurrency: one thread, that of the engine.
    """

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        bus: Bus,
        carry_out: Callable[[list[Decision]], object],
        begin_run: Callable[[str], State],
    ) -> None:
        """Args:
        engine: the one of the chat.
        hub: whose members are one part of the chat's.
        bus: is not open.
        carry_out: does what follows for the members of this host.
        begin_run: given the name of this run, tells where an earlier one has stopped.
        """
        self._engine = engine
        self._carry_out = carry_out
        host = os.urandom(6).hex()
        state = begin_run(host)
        self.cluster = Cluster(hub, host, engine.now(), state=state)
        self._worker = BusWorker(bus, host, state.position, self, engine.from_thread)
        self._settled = engine.event()
        self._ended = engine.event()
        self._returned = engine.event()

    async def start(self) -> None:
        """Connect, and wait until the other hosts are known; not for long."""
        self._worker.start()
        self._engine.background(self._tick())
        try:
            await self._settled.wait(deadline=self._engine.now() + FIRST_TIMEOUT)
        except DeadlineError:
            pass

    async def close(self) -> int:
        """Publish what is left, and disconnect; the number of lines said here that are not in the log."""
        if not self._ended.is_set():
            self.cluster.end(self._engine.now())
            self._pump()
            deadline = self._engine.now() + (LAST_TIMEOUT if self.cluster.is_linked else 0.0)
            while len(self.cluster.outbox) and self._engine.now() < deadline:
                await self._engine.sleep(0.005)
            self._ended.set()
            await self._engine.run_in_thread(lambda: self._worker.close(LAST_TIMEOUT))
        return self.cluster.outbox.said_count()

    def receive(self, member: int, line: bytes) -> list[Decision]:
        """A line of a member of this host; what follows now."""
        return self._pumped(self.cluster.receive(member, line, self._engine.now(), time.time()))

    def leave(self, member: int, how: str) -> list[Decision]:
        """A member of this host has gone; what follows now."""
        return self._pumped(self.cluster.leave(member, how, self._engine.now()))

    def absorb(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Publish what the hub has decided for the other hosts; the rest."""
        return self._pumped(self.cluster.absorb(decisions, self._engine.now()))

    def take_origin(self, message_id: int) -> Origin | None:
        """Where a message stands in the log, once."""
        return self.cluster.origins.pop(message_id, None)

    async def wait_caught_up(self, count: int) -> None:
        """Wait while more lines than this wait for the bus: so speakers are no faster than the bus."""
        while self.cluster.waiting_count() > count and not self._ended.is_set():
            if self._returned.is_set():  # else another one waits for it already
                self._returned = self._engine.event()
            await self._returned.wait()

    # What the worker calls

    def linked(self, is_intact: bool, keeps: bool) -> None:
        self._do(self.cluster.linked(is_intact, keeps, self._engine.now()))

    def unlinked(self, problem: str) -> None:
        self._do(self.cluster.unlinked(problem, self._engine.now()))

    def entries(self, entries: list[Entry]) -> None:
        self._do(self.cluster.entries(entries, self._engine.now()))

    def present(self, hosts: frozenset[str]) -> None:
        self.cluster.present(hosts, self._engine.now())

    def _do(self, decisions: list[Decision]) -> None:
        if not self._ended.is_set():
            self._carry_out(decisions)
        self._pump()

    def _pumped(self, decisions: list[Decision]) -> list[Decision]:
        self._pump()
        return decisions

    def _pump(self) -> None:
        self._returned.set()
        if (entry := self.cluster.next_entry()) is not None:
            self._worker.publish(entry)
        if self.cluster.is_together and not self._settled.is_set():
            self._settled.set()

    async def _tick(self) -> None:
        while not self._ended.is_set():
            try:
                await self._ended.wait(deadline=self._engine.now() + TICK_TIME)
            except DeadlineError:
                pass
            self._do(self.cluster.tick(self._engine.now()))
            if self.cluster.is_stuck:
                self.cluster.is_stuck = False
                self._worker.reconnect()
