"""Bytes and lines: they arrive as they were sent, and are shown where they were asked to be."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading

import pytest

from behaviours.peers import call, largest, peer, read_all
from behaviours.tools import Tool
from socketkit import Address

SIZE = 32 << 20


@pytest.mark.slow
def test_37_much_through_a_slow_reader(tool: Tool) -> None:
    """32 MiB through a relay to a reader that starts late arrive complete, in less memory than that."""
    data = os.urandom(1 << 20) * (SIZE >> 20)

    def part(caller: socket.socket) -> None:
        caller.sendall(data)
        caller.shutdown(socket.SHUT_WR)
        caller.recv(1)

    with peer(part) as target, tool.serving("relay", target=target) as relay, call(relay.address) as client:
        threading.Event().wait(1)
        before = largest(relay.program.process.pid)
        assert hashlib.sha256(read_all(client)).digest() == hashlib.sha256(data).digest()
        assert largest(relay.program.process.pid) - before < SIZE / 4


@pytest.mark.slow
def test_37_much_from_standard_input(tool: Tool) -> None:
    """32 MiB from standard input to a peer that starts late arrive complete."""
    data = os.urandom(1 << 20) * (SIZE >> 20)
    came: list[bytes] = []

    def part(caller: socket.socket) -> None:
        threading.Event().wait(0.5)
        came.append(read_all(caller))

    with peer(part) as address, tool.calling(address) as client:
        assert client.communicate(data) == b""
        assert client.wait() == 0
    assert hashlib.sha256(came[0]).digest() == hashlib.sha256(data).digest()


def test_38_line_feeds_are_translated_once(tool: Tool) -> None:
    """LF is sent as CR LF; a CR LF stays one, also split across reads; received data is unchanged."""
    came: list[bytes] = []
    first, second = threading.Event(), threading.Event()

    def part(caller: socket.socket) -> None:
        caller.sendall(b"one\ntwo\r\n")
        data = b""
        while b"---" not in data:
            data += caller.recv(100)
        first.set()
        data += read_all(caller)
        came.append(data)

    with peer(part) as address, tool.calling(address, crlf=True) as client:
        stdin = client.process.stdin
        assert stdin is not None and client.process.stdout is not None
        stdin.write(b"\na\nb\n---")
        stdin.flush()
        second.wait(0.3)
        if first.wait(3):
            stdin.write(b"\r")
            stdin.flush()
            second.wait(0.3)  # so that it is read alone
            stdin.write(b"\n")
        else:
            stdin.write(b"\r\n")  # one that reads by lines
        stdin.close()
        assert client.process.stdout.read() == b"one\ntwo\r\n"
    assert came == [b"\r\na\r\nb\r\n---\r\n"]


@pytest.mark.parametrize("size", [1, 4096, 9000, 60000])
def test_39_a_datagram_stays_one(tool: Tool, size: int) -> None:
    """A relay forwards a datagram of any size as one datagram, and so its answer."""
    with socket.socket(type=socket.SOCK_DGRAM) as target, socket.socket(type=socket.SOCK_DGRAM) as client:
        target.bind(("127.0.0.1", 0))
        target.settimeout(5)
        client.settimeout(5)
        behind = Address.parse(f"udp://127.0.0.1:{target.getsockname()[1]}")
        with tool.serving("relay", "udp://127.0.0.1:0", target=behind) as relay:
            client.connect((relay.address.host, relay.address.port))
            client.send(b"q" * size)
            data, back = target.recvfrom(65536)
            assert len(data) == size
            target.sendto(b"a" * size, back)
            assert len(client.recv(65536)) == size


def test_40_unterminated_last_line(tool: Tool) -> None:
    """With line framing, empty lines and a last line without an end are delivered."""
    with peer(lambda caller: caller.sendall(b"a\n\nb")) as address, tool.calling(address, lines=True) as client:
        assert client.communicate().splitlines() == [b"a", b"", b"b"]
        assert client.wait() == 0


def test_41_a_dump_is_not_payload(tool: Tool) -> None:
    """A dump of both directions goes to standard error, and standard output carries only the payload."""
    with (
        peer(lambda caller: caller.sendall(read_all(caller)[::-1])) as address,
        tool.calling(address, dump=True) as client,
    ):
        assert client.communicate(b"outgoing") == b"gniogtuo"
        client.wait()
        told = "\n".join(client.stderr_lines)
        assert "outgoing" in told and "gniogtuo" in told


def test_41_a_dump_marks_the_directions(tool: Tool) -> None:
    """A dump marks the direction: the same bytes look different in each."""
    with peer(lambda caller: caller.sendall(read_all(caller))) as address, tool.calling(address, dump=True) as client:
        assert client.communicate(b"same\n") == b"same\n"
        client.wait()
        text = re.sub(r"\d", "", "\n".join(client.stderr_lines))
        before = [[line.strip() for line in part.splitlines() if line.strip()][-1:] for part in text.split("same")[:2]]
        assert before[0] != before[1]


def test_42_stdout_is_payload_only(tool: Tool) -> None:
    """At the highest verbosity standard output carries only the payload."""
    with peer(lambda caller: caller.sendall(read_all(caller))) as address, tool.calling(address, loud=True) as client:
        assert client.communicate(b"payload") == b"payload"
        assert client.wait() == 0
        assert client.stderr_lines != []
