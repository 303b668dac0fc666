"""Runs the workloads: rounds in which every server has its turn, so that all see the same weather."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Running, Sample
from bench.peers import PEERS, Peer
from bench.workloads import Workload


@dataclass
class Figures:
    """All samples of one server under one workload."""

    peer: Peer
    samples: list[Sample] = field(default_factory=list)
    error: str = ""

    def median(self, value: Callable[[Sample], float]) -> float:
        """The median over the rounds; 0 where there is nothing."""
        return statistics.median(map(value, self.samples)) if self.samples else 0.0

    @property
    def cost(self) -> float:
        """Nanoseconds of processor time a message."""
        return self.median(lambda sample: sample.cost)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.median(lambda sample: sample.rate)

    @property
    def memory(self) -> float:
        """Bytes of its own a connection."""
        return self.median(lambda sample: sample.memory[0])

    def latency(self, index: int) -> float:
        """A percentile in microseconds."""
        return self.median(lambda sample: sample.latencies[index] if sample.latencies else 0.0)


def run(
    workload: Workload,
    programs: dict[str, Path],
    *,
    rounds: int,
    seconds: float,
    only: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> list[Figures]:
    """Measure everybody who can be measured so."""
    wanted = list(only)
    peers = [peer for peer in PEERS if workload.takes(peer) and (not wanted or peer.name in wanted)]
    figures = [Figures(peer) for peer in peers]
    servers: dict[str, Running] = {}
    try:
        for each in figures:
            servers[each.peer.name] = Running(each.peer, workload.mode, programs)
        for each in figures:
            try:
                servers[each.peer.name].wait_ready()
            except RuntimeError as error:
                each.error = str(error)
        for number in range(rounds):
            for each in figures if number % 2 == 0 else reversed(figures):
                progress(each.peer.name)
                if not each.error:
                    try:
                        each.samples.append(workload.run(servers[each.peer.name], seconds))
                    except RuntimeError as error:
                        each.error = str(error)
    finally:
        for server in servers.values():
            server.stop()
    return figures
