"""Faulty peers: clients on plain sockets, each of which breaks one assumption of a server.

They do not use socketkit, so they can connect to any server. Each ends by itself, or returns a socket that the test
closes. A server may close its connection at any time.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

Name = tuple[str, int]

TIMEOUT = 20.0
"""Seconds after which a liar gives up; nothing waits so long unless it fails."""

PIECE = b"x" * (1 << 16)


def dial(name: Name, *, buffer: int | None = None, source: str = "") -> socket.socket:
    """A connected socket that sends each piece at once; its buffers as small as asked for, from a source address."""
    sock = socket.socket()
    sock.settimeout(TIMEOUT)
    try:
        if buffer is not None:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


def reset(sock: socket.socket) -> None:
    """Close with a RST: SO_LINGER of no seconds (socket(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_lines(sock: socket.socket, count: int) -> list[bytes]:
    """So many lines, or those before the end."""
    data, seen = bytearray(), 0
    while seen < count and (piece := sock.recv(1 << 16)):
        data += piece
        seen += piece.count(b"\n")
    return bytes(data).split(b"\n")[:-1]


def read_repeated(sock: socket.socket, line: bytes, count: int) -> None:
    """Read this line, with its end, so many times, and keep none.

    Raises:
        AssertionError: something else came.
    """
    block, left = line * max(1, len(PIECE) // len(line)), len(line) * count
    while left:
        begin = -left % len(line)
        piece = sock.recv(min(left, len(block) - begin))
        assert piece and piece == block[begin : begin + len(piece)], f"{left} bytes before the end"
        left -= len(piece)


def wait_end(sock: socket.socket) -> str:
    """How the server ends it: "end" or "reset"; what it says before is thrown away."""
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionError:
        return "reset"
    return "end"


@contextmanager
def silent(name: Name, count: int = 1, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Callers that say nothing at all, or only this."""
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            socks.append(dial(name))
            if first:
                socks[-1].sendall(first)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def trickle(name: Name, data: bytes) -> bytes:
    """Send byte by byte, each in a packet of its own; the line that comes back."""
    with dial(name) as sock:
        for byte in data:
            sock.sendall(bytes((byte,)))
        return b"\n".join(read_lines(sock, 1))


def half_close(name: Name, lines: list[bytes]) -> list[bytes]:
    """Say everything and the last word, and only then begin to read, to the end."""
    with dial(name) as sock:
        sock.sendall(b"".join(line + b"\n" for line in lines))
        sock.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while piece := sock.recv(1 << 16):
            answer += piece
        return bytes(answer).split(b"\n")[:-1]


def flood(sock: socket.socket, line: bytes, limit: int, *, quiet: float = 0.3) -> int:
    """Send this line again and again, and read nothing.

    Returns:
        How many bytes of whole and cut lines went, when for so many seconds nothing more could be sent, or the limit
        was reached, or the server had enough of it.
    """
    block = memoryview(line * max(1, len(PIECE) // len(line)))
    sent = 0
    sock.setblocking(False)
    try:
        while sent < limit and select.select([], [sock], [], quiet)[1]:
            sent += sock.send(block[sent % len(block) :])
    except ConnectionError:
        pass
    finally:
        sock.settimeout(TIMEOUT)
    return sent


def endless(name: Name, limit: int) -> tuple[int, str]:
    """One message that never ends. How many bytes went, and how the server ended it ("none": it took them all)."""
    with dial(name) as sock:
        sent = 0
        try:
            while sent < limit:
                sent += sock.send(PIECE)
        except ConnectionError:
            return sent, "reset"
        sock.settimeout(0.2)
        try:
            return sent, wait_end(sock)
        except TimeoutError:
            return sent, "none"
