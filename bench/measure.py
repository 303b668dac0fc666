"""One measurement: a server under a load, with the processor time that it spent meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.machine import Programs, on_load_core, on_server_core, private_memory, resident_memory
from bench.peers import Peer

WARMING = 100
"""Connections that come and go before memory is measured: what a process allocates once is not a connection's."""


@dataclass(frozen=True)
class Sample:
    """What one round has shown.

    Attributes:
        count: messages, visits, deliveries, bytes: what the workload counts.
        seconds: it took.
        processor_ns: user and system time of the server meanwhile.
        latencies: 50th, 99th, 99.9th percentile in microseconds; empty where none was measured.
        memory: bytes a connection: of the process's own, and of all that lies in memory.
    """

    count: int
    seconds: float = 0.0
    processor_ns: int = 0
    latencies: tuple[float, ...] = ()
    memory: tuple[float, float] = (0.0, 0.0)

    @property
    def cost(self) -> float:
        """Nanoseconds of processor time a message."""
        return self.processor_ns / max(self.count, 1)

    @property
    def time(self) -> float:
        """Nanoseconds of wall time a message."""
        return self.seconds * 1e9 / max(self.count, 1)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.count / self.seconds if self.seconds else 0.0

    def latency(self, index: int) -> float:
        """A percentile in microseconds; 0 where none was measured."""
        return self.latencies[index] if self.latencies else 0.0


@contextmanager
def load(
    programs: Programs, server: int, program: str, port: str, *arguments: object
) -> Iterator[subprocess.Popen[str]]:
    """A load in C on a server (its process), from when it says `go`. Raises RuntimeError if it does not."""
    with subprocess.Popen(
        [str(programs[program]), port, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BENCH_SERVER": str(server)},
        preexec_fn=on_load_core,
    ) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "go\n":
                raise RuntimeError("the load could not begin")
            yield process
        finally:
            process.kill()


def loaded(programs: Programs, server: int, program: str, port: str, *arguments: object) -> Sample:
    """From `go` to `end` of a load; `server` is the process whose time counts."""
    with load(programs, server, program, port, *arguments) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "end\n":
            raise RuntimeError("the load broke off")
        count, seconds, spent, *latencies = process.stdout.readline().split()
    return Sample(int(count), float(seconds), int(spent), tuple(map(float, latencies[:3])))


class Running:
    """A server that runs."""

    def __init__(self, peer: Peer, mode: str, programs: Programs) -> None:
        self.peer = peer
        self.programs = programs
        self.process = subprocess.Popen(
            peer.full_command(mode, programs["server"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=peer.full_environment(),
            preexec_fn=on_server_core,
        )
        self.port = ""

    def wait_ready(self) -> None:
        """Until it has told its port. (Apart from the start, so that many start at once.)"""
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().decode().strip()
        if not self.port.isdigit():
            raise RuntimeError("did not tell its port")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def loaded(self, program: str, *arguments: object) -> Sample:
        """Under a load in C."""
        return loaded(self.programs, self.process.pid, program, self.port, *arguments)

    def crowded(self, count: int) -> Sample:
        """What idle connections weigh. The process and its allocator are warmed up by a few of them first."""
        with load(self.programs, self.process.pid, "crowd", self.port, "hold", WARMING):
            pass
        time.sleep(0.2)
        own, resident = private_memory(self.process.pid), resident_memory(self.process.pid)
        with load(self.programs, self.process.pid, "crowd", self.port, "hold", count):
            time.sleep(0.2)
            own = private_memory(self.process.pid) - own
            resident = resident_memory(self.process.pid) - resident
        time.sleep(0.2)
        return Sample(count, memory=(own / count, resident / count))
