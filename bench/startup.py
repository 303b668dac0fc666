"""What it costs to begin: the import, and the command."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import Programs
from bench.measure import Sample
from bench.run import Contestant, Value, Workload

_COMMAND = str(Path(sys.executable).with_name("socketkit"))
NOTHING, IMPORT, VERSION = "python -c pass", "import socketkit", "socketkit --version"
CONNECTED = "socketkit connect, until it is there"
_WORK = {
    NOTHING: [sys.executable, "-c", "pass"],
    IMPORT: [sys.executable, "-c", "import socketkit"],
    "from socketkit import connect": [sys.executable, "-c", "from socketkit import connect"],
    VERSION: [_COMMAND, "--version"],
}
START = Value("ms", lambda sample: sample.time, 1e6)


def workloads() -> list[Workload]:
    """One."""
    return [Workload("start", "Starting", _open, START, unit="start")]


@contextmanager
def _open(programs: Programs, wanted: Callable[[str], bool]) -> Iterator[list[Contestant]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        works = {name: _whole(command) for name, command in _WORK.items()}
        works[CONNECTED] = _until_accepted(listener)
        yield [Contestant(name, work, "socketkit" in name) for name, work in works.items() if wanted(name)]


def _whole(command: list[str]) -> Callable[[float], Sample]:
    def measure(seconds: float) -> Sample:
        began = time.perf_counter()
        with _started(command):
            pass
        return Sample(1, time.perf_counter() - began)

    return measure


def _until_accepted(listener: socket.socket) -> Callable[[float], Sample]:
    command = [_COMMAND, "connect", f"tcp://127.0.0.1:{listener.getsockname()[1]}"]

    def measure(seconds: float) -> Sample:
        began = time.perf_counter()
        with _started(command):
            accepted, _ = listener.accept()
            took = time.perf_counter() - began
            accepted.close()
        return Sample(1, took)

    return measure


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
