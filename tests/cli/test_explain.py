"""`--explain`: the meaning of a call fits the call that was made."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path

import pytest

from socketkit.cli.explain import call_line, explain
from socketkit.events import Called, Event
from socketkit.sockets.kernel_drops import kernel_drops
from socketkit.sockets.traced_socket import TracedSocket
from support.dead_ports import refusing_port


class Calls:
    wants_calls = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Called)
        self.lines.append(f"{call_line(event)}  {explain(event)}")


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_bind_speaks_of_ports_where_there_is_one(calls: Calls, tmp_path: Path) -> None:
    """A UNIX socket has no port, and one that was given is not chosen by the system."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as sock:
        sock.bind(("127.0.0.1", 0))
    assert calls.lines[1].endswith("gives the socket its own address; port 0: the system chooses a free port")
    with TracedSocket.open(socket.AF_UNIX, socket.SOCK_STREAM, 0, calls) as sock:
        sock.bind(os.fsencode(tmp_path / "s"))
    assert calls.lines[4].endswith("gives the socket its own address")


def test_so_error_is_named(calls: Calls) -> None:
    """The error that connect(2) left is a number in getsockopt(2): its name stands beside it."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("127.0.0.1", refusing_port()))
        select.select([], [sock], [])
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert number == errno.ECONNREFUSED
    assert calls.lines[-2].endswith(
        f"SOL_SOCKET, SO_ERROR) = {number} ECONNREFUSED (Connection refused)  how connect went: 0 is well"
    )


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="SO_MEMINFO is Linux's")
def test_so_meminfo_is_named(calls: Calls) -> None:
    """Python has no name for the option that counts dropped datagrams."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_DGRAM, 0, calls) as sock:
        assert kernel_drops(sock) == 0
    assert "SOL_SOCKET, SO_MEMINFO) = 36 bytes" in calls.lines[1]
