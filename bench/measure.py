"""One measurement: a server under a load, with the processor time that it spent meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cores, private_memory, processor_ns, resident_memory
from bench.peers import Peer


@dataclass(frozen=True)
class Sample:
    """What one run has shown.

    Attributes:
        count: messages, or visits.
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
    def rate(self) -> float:
        """Messages a second."""
        return self.count / self.seconds if self.seconds else 0.0


class Running:
    """A server that runs."""

    def __init__(self, peer: Peer, mode: str, programs: dict[str, Path]) -> None:
        self.peer = peer
        self.programs = programs
        self.process = subprocess.Popen(
            peer.full_command(mode, programs["server"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores()[0]),
        )
        self.port = ""

    def wait_ready(self) -> None:
        """Until it has told its port. (Apart from the start, so that many start at once.)"""
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().decode().strip()
        if not self.port.isdigit():
            raise RuntimeError(f"{self.peer.name} did not tell its port")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @contextmanager
    def _load(self, program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [str(self.programs[program]), self.port, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores()[1]),
        ) as load:
            assert load.stdout is not None
            try:
                if load.stdout.readline() != "go\n":
                    raise RuntimeError(f"{self.peer.name}: the load could not begin")
                yield load
            finally:
                load.kill()

    def loaded(self, program: str, *arguments: object) -> Sample:
        """From `go` to `end` of a load."""
        with self._load(program, *arguments) as load:
            assert load.stdout is not None
            before = processor_ns(self.process.pid)
            end = load.stdout.readline()
            spent = processor_ns(self.process.pid) - before
            if end != "end\n":
                raise RuntimeError(f"{self.peer.name}: the load broke off")
            words = load.stdout.readline().split()
        return Sample(int(words[0]), float(words[1]), spent, tuple(map(float, words[2:5])))

    def crowded(self, count: int) -> Sample:
        """What idle connections weigh. The process and its allocator are warmed up by a tenth of them first."""
        with self._load("crowd", "hold", max(count // 10, 1)):
            pass
        time.sleep(0.2)
        own, resident = private_memory(self.process.pid), resident_memory(self.process.pid)
        with self._load("crowd", "hold", count):
            time.sleep(0.2)
            own = private_memory(self.process.pid) - own
            resident = resident_memory(self.process.pid) - resident
        time.sleep(0.2)
        return Sample(count, memory=(own / count, resident / count))
