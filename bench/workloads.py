"""What is measured: the workloads, in the order of the tables."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench import broadcast, client, encode, relayed, startup, tls
from bench.machine import Programs
from bench.measure import Running, Sample
from bench.peers import CHUNKS, COUNT, LINES, PEERS, TLS, WEBSOCKET, Peer
from bench.run import COST, COST_NS, LATENCY, MEMORY, Contestant, Value, Workload

MOST_THREADS = 200
"""Connections beyond which servers with a thread each are left out: they measure the scheduler then."""

Serving = Callable[[Running, float], Sample]


def _takes(key: str, peer: Peer, connections: int) -> bool:
    if peer.has_thread_each and connections > MOST_THREADS:
        return False
    if key in ("accept", "idle") and "by batches" in peer.name:
        return False  # the same as without
    if peer.name == "ours, select" and connections > 1000:
        return False  # FD_SETSIZE
    # pyzmq answers a reset by a stop of some seconds.
    return not (peer.name == "pyzmq STREAM" and key in ("accept", "idle", "flood"))


def _servers(
    key: str, title: str, mode: str, connections: int, serving: Serving, value: Value = COST, **rest: object
) -> Workload:
    """A workload of servers, each in a process of its own."""

    def open_them(programs: Programs, wanted: Callable[[str], bool]) -> AbstractContextManager[list[Contestant]]:
        able = [peer for peer in PEERS if mode in peer.modes and peer.is_available and wanted(peer.name)]
        return _started([peer for peer in able if _takes(key, peer, connections)], mode, programs, serving)

    return Workload(key, title, open_them, value, **rest)  # type: ignore[arg-type]


@contextmanager
def _started(peers: list[Peer], mode: str, programs: Programs, serving: Serving) -> Iterator[list[Contestant]]:
    servers: list[Running] = []
    contestants = []
    with tls.certificate() if mode == TLS else _nothing():
        try:
            for peer in peers:
                server = Running(peer, mode, programs)
                servers.append(server)
                measure = _bound(serving, server)
                contestants.append(Contestant(peer.name, measure, is_ours=peer.is_ours))
            for server, contestant in zip(servers, contestants, strict=True):
                try:
                    server.wait_ready()
                except RuntimeError as error:
                    contestant.error = str(error)
            yield contestants
        finally:
            for server in servers:
                server.stop()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _bound(serving: Serving, server: Running) -> Callable[[float], Sample]:
    return lambda seconds: serving(server, seconds)


def _echo(connections: int, depth: int, size: int) -> Serving:
    return lambda server, seconds: server.loaded("load", connections, depth, size, seconds)


def _open(connections: int, rate: int) -> Serving:
    return lambda server, seconds: server.loaded("load", connections, 1, 64, seconds, rate)


def _frames(connections: int, depth: int, size: int) -> Serving:
    return lambda server, seconds: server.loaded("load", connections, depth, size, seconds, 0, "websocket")


def _pour(connections: int) -> Serving:
    return lambda server, seconds: server.loaded("crowd", "pour", connections, 64, seconds)


def _visit(server: Running, seconds: float) -> Sample:
    return server.loaded("crowd", "visit", seconds)


def _flood(server: Running, seconds: float) -> Sample:
    return server.loaded("crowd", "flood", seconds)


def idle_count() -> int:
    """Connections that a server is asked to hold: 10 000, or what the limit of descriptors allows."""
    return min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)


def _idle(server: Running, seconds: float) -> Sample:
    return server.crowded(idle_count())


def workloads() -> list[Workload]:
    """All of them."""
    return [
        _servers("ping-1", "Ping-pong, 64 B lines, 1 connection", LINES, 1, _echo(1, 1, 64)),
        _servers("ping-50", "Ping-pong, 64 B lines, 50 connections", LINES, 50, _echo(50, 1, 64)),
        _servers("ping-1000", "Ping-pong, 64 B lines, 1 000 connections", LINES, 1000, _echo(1000, 1, 64)),
        _servers("pipe-32", "64 B lines, 50 connections, 32 under way on each", LINES, 50, _echo(50, 32, 64)),
        _servers("open", "64 B lines, 50 connections, 3 000 a second at set moments", LINES, 50, _open(50, 3000)),
        _servers("ingest", "64 B lines one way, 4 connections", COUNT, 4, _pour(4), COST_NS),
        _servers("large", "64 KiB messages (chunks), 10 connections", CHUNKS, 10, _echo(10, 1, 65536)),
        _servers("tls-32", "64 B lines over TLS, 8 connections, 32 under way", TLS, 8, tls.echo),
        _servers("ws-50", "WebSocket ping-pong, 64 B text, 50 connections", WEBSOCKET, 50, _frames(50, 1, 64)),
        _servers("ws-32", "WebSocket, 64 B text, 50 connections, 32 under way", WEBSOCKET, 50, _frames(50, 32, 64)),
        _servers("accept", "Connect, one line, reset", LINES, 64, _visit, unit="connection"),
        _servers("flood", "Ping-pong beside a connection that floods", LINES, 2, _flood, LATENCY, unit="round trip"),
        _servers(
            "idle", "Idle connections, each after one line", LINES, 10_000, _idle, MEMORY,
            unit="connection", has_one_round=True,
        ),
        *broadcast.workloads(),
        *client.workloads(),
        *encode.workloads(),
        *relayed.workloads(),
        *startup.workloads(),
    ]  # fmt: skip
