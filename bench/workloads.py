"""What is measured: each workload is a load on a server in some mode."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass

from bench.measure import Running, Sample
from bench.peers import CHUNKS, COUNT, LINES, Peer

MOST_THREADS = 200
"""Connections beyond which servers with a thread each are left out: they measure the scheduler then."""


@dataclass(frozen=True)
class Workload:
    """A load.

    Attributes:
        key: on the command line.
        title: in tables.
        mode: what the server does.
        connections: how many talk.
        run: measures once, for about so many seconds.
        unit: of its main figure.
    """

    key: str
    title: str
    mode: str
    connections: int
    run: Callable[[Running, float], Sample]
    unit: str = "message"

    def takes(self, peer: Peer) -> bool:
        """Whether this peer can be measured so."""
        if peer.has_thread_each and self.connections > MOST_THREADS:
            return False
        if self.unit == "connection" and "by batches" in peer.name:
            return False  # the same as without
        if peer.name == "ours, select" and self.connections > 1000:
            return False  # FD_SETSIZE
        if peer.name == "pyzmq STREAM" and self.unit in ("visit", "connection"):
            return False  # it answers a reset by a stop of some seconds
        return self.mode in peer.modes and peer.is_available


def _echo(connections: int, depth: int, size: int) -> Callable[[Running, float], Sample]:
    return lambda server, seconds: server.loaded("load", connections, depth, size, seconds)


def _open(connections: int, rate: int) -> Callable[[Running, float], Sample]:
    return lambda server, seconds: server.loaded("load", connections, 1, 64, seconds, rate)


def _pour(connections: int) -> Callable[[Running, float], Sample]:
    return lambda server, seconds: server.loaded("crowd", "pour", connections, 64, seconds)


def _visit(server: Running, seconds: float) -> Sample:
    return server.loaded("crowd", "visit", seconds)


def idle_count() -> int:
    """Connections that a server is asked to hold: 10 000, or what the limit of descriptors allows."""
    return min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)


def _idle(server: Running, seconds: float) -> Sample:
    return server.crowded(idle_count() if seconds >= 1 else min(idle_count(), 5000))


def workloads() -> list[Workload]:
    """All of them, in the order of the tables."""
    return [
        Workload("ping-1", "ping-pong, 64 B lines, 1 connection", LINES, 1, _echo(1, 1, 64)),
        Workload("ping-50", "ping-pong, 64 B lines, 50 connections", LINES, 50, _echo(50, 1, 64)),
        Workload("ping-1000", "ping-pong, 64 B lines, 1 000 connections", LINES, 1000, _echo(1000, 1, 64)),
        Workload("pipe-32", "64 B lines, 50 connections, 32 under way on each", LINES, 50, _echo(50, 32, 64)),
        Workload("open", "64 B lines, 50 connections, 3 000 a second at set moments", LINES, 50, _open(50, 3000)),
        Workload("ingest", "64 B lines one way, 4 connections", COUNT, 4, _pour(4)),
        Workload("large", "64 KiB messages (chunks), 10 connections", CHUNKS, 10, _echo(10, 1, 65536)),
        Workload("accept", "call, one line, reset", LINES, 64, _visit, "visit"),
        Workload("idle", "idle connections, each after one line", LINES, 10_000, _idle, "connection"),
    ]
