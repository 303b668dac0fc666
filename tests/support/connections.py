"""A connection of ours, and a plain blocking socket as its peer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.events import Observer
from socketkit.framing import of as framing_of
from socketkit.streams.from_socket import stream_from_socket
from support.streams import SOCKETS

PATIENCE = 20.0
"""Seconds after which a peer gives up; nothing waits so long unless it fails."""


@contextmanager
def talk(
    engine: Engine,
    framing: str = "lines",
    *,
    kind: str = "tcp4",
    buffer: int | None = None,
    observer: Observer | None = None,
    **options: object,
) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the socket at its other end; use it while the engine runs. Both are closed at the end."""
    near, far = SOCKETS[kind](buffer)
    near.setblocking(False)
    far.settimeout(PATIENCE)
    chosen = Options.make(options)
    connection = Connection(
        stream_from_socket(engine, near, chosen), framing_of(framing), options=chosen, observer=observer
    )
    try:
        yield connection, far
    finally:
        far.close()
        connection.abort()


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end."""
    pieces = []
    while data := sock.recv(1 << 16):
        pieces.append(data)
    return b"".join(pieces)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"the end came after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)


def call(address: Address) -> socket.socket:
    """A plain blocking socket, connected to a server of ours."""
    name = (address.host, address.port) if address.port is not None else address.socket_path
    families = {"unix": socket.AF_UNIX} if address.port is None else {}
    family = families.get(address.scheme, socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    try:
        sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


def ask(sock: socket.socket, line: bytes) -> bytes:
    """Send a line; the line that comes back."""
    sock.sendall(line + b"\n")
    answer = bytearray()
    while not answer.endswith(b"\n"):
        piece = sock.recv(4096)
        assert piece, f"the end came instead of an answer, after {bytes(answer)!r}"
        answer += piece
    return bytes(answer[:-1])


def read_to_reset(sock: socket.socket) -> bytes:
    """Everything up to a reset; a FIN instead fails the test."""
    pieces = []
    while True:
        try:
            data = sock.recv(1 << 16)
        except ConnectionResetError:
            return b"".join(pieces)
        assert data, "the peer has ended its direction, and did not reset the connection"
        pieces.append(data)
