"""sd_notify: what the service manager is sent when a server is ready, reloads and stops."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketkit.sockets.systemd import notify, notify_reloading
from support.programs import PATIENCE, Program, socketkit


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """NOTIFY_SOCKET, and the manager's end of it."""
    name = f"@socketkit-test-{os.getpid()}-notify" if request.param == "abstract" else str(tmp_path / "notify")
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract names are Linux's")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(name.replace("@", "\0", 1))
        yield name, sock


def test_state_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    assert notify("READY=1\nSTATUS=да", environment={"NOTIFY_SOCKET": name})
    assert sock.recv(1000).decode() == "READY=1\nSTATUS=да"


@pytest.mark.parametrize("place", [None, "", "relative", "vsock:2:1", "/nowhere/at/all", "@nobody-listens-here"])
def test_notify_without_manager(place: str | None) -> None:
    """Without a manager, or with one of another kind, nothing is sent."""
    assert not notify("READY=1", environment={} if place is None else {"NOTIFY_SOCKET": place})


def test_notify_never_blocks(manager: tuple[str, socket.socket]) -> None:
    """A manager that does not read makes no call wait."""
    name, _ = manager
    took = [notify("X=1", environment={"NOTIFY_SOCKET": name}) for _ in range(1_000)]
    assert took[0] and not took[-1]


def test_command_notifies_ready_and_stopping(manager: tuple[str, socket.socket]) -> None:
    """READY=1 when it listens, STOPPING=1 when SIGTERM comes."""
    name, sock = manager
    with socketkit("echo", "tcp://127.0.0.1:0", env={"NOTIFY_SOCKET": name}) as server:
        assert sock.recv(100) == b"READY=1"
        address = server.address()
        socket.create_connection((address.host, address.port or 0)).close()
        server.process.terminate()
        assert sock.recv(100) == b"STOPPING=1"
        assert server.wait() == 0


def test_serve_run_notifies(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    code = "from socketkit import serve\nserve(lambda connection: None, 'tcp://127.0.0.1:0').run()"
    with Program(sys.executable, "-c", code, env={"NOTIFY_SOCKET": name}) as server:
        assert sock.recv(100) == b"READY=1"
        server.process.terminate()
        assert sock.recv(100) == b"STOPPING=1"
        assert server.wait() == 0


def test_notify_reloading(manager: tuple[str, socket.socket]) -> None:
    """Type=notify-reload needs the moment in microseconds of CLOCK_MONOTONIC (sd_notify(3))."""
    name, sock = manager
    before = time.monotonic_ns() // 1000
    assert notify_reloading(environment={"NOTIFY_SOCKET": name})
    first, second = sock.recv(100).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert before <= int(second.partition("=")[2]) <= time.monotonic_ns() // 1000
