"""The relay in `make bench`: round trips of small messages through it, and one connection's throughput."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench.machine import Programs, on_all_cores, on_load_core, on_server_core
from bench.measure import Sample, loaded
from bench.relay import relay_of, running
from bench.run import BYTES_RATE, COST, LATENCY, Contestant, Workload

OURS, PURE, DIRECT = "ours, compiled core", "ours, core in Python", "direct"
BIG = 65536


def workloads() -> list[Workload]:
    """Latency, the cost of many small messages, and throughput."""
    return [
        Workload("relay-ping", "Relay: ping-pong, 64 B, 1 connection", _open_latency, LATENCY, unit="round trip"),
        Workload("relay-50", "Relay: ping-pong, 64 B, 50 connections", _open_cost, COST, unit="round trip"),
        Workload("relay-bulk", "Relay: throughput of one connection", _open_bulk, BYTES_RATE, unit="byte"),
    ]


def _open_latency(programs: Programs, wanted: Callable[[str], bool]) -> AbstractContextManager[list[Contestant]]:
    return _opened(programs, wanted, "echo", on_server_core, ("load", 1, 1, 64))


def _open_cost(programs: Programs, wanted: Callable[[str], bool]) -> AbstractContextManager[list[Contestant]]:
    return _opened(programs, wanted, "echo", on_server_core, ("load", 50, 1, 64), has_direct=False)


def _open_bulk(programs: Programs, wanted: Callable[[str], bool]) -> AbstractContextManager[list[Contestant]]:
    return _opened(programs, wanted, "count", on_all_cores, ("crowd", "pour", 1, BIG), count_of=BIG)


@contextmanager
def _opened(
    programs: Programs,
    wanted: Callable[[str], bool],
    mode: str,
    pinned: Callable[[], None],
    told: tuple[object, ...],
    *,
    count_of: int = 1,
    has_direct: bool = True,
) -> Iterator[list[Contestant]]:
    """Relays on the server's core, the target and the load on the other one; for throughput all where there is room."""
    with ExitStack() as stack:
        is_bulk = pinned is on_all_cores
        target = subprocess.Popen(
            [str(programs["server"]), mode],
            stdout=subprocess.PIPE,
            preexec_fn=on_all_cores if is_bulk else on_load_core,
        )
        stack.callback(target.wait)
        stack.callback(target.kill)
        assert target.stdout is not None
        port = int(target.stdout.readline())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="socketkit-bench-")))
        contestants = []

        def add(name: str, process: int, at: int) -> None:
            program, *arguments = told

            def measure(seconds: float) -> Sample:
                sample = loaded(programs, process, str(program), str(at), *arguments, seconds)
                spent, latencies = sample.processor_ns, sample.latencies
                return Sample(sample.count * count_of, sample.seconds, spent, latencies)

            contestants.append(Contestant(name, measure, is_ours=name.startswith("ours")))

        for name in (OURS, PURE, "socat", "haproxy"):
            if name == "socat" and not has_direct:
                continue  # it has a process for each connection, whose time is not its own
            if wanted(name) and (name.startswith("ours") or shutil.which(name)):
                command, at = relay_of("socketkit" if name.startswith("ours") else name, port, folder)
                environment = {"SOCKETKIT_PURE": "1"} if name == PURE else {}
                relay = stack.enter_context(running(*command, port=at, environment=environment, before=pinned))
                add(name, relay.pid, at)
        if has_direct and wanted(DIRECT):
            add(DIRECT, target.pid, port)
        yield contestants
