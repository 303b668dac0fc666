"""Every kind of stream there is, as connected pairs."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
import uuid
from collections.abc import Callable

import pytest

from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.memory import memory_pair
from socketkit.streams.stream import Stream

Sockets = tuple[socket.socket, socket.socket]


def _connected(family: int, name: object, *, buffer: int | None = None) -> Sockets:
    """Two ends that met at a listener; with a small buffer, where a test wants to fill it."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listener.bind(name)
        listener.listen(1)
        near = socket.socket(family, socket.SOCK_STREAM)
        if buffer is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def tcp4_sockets(buffer: int | None = None) -> Sockets:
    return _connected(socket.AF_INET, ("127.0.0.1", 0), buffer=buffer)


def tcp6_sockets(buffer: int | None = None) -> Sockets:
    return _connected(socket.AF_INET6, ("::1", 0), buffer=buffer)


def unix_sockets(buffer: int | None = None) -> Sockets:
    with tempfile.TemporaryDirectory() as folder:
        return _connected(socket.AF_UNIX, os.path.join(folder, "s"), buffer=buffer)


def abstract_sockets(buffer: int | None = None) -> Sockets:
    return _connected(socket.AF_UNIX, f"\0socketkit-test-{uuid.uuid4().hex}", buffer=buffer)


def paired_sockets(buffer: int | None = None) -> Sockets:
    return socket.socketpair()


SOCKETS: dict[str, Callable[..., Sockets]] = {
    "tcp4": tcp4_sockets,
    "tcp6": tcp6_sockets,
    "unix": unix_sockets,
    "abstract": abstract_sockets,
    "socketpair": paired_sockets,
}

KINDS = ("memory", *SOCKETS)


def why_not(kind: str) -> str | None:
    """Why this machine has no such stream; None where it has."""
    if kind == "tcp6":
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
                sock.bind(("::1", 0))
        except OSError:
            return "this machine has no ::1"
    if kind == "abstract" and not os.path.exists("/proc/net/unix"):
        return "abstract names are Linux's"
    return None


def stream_pair(engine: Engine, kind: str, *, buffer: int | None = None, options: Options | None = None) -> Streams:
    """Two connected ends; the caller closes both."""
    if kind == "memory":
        return memory_pair(engine, size=buffer or 64 * 1024)
    ends = SOCKETS[kind](buffer)
    for end in ends:
        end.setblocking(False)
    options = Options() if options is None else options
    left, right = [stream_from_socket(engine, end, options) for end in ends]
    return left, right


Streams = tuple[Stream, Stream]


def reset(sock: socket.socket) -> None:
    """Close so that the peer sees a reset: with a linger of nothing (socket(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_descriptors() -> set[str]:
    """What this process has open, without what is opened to look."""
    names = os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd")
    return {name for name in names if _is_open(int(name))}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def descriptor_count() -> int:
    """How many descriptors this process has open."""
    return len(open_descriptors())


@pytest.fixture(
    params=[
        pytest.param(kind, id=kind, marks=[pytest.mark.skip(reason=reason)] if (reason := why_not(kind)) else [])
        for kind in KINDS
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of each kind of stream in turn."""
    name: str = request.param
    return name
