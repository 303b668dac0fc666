"""One publisher, a hundred readers, 64-byte lines: `broadcast` beside Redis and NATS, in server processor time.

Usage: `python -m bench.broadcast [ROUNDS]` (needs redis-server and nats-server; what is missing is left out). The
servers have one core, the publisher and the readers the other one. Short rounds in random order; best and median.
"""

from __future__ import annotations

import random
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import cores, facts, processor_ns
from bench.relay import free_port

READERS = 100
SIZE = 64
BURST = 500
"""Messages that the publisher has under way at most: so each server may gather them, and none drops any."""

PEERS = Path(__file__).parent / "peers"


@dataclass
class Hub:
    """A server under test.

    Attributes:
        command: starts it; `{port}` and `{folder}` are filled in.
        join: what a reader sends, and how its answer ends.
        begin: what the publisher sends first.
        publish: the bytes of so many messages.
        frame_size: bytes that a reader gets for each message.
    """

    name: str
    command: list[str]
    join: tuple[bytes, bytes]
    begin: bytes
    publish: Callable[[int], bytes]
    frame_size: int
    costs: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


TEXT = b"x" * (SIZE - 1)
REDIS = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%d\r\n%b\r\n" % (len(TEXT), TEXT)


def hubs() -> list[Hub]:
    """Those that can run here."""
    ours = [
        Hub(f"socketkit, {engine}", [sys.executable, str(PEERS / "ours_hub.py"), engine], (b"join\n", b"ready\n"),
            b"PUBLISH\n", lambda count: (TEXT + b"\n") * count, SIZE)
        for engine in ("epoll", "uvloop", "asyncio")
    ]  # fmt: skip
    others = [
        Hub("Redis pub/sub", ["redis-server", "--port", "{port}", "--save", "", "--appendonly", "no"],
            (b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n", b":1\r\n"), b"", lambda count: REDIS * count,
            len(b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$63\r\n") + len(TEXT) + 2),
        Hub("NATS pub/sub", ["nats-server", "-a", "127.0.0.1", "-p", "{port}"],
            (b'CONNECT {"verbose":false}\r\nSUB room 1\r\nPING\r\n', b"PONG\r\n"), b'CONNECT {"verbose":false}\r\n',
            lambda count: b"PUB room 63\r\n%b\r\n" % TEXT * count, len(b"MSG room 1 63\r\n") + len(TEXT) + 2),
    ]  # fmt: skip
    return ours + [hub for hub in others if shutil.which(hub.command[0])]


class Audience:
    """A running server with its publisher and its readers."""

    def __init__(self, hub: Hub, stack: ExitStack) -> None:
        self.hub = hub
        port = free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [part.format(port=port) for part in hub.command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder)
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        subprocess.run(["taskset", "-a", "-pc", str(min(cores()[0])), str(self.process.pid)], capture_output=True)
        if hub.name.startswith("socketkit"):
            assert self.process.stdout is not None
            port = int(self.process.stdout.readline())
        self.readers = [self._join(port, stack) for _ in range(READERS)]
        self.publisher = self._dial(port, stack)
        self.publisher.sendall(hub.begin)
        self.selector = selectors.DefaultSelector()
        for reader in self.readers:
            reader.setblocking(False)
            self.selector.register(reader, selectors.EVENT_READ)

    def _dial(self, port: int, stack: ExitStack) -> socket.socket:
        deadline = time.monotonic() + 20
        while True:
            try:
                return stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _join(self, port: int, stack: ExitStack) -> socket.socket:
        reader = self._dial(port, stack)
        question, end = self.hub.join
        reader.sendall(question)
        answer = b""
        while not answer.endswith(end):
            answer += reader.recv(4096)
        return reader

    def round(self, seconds: float) -> None:
        """Publish for so long, a burst after the other; note what a delivery has cost the server."""
        burst = self.hub.publish(BURST)
        expected = BURST * READERS * self.hub.frame_size
        before, began, deliveries = processor_ns(self.process.pid), time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            self.publisher.sendall(burst)
            left = expected
            while left > 0:  # NATS sends a little more (PING)
                for key, _ in self.selector.select():
                    reader = key.fileobj
                    assert isinstance(reader, socket.socket)
                    left -= len(reader.recv(2**18))
            deliveries += BURST * READERS
        spent = processor_ns(self.process.pid) - before
        self.hub.costs.append(spent / deliveries)
        self.hub.rates.append(deliveries / (time.perf_counter() - began))


def main() -> None:
    """Measure and show."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print(facts())
    with ExitStack() as stack:
        audiences = [Audience(hub, stack) for hub in hubs()]
        for _ in range(rounds):
            for audience in random.sample(audiences, len(audiences)):
                audience.round(0.25)
    print("\n| server | ns a delivery: best, median | millions a second of processor time | delivered a second |")
    print("|---" * 4 + "|")
    for audience in audiences:
        best, median = min(audience.hub.costs), statistics.median(audience.hub.costs)
        rate = statistics.median(audience.hub.rates)
        print(f"| {audience.hub.name} | {best:.0f}, {median:.0f} | {1000 / best:.1f} | {rate / 1e6:.2f} M |")


if __name__ == "__main__":
    main()
