"""One publisher, a hundred readers, 64-byte lines: `broadcast` beside Redis and NATS, in server processor time.

What is missing (redis-server, nats-server) is left out. The servers have one core, the publisher and the readers the
other one. One hub of ours has a further reader that reads nothing: it must delay nobody.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.machine import Programs, on_server_core, processor_ns
from bench.measure import Sample
from bench.peers import PEERS_FOLDER, Peer
from bench.relay import free_port
from bench.run import COST_NS, Contestant, Workload

READERS = 100
SIZE = 64
BURST = 500
"""Messages that the publisher has under way at most: so each server may gather them, and none drops any."""

OURS, STALLED = "ours, epoll", "ours, epoll, and one more who reads nothing"
REDIS_NAME = "Redis pub/sub"


@dataclass(frozen=True)
class Hub:
    """A server under test.

    Attributes:
        name: in tables.
        command: starts it; `{port}` is filled in.
        join: what a reader sends, and how its answer ends.
        begin: what the publisher sends first.
        publish: the bytes of so many messages.
        frame_size: bytes that a reader gets for each message.
        environment: variables of its process.
    """

    name: str
    command: list[str]
    join: tuple[bytes, bytes]
    begin: bytes
    publish: Callable[[int], bytes]
    frame_size: int
    environment: dict[str, str]


TEXT = b"x" * (SIZE - 1)
REDIS = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%d\r\n%b\r\n" % (len(TEXT), TEXT)


def workloads() -> list[Workload]:
    """One."""
    title = f"Broadcast of 64 B lines to {READERS} connections"
    return [Workload("broadcast", title, _open, COST_NS, unit="delivery")]


def hubs() -> list[Hub]:
    """Those that can run here."""
    others = [
        Hub(REDIS_NAME, ["redis-server", "--port", "{port}", "--save", "", "--appendonly", "no"],
            (b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n", b":1\r\n"), b"", lambda count: REDIS * count,
            len(b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$63\r\n") + len(TEXT) + 2, {}),
        Hub("NATS pub/sub", ["nats-server", "-a", "127.0.0.1", "-p", "{port}"],
            (b'CONNECT {"verbose":false}\r\nSUB room 1\r\nPING\r\n', b"PONG\r\n"), b'CONNECT {"verbose":false}\r\n',
            lambda count: b"PUB room 63\r\n%b\r\n" % TEXT * count, len(b"MSG room 1 63\r\n") + len(TEXT) + 2, {}),
    ]  # fmt: skip
    ours = [
        _ours(OURS, "epoll"),
        _ours(STALLED, "epoll"),
        _ours("ours, epoll, core in Python", "epoll", SOCKETKIT_PURE="1"),
        _ours("ours, uvloop", "uvloop"),
        _ours("ours, asyncio", "asyncio"),
    ]
    return ours + [hub for hub in others if shutil.which(hub.command[0])]


def _ours(name: str, engine: str, **environment: str) -> Hub:
    command = [sys.executable, str(PEERS_FOLDER / "ours_hub.py"), engine]
    publish: Callable[[int], bytes] = lambda count: (TEXT + b"\n") * count  # noqa: E731
    return Hub(name, command, (b"join\n", b"ready\n"), b"PUBLISH\n", publish, SIZE, environment)


@contextmanager
def _open(programs: Programs, wanted: Callable[[str], bool]) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        audiences = [Audience(hub, stack) for hub in hubs() if wanted(hub.name)]
        yield [Contestant(each.hub.name, each.round, is_ours=each.hub.name.startswith("ours")) for each in audiences]


class Audience:
    """A running server with its publisher and its readers."""

    def __init__(self, hub: Hub, stack: ExitStack) -> None:
        self.hub = hub
        port = free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="socketkit-bench-"))
        self.process = subprocess.Popen(
            [part.format(port=port) for part in hub.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=Peer("", (), environment=hub.environment).full_environment(),
            preexec_fn=on_server_core,
        )
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        assert self.process.stdout is not None
        stack.callback(self.process.stdout.close)
        if hub.name.startswith("ours"):
            port = int(self.process.stdout.readline())
        self.readers = [self._join(port, stack) for _ in range(READERS)]
        if hub.name == STALLED:
            self._join(port, stack)
        self.publisher = self._dial(port, stack)
        self.publisher.sendall(hub.begin)
        self.selector = stack.enter_context(selectors.DefaultSelector())
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

    def round(self, seconds: float) -> Sample:
        """Publish for so long, a burst after the other."""
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
        took = time.perf_counter() - began
        return Sample(deliveries, took, processor_ns(self.process.pid) - before)
