"""The blocking client beside a bare socket, in this process, against a server in C."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import socketkit
from bench.machine import Programs, on_all_cores, on_load_core, on_server_core
from bench.measure import Sample
from bench.run import COST_NS, TIME, Contestant, Workload

LINE = "x" * 63
DATA = LINE.encode() + b"\n"
TRIPS = 100
LINES = 20_000

BARE, FILE = "bare socket", "makefile('rb')"
CHUNKS, BYTES_LINES = "ours, chunks", "ours, lines of bytes"


def workloads() -> list[Workload]:
    """Round trips, and iteration."""
    trips, lines = "Blocking client: a round trip of 64 B", "Blocking client: lines of 64 B iterated"
    return [
        Workload("trip", trips, _open_trips, TIME, unit="round trip"),
        Workload("iterate", lines, _open_iterations, COST_NS, unit="line"),
    ]


@contextmanager
def _server(programs: Programs, mode: str) -> Iterator[int]:
    # A round trip goes the shorter way where the system may keep both on one core.
    before = on_all_cores if mode == "echo" else on_server_core
    process = subprocess.Popen([str(programs["server"]), mode], stdout=subprocess.PIPE, preexec_fn=before)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _bare(port: int, stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextmanager
def _open_trips(programs: Programs, wanted: Callable[[str], bool]) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        on_all_cores()
        stack.callback(on_load_core)
        port = stack.enter_context(_server(programs, "echo"))
        sock = _bare(port, stack)
        chunks = stack.enter_context(socketkit.connect(f"tcp://127.0.0.1:{port}"))
        lines = stack.enter_context(socketkit.connect(f"tcp://127.0.0.1:{port}", framing="lines"))

        def bare() -> None:
            for _ in range(TRIPS):
                sock.sendall(DATA)
                sock.recv(65536)

        def by_chunks() -> None:
            for _ in range(TRIPS):
                chunks.send(DATA)
                chunks.receive()

        def by_lines() -> None:
            for _ in range(TRIPS):
                lines.send(LINE)
                lines.receive()

        yield _contestants({BARE: bare, CHUNKS: by_chunks, "ours, lines": by_lines}, TRIPS, wanted)


@contextmanager
def _open_iterations(programs: Programs, wanted: Callable[[str], bool]) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        ports = [stack.enter_context(_server(programs, "source")) for _ in range(3)]
        file = stack.enter_context(_bare(ports[0], stack).makefile("rb"))
        texts = socketkit.connect(f"tcp://127.0.0.1:{ports[1]}", framing="lines").open()
        stack.callback(texts.abort)
        raws = socketkit.connect(f"tcp://127.0.0.1:{ports[2]}", framing="lines:encoding=none").open()
        stack.callback(raws.abort)
        works = {FILE: _taker(file), "ours, lines of str": _taker(texts), BYTES_LINES: _taker(raws)}
        yield _contestants(works, LINES, wanted)


def _contestants(works: dict[str, Callable[[], None]], count: int, wanted: Callable[[str], bool]) -> list[Contestant]:
    return [
        Contestant(name, _repeated(work, count), is_ours=name.startswith("ours"))
        for name, work in works.items()
        if wanted(name)
    ]


def _repeated(work: Callable[[], None], count: int) -> Callable[[float], Sample]:
    """The best of a round's runs of so many; the processor's time is this process's own."""

    def once() -> tuple[float, int]:
        began, spent = time.perf_counter(), time.process_time_ns()
        work()
        return time.perf_counter() - began, time.process_time_ns() - spent

    def measure(seconds: float) -> Sample:
        until = time.perf_counter() + seconds
        runs = [once()]
        while time.perf_counter() < until:
            runs.append(once())
        return Sample(count, min(took for took, _ in runs), min(spent for _, spent in runs))

    return measure


def _taker(source: object) -> Callable[[], None]:
    lines = iter(source)  # type: ignore[call-overload]

    def take() -> None:
        for _ in islice(lines, LINES):
            pass

    return take
