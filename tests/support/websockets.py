"""A WebSocket peer over a plain blocking socket: it sends whatever a test wants, right or wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from socketkit.config.address import Address
from socketkit.websocket.frames import encode_frame, split_frames
from socketkit.websocket.handshake import accept_handshake
from support.connections import PATIENCE

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x01\x02\x03\x04"
HEAD = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(target: str = "/", method: str = "GET", **changes: str | None) -> bytes:
    """The request of a handshake; a header of None is left out (`sec_websocket_key=None`)."""
    fields: dict[str, str | None] = {name.lower(): value for name, value in HEAD.items()}
    fields |= {name.replace("_", "-").lower(): value for name, value in changes.items()}
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


def dial(address: Address) -> socket.socket:
    """A plain connection."""
    sock = socket.create_connection((address.host, address.port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces arrive as they were cut
    return sock


def read_head(sock: socket.socket) -> str:
    """The head of an answer, and not one byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, head
        head += piece
    return head.decode()


def ask(address: Address, data: bytes) -> str:
    """The whole answer to a request, up to the end of the connection."""
    with dial(address) as sock:
        sock.sendall(data)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer.decode()


class Peer:
    """The other end, frame by frame."""

    def __init__(self, sock: socket.socket, *, is_client: bool) -> None:
        self.sock = sock
        self._is_client = is_client
        self._data = b""

    def frame(self, first: int, payload: bytes = b"") -> bytes:
        """A frame as this side has to send it."""
        return encode_frame(first, payload, MASK if self._is_client else None)

    def send(self, first: int, payload: bytes = b"") -> None:
        self.sock.sendall(self.frame(first, payload))

    def receive(self) -> tuple[int, bytes]:
        """The next frame: its first byte and its payload."""
        while True:
            batch = split_frames(self._data, 0, is_masked=not self._is_client, max_size=2**30)
            assert batch.fault is None, batch.fault
            if batch.frames:
                first, payload = batch.frames[0]
                head = 2 + (0 if len(payload) < 126 else 2 if len(payload) < 65536 else 8)
                self._data = self._data[head + (0 if self._is_client else 4) + len(payload) :]
                return first, payload
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError
            self._data += piece

    def at_end(self) -> bool:
        """Whether the connection ends in good order, with nothing before the end."""
        return not self._data and self.sock.recv(1) == b""


@contextmanager
def client_of(address: Address, target: str = "/", **changes: str | None) -> Iterator[Peer]:
    """A client whose handshake is done."""
    with dial(address) as sock:
        sock.sendall(request(target, **changes))
        assert read_head(sock).startswith("HTTP/1.1 101 ")
        yield Peer(sock, is_client=True)


def server_to(sock: socket.socket, *fields: str) -> Peer:
    """A server that has answered the handshake of an accepted client, with these header fields too."""
    head = read_head(sock)
    asked = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
    key = next(line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
    assert asked["upgrade"] == "websocket"
    answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: WebSocket", "Connection: Upgrade"]
    answer += [f"Sec-WebSocket-Accept: {accept_handshake(key.encode()).decode()}", *fields]
    sock.sendall("\r\n".join([*answer, "", ""]).encode())
    return Peer(sock, is_client=False)
