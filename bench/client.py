"""The blocking client beside a bare socket, in this process, against a server in C."""

from __future__ import annotations

import socket
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import socketkit

LINE = "x" * 63
DATA = LINE.encode() + b"\n"
TRIPS = 500
LINES = 50_000


@contextmanager
def _server(program: Path, mode: str):
    process = subprocess.Popen([str(program), mode], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _bare(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _spent(work: Callable[[], None], clock: Callable[[], int]) -> int:
    began = clock()
    work()
    return clock() - began


def _compare(
    works: list[Callable[[], None]], count: int, rounds: int, clock: Callable[[], int] = time.perf_counter_ns
) -> list[float]:
    """Median nanoseconds of each, measured in turns."""
    for work in works:
        work()
    spent: list[list[int]] = [[] for _ in works]
    for _ in range(rounds):
        for index, work in enumerate(works):
            spent[index].append(_spent(work, clock))
    return [statistics.median(each) / count for each in spent]


def round_trips(program: Path, rounds: int) -> dict[str, float]:
    """Nanoseconds of a round trip of 64 bytes, from the call to the answer."""
    with _server(program, "echo") as port, _bare(port) as sock:
        with (
            socketkit.connect(f"tcp://127.0.0.1:{port}") as chunks,
            socketkit.connect(f"tcp://127.0.0.1:{port}", framing="lines") as lines,
        ):

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

            costs = _compare([bare, by_chunks, by_lines], TRIPS, rounds * 5)
    return dict(zip(("bare socket", "ours, chunks", "ours, lines"), costs, strict=True))


def iterations(program: Path, rounds: int) -> dict[str, float]:
    """Nanoseconds of processor time a line of 64 bytes that is iterated over."""
    with _server(program, "source") as first, _server(program, "source") as second, _server(program, "source") as third:
        with _bare(first) as sock, sock.makefile("rb") as file:
            texts = socketkit.connect(f"tcp://127.0.0.1:{second}", framing="lines").open()
            raws = socketkit.connect(f"tcp://127.0.0.1:{third}", framing="lines:encoding=none").open()
            sources = [iter(file), iter(texts), iter(raws)]
            works = [_taker(source) for source in sources]
            costs = _compare(works, LINES, rounds, time.process_time_ns)
            texts.abort()
            raws.abort()
    return dict(zip(("makefile('rb')", "ours, lines of str", "ours, lines of bytes"), costs, strict=True))


def _taker(source) -> Callable[[], None]:
    def take() -> None:
        for _ in islice(source, LINES):
            pass

    return take
