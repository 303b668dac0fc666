"""What a traced socket tells is what was called, in the words of the manual pages."""

from __future__ import annotations

import socket

import pytest

from socketkit.events import Called
from socketkit.sockets.traced_socket import TracedSocket
from support.recorder import Recorder


class Calls(Recorder):
    wants_calls = True

    def texts(self) -> list[str]:
        return [f"{event.name}({', '.join(event.arguments)}) = {event.result}" for event in self.of(Called)]


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_socket_life_traced(calls: Calls) -> None:
    """The whole life of a socket is reported with descriptors and sizes."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, calls) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as client:
            client.connect(listener.getsockname())
            accepted, name = listener.accept()
            with accepted:
                client.send(b"hello")
                accepted.recv(1024)
                client.shutdown(socket.SHUT_WR)
                accepted.recv(1)
            port, client_port = listener.getsockname()[1], name[1]
            numbers = [listener.fileno(), client.fileno()]
    told = calls.of(Called)
    third = int(told[6].result.split(",")[0])
    assert calls.texts() == [
        f"socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {numbers[0]}",
        "setsockopt(SOL_SOCKET, SO_REUSEADDR, 1) = 0",
        "bind(tcp://127.0.0.1:0) = 0",
        "listen(5) = 0",
        f"socket(AF_INET, SOCK_STREAM, 0) = {numbers[1]}",
        f"connect(tcp://127.0.0.1:{port}) = 0",
        f"accept() = {third}, tcp://127.0.0.1:{client_port}",
        "send(5 bytes) = 5 bytes",
        "recv(1024 bytes) = 5 bytes",
        "shutdown(SHUT_WR) = 0",
        "recv(1 byte) = 0 (the peer has ended)",
        "close() = 0",
        "close() = 0",
        "close() = 0",
    ]
    assert [event.data for event in told if event.data] == [b"hello", b"hello"]
    assert told[-3].descriptor == third


@pytest.mark.parametrize(
    ("level", "option", "name"),
    [
        (socket.SOL_SOCKET, socket.SO_REUSEADDR, "SOL_SOCKET, SO_REUSEADDR"),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, "SOL_SOCKET, SO_KEEPALIVE"),
        (socket.SOL_SOCKET, socket.SO_ERROR, "SOL_SOCKET, SO_ERROR"),
        (socket.SOL_SOCKET, socket.SO_TYPE, "SOL_SOCKET, SO_TYPE"),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, "SOL_SOCKET, SO_SNDBUF"),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, "IPPROTO_TCP, TCP_NODELAY"),
    ],
)
def test_option_traced_by_name(calls: Calls, level: int, option: int, name: str) -> None:
    """An option is reported by the name that it has at its level."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as sock:
        value = sock.getsockopt(level, option)
    assert calls.texts()[1] == f"getsockopt({name}) = {value}"


def test_bytes_option_traced_by_size(calls: Calls) -> None:
    """An option of bytes is reported by its size."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as sock:
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert calls.texts()[1] == "getsockopt(SOL_SOCKET, SO_LINGER) = 8 bytes"


def test_failure_traced_by_errno_name(calls: Calls) -> None:
    """What failed is reported by the name of its error."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_STREAM, 0, calls) as sock:
        sock.setblocking(False)
        with pytest.raises(OSError):
            sock.recv(10)
        with pytest.raises(OSError):
            sock.send(b"x")
        with pytest.raises(OSError):
            sock.accept()
    assert calls.texts()[1:4] == [
        "recv(10 bytes) = -1 ENOTCONN (Transport endpoint is not connected)",
        "send(1 byte) = -1 EPIPE (Broken pipe)",
        "accept() = -1 EINVAL (Invalid argument)",
    ]


def test_datagrams_traced_with_addresses(calls: Calls) -> None:
    """Datagrams are reported with whom they came from and went to."""
    with TracedSocket.open(socket.AF_INET, socket.SOCK_DGRAM, 0, calls) as server:
        server.bind(("127.0.0.1", 0))
        with TracedSocket.open(socket.AF_INET, socket.SOCK_DGRAM, 0, calls) as client:
            client.connect(server.getsockname())
            client.send(b"")
            client.send(b"question")
            for size in (16, 4):
                _, _, _, name = server.recvmsg_into([memoryview(bytearray(size))])
            server.sendto(b"one", name)
            server.sendmsg([memoryview(b"an"), b"swer"], [], 0, name)
            port, there = name[1], server.getsockname()[1]
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.recvmsg_into([memoryview(bytearray(4))])
    assert calls.texts()[3:-2] == [
        f"connect(udp://127.0.0.1:{there}) = 0",
        "send(0 bytes) = 0 bytes",
        "send(8 bytes) = 8 bytes",
        f"recvmsg(16 bytes) = 0 bytes, from udp://127.0.0.1:{port}",
        f"recvmsg(4 bytes) = 4 bytes, from udp://127.0.0.1:{port}, MSG_TRUNC",
        f"sendto(3 bytes, udp://127.0.0.1:{port}) = 3 bytes",
        f"sendmsg(6 bytes, udp://127.0.0.1:{port}) = 6 bytes",
        "recvmsg(4 bytes) = -1 EAGAIN (Resource temporarily unavailable)",
    ]
