"""Batches of datagrams: recvmmsg(2) and sendmmsg(2) give what Python's recvfrom and sendto give."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from socketkit import _core
from socketkit._core import datagram as pure
from socketkit.streams.datagram_socket import ask_true_size

BOTH = [pytest.param(pure, id="python")]
if _core.native and _core.receive_batch is not pure.receive_batch:
    BOTH.append(pytest.param(_core, id="compiled"))

both = pytest.mark.parametrize("batches", BOTH)
Made = tuple[socket.socket, Any]


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def make(stack: ExitStack, family: str, name: Any) -> Made:
    if not hasattr(socket, family):
        pytest.skip(f"there is no {family} here")
    sock = stack.enter_context(socket.socket(getattr(socket, family), socket.SOCK_DGRAM))
    sock.setblocking(False)
    if name is not None:
        try:
            sock.bind(name)
        except OSError as error:
            pytest.skip(f"{family}: {error}")
    return sock, sock.getsockname()


def kinds(tmp_path: Path) -> list[tuple[str, Any, Any]]:
    return [
        ("AF_INET", ("127.0.0.1", 0), ("127.0.0.1", 0)),
        ("AF_INET6", ("::1", 0), ("::1", 0)),
        ("AF_UNIX", str(tmp_path / "receiver"), str(tmp_path / "séñder")),
        ("AF_UNIX", f"\0{tmp_path}/receiver", b"\0" + bytes(str(tmp_path), "utf-8") + b"\0\xff"),
        ("AF_UNIX", str(tmp_path / "other"), None),
    ]


@both
@pytest.mark.parametrize("kind", range(5), ids=["inet", "inet6", "unix", "abstract", "unnamed"])
def test_names_of_senders(batches: ModuleType, kind: int, sockets: ExitStack, tmp_path: Path) -> None:
    """Each datagram comes with the name of its sender, as `recvfrom` has it, and can be answered to."""
    family, here, there = kinds(tmp_path)[kind]
    receiver, target = make(sockets, family, here)
    sender, own = make(sockets, family, there)
    for data in (b"one", b"", b"three"):
        sender.sendto(data, target)
    sender.sendto(b"x", target)
    _, name = receiver.recvfrom(0)
    sender.sendto(b"again", target)
    got = batches.receive_batch(receiver, 100, 100, ask_true_size)
    assert [(data, size) for data, size, _ in got] == [(b"", 0), (b"three", 5), (b"x", 1), (b"again", 5)]
    assert {sender for _, _, sender in got} == {name}
    assert name == own or there is None
    if there is not None:
        assert batches.send_batch(receiver, [(b"answer", name), (b"more", name)]) in (1, 2)
        assert sender.recvfrom(100) == (b"answer", target)


@both
def test_limit_and_order_of_many_senders(batches: ModuleType, sockets: ExitStack) -> None:
    """At most so many datagrams are taken, in order, whoever sent them; what is left comes next."""
    receiver, target = make(sockets, "AF_INET", ("127.0.0.1", 0))
    senders = [make(sockets, "AF_INET", ("127.0.0.1", 0)) for _ in range(7)]
    chosen = random.Random(7)
    sent = []
    for number in range(150):
        sock, name = chosen.choice(senders)
        data = b"%d" % number * chosen.randrange(1, 9)
        sock.sendto(data, target)
        sent.append((data, len(data), name))
    got = []
    for limit in (1, 63, 64, 65, 10):
        batch = batches.receive_batch(receiver, 1000, limit, ask_true_size)
        assert len(batch) == min(limit, 150 - len(got))
        got += batch
    assert got == sent
    assert batches.receive_batch(receiver, 1000, 10, ask_true_size) == []


@both
@pytest.mark.parametrize("size", [1, 4096, 4097, 65537, 5 * 1024 * 1024])
def test_longer_datagrams_are_cut(batches: ModuleType, size: int, sockets: ExitStack) -> None:
    """So many bytes are kept; the size of the whole datagram is known where the system says it."""
    receiver, target = make(sockets, "AF_INET", ("127.0.0.1", 0))
    sender, _ = make(sockets, "AF_INET", ("127.0.0.1", 0))
    payloads = [bytes([number]) * length for number, length in enumerate((3, 9000, 4096, 4097, 1))]
    for payload in payloads:
        sender.sendto(payload, target)
    got = batches.receive_batch(receiver, size, 10, ask_true_size)
    assert [data for data, _, _ in got] == [payload[:size] for payload in payloads]
    wanted = [len(payload) if ask_true_size else min(len(payload), size) for payload in payloads]
    assert [count for _, count, _ in got] == wanted


@both
def test_errors_of_peers_are_passed(batches: ModuleType, sockets: ExitStack) -> None:
    """ECONNREFUSED of an earlier datagram of ours is no error of the socket; what is queued is received."""
    receiver, _ = make(sockets, "AF_INET", ("127.0.0.1", 0))
    gone, unused = make(sockets, "AF_INET", ("127.0.0.1", 0))
    gone.close()
    receiver.connect(unused)
    receiver.send(b"refused")
    assert batches.receive_batch(receiver, 100, 10, ask_true_size) == []
    with pytest.raises(BlockingIOError):
        receiver.recv(100)


@both
def test_closed_socket_is_an_error(batches: ModuleType, sockets: ExitStack) -> None:
    sock, name = make(sockets, "AF_INET", ("127.0.0.1", 0))
    sock.close()
    with pytest.raises(OSError) as caught:
        batches.receive_batch(sock, 100, 10, ask_true_size)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        batches.send_batch(sock, [(b"data", name)])
    assert caught.value.errno == errno.EBADF


@both
def test_send_to_many_names(batches: ModuleType, sockets: ExitStack) -> None:
    """Datagrams go to their names, at most 64 by one call; a name that is not numeric too."""
    sender, own = make(sockets, "AF_INET", ("127.0.0.1", 0))
    receivers = [make(sockets, "AF_INET", ("127.0.0.1", 0)) for _ in range(3)]
    batch = [(b"%d" % number, receivers[number % 3][1]) for number in range(70)]
    count = batches.send_batch(sender, batch)
    assert count == 64
    assert batches.send_batch(sender, batch[count:]) == 6
    for index, (sock, _) in enumerate(receivers):
        got = batches.receive_batch(sock, 100, 100, ask_true_size)
        assert got == [(data, len(data), own) for data, _ in batch[index::3]]
    assert batches.send_batch(sender, []) == 0
    sock, (_, port) = receivers[0]
    for name in [("localhost", port), ("127.0.0.1", port)]:
        assert batches.send_batch(sender, [(b"named", name)]) == 1
        assert sock.recv(100) == b"named"


@both
def test_refused_datagram_ends_a_batch(batches: ModuleType, sockets: ExitStack) -> None:
    """Datagrams before the one that the system refuses are sent; that one is an error when it is the first."""
    sender, _ = make(sockets, "AF_INET", ("127.0.0.1", 0))
    receiver, name = make(sockets, "AF_INET", ("127.0.0.1", 0))
    batch = [(b"good", name), (b"x" * 65536, name), (b"behind", name)]
    assert batches.send_batch(sender, batch) == 1
    with pytest.raises(OSError) as caught:
        batches.send_batch(sender, batch[1:])
    assert caught.value.errno == errno.EMSGSIZE
    assert batches.receive_batch(receiver, 100, 10, ask_true_size)[0][0] == b"good"


@both
def test_full_queue_ends_a_batch(batches: ModuleType, sockets: ExitStack, tmp_path: Path) -> None:
    """Where the peer's queue is full, the number of datagrams that were sent is returned, and 0 then."""
    sender, _ = make(sockets, "AF_UNIX", None)
    receiver, name = make(sockets, "AF_UNIX", str(tmp_path / "full"))
    sent = 0
    while count := batches.send_batch(sender, [(b"%d" % number, name) for number in range(sent, sent + 5)]):
        sent += count
    got = batches.receive_batch(receiver, 100, 10_000, ask_true_size)
    assert [data for data, _, _ in got] == [b"%d" % number for number in range(sent)]


@pytest.mark.skipif(len(BOTH) == 1, reason="the batches are not compiled here")
@pytest.mark.parametrize("batch", [[("text", ("127.0.0.1", 9))], [b"data"], [(b"data",)], 7])
def test_compiled_refuses_what_is_no_batch(batch: Any, sockets: ExitStack) -> None:
    sock, _ = make(sockets, "AF_INET", ("127.0.0.1", 0))
    with pytest.raises(TypeError):
        _core.send_batch(sock, batch)


@pytest.mark.skipif(len(BOTH) == 1, reason="the batches are not compiled here")
@pytest.mark.parametrize("name", [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("127.0.0.1", "9"), (1, 9), (), "x", None])
def test_strange_names_are_python_errors(name: Any, sockets: ExitStack) -> None:
    """A name that the socket module refuses is refused with its own error."""
    sock, _ = make(sockets, "AF_INET", ("127.0.0.1", 0))

    def error_of(send: Any) -> type[BaseException]:
        with pytest.raises((OSError, TypeError, OverflowError)) as caught:
            send(sock, [(b"data", name)])
        return caught.type

    assert error_of(_core.send_batch) is error_of(pure.send_batch)
