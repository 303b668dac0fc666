"""Brokers for tests: real `nats-server` and `redis-server` at free ports, killed and restarted at the same port; and a
relay in front of one that is cut and healed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from support.programs import PATIENCE, free_port, needs

PASSWORD = "hunter2-secret"


class Broker(Protocol):
    """What the tests need of a broker."""

    port: int

    def url(self, port: int | None = None) -> str:
        """Its address, or that of a relay in front of it at this port."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def forget(self) -> None:
        """Delete what it has on its disk; it is not running."""


class _Server:
    scheme = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def url(self, port: int | None = None) -> str:
        raise NotImplementedError

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            self.command(), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"{self.command()} has ended"
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
        raise AssertionError(f"{self.command()} does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def forget(self) -> None:
        shutil.rmtree(self.folder)


class Redis(_Server):
    """A Redis that keeps its stream in a file that it appends to."""

    is_kept = True

    def command(self) -> list[str]:
        kept = ["--appendonly", "yes", "--appendfsync", "no"] if self.is_kept else ["--appendonly", "no"]
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [needs("redis-server"), *where, "--requirepass", PASSWORD, "--save", "", *kept]

    def url(self, port: int | None = None) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{port or self.port}/0?chat=test"


class ForgetfulRedis(Redis):
    """A Redis without a disk: its stream is gone after a restart."""

    is_kept = False


class Nats(_Server):
    """A NATS server with JetStream."""

    options = ("-js",)

    def command(self) -> list[str]:
        where = ["-p", str(self.port), "-a", "127.0.0.1", "-sd", str(self.folder)]
        return [needs("nats-server"), *where, "--user", "chat", "--pass", PASSWORD, *self.options]

    def url(self, port: int | None = None) -> str:
        return f"nats://chat:{PASSWORD}@127.0.0.1:{port or self.port}?chat=test"


class PlainNats(Nats):
    """A NATS server without JetStream."""

    options = ()


BROKERS = {"redis": Redis, "forgetful-redis": ForgetfulRedis, "nats": Nats, "plain-nats": PlainNats}


@contextlib.contextmanager
def broker(kind: str, folder: Path) -> Iterator[_Server]:
    """A broker that runs; the test skips where its program or its package is missing."""
    pytest.importorskip("redis" if "redis" in kind else "nats")
    server = BROKERS[kind](folder / kind)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Wire:
    """A relay of bytes to a port, which can be cut: nothing passes, in no direction, and nobody is told."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._flows.clear()

    def heal(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._is_open = False
        self._flows.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(accepted)
            self._flows.wait()
            if not self._is_open:
                return
            try:
                target = socket.create_connection(("127.0.0.1", self._target), timeout=PATIENCE)
            except OSError:
                accepted.close()
                continue
            self._sockets.append(target)
            for pair in ((accepted, target), (target, accepted)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire_to(target: int) -> Iterator[Wire]:
    """A relay to this port of the loopback."""
    wire = Wire(target)
    try:
        yield wire
    finally:
        wire.close()
