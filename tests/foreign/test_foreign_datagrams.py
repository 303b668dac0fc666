"""Datagrams and packets, with socat and nc at the other end, as servers and as clients."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, needs, socketkit


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(address: str, data: bytes = b"hello", *options: str) -> bytes:
    with socketkit("connect", address, "--reply-wait", "500ms", *options) as client:
        output = client.communicate(data)
        assert (client.wait(), client.stderr_lines) == (0, [])
        return output


def run(*arguments: str, data: bytes) -> bytes:
    """What a foreign client gets as an answer."""
    done = subprocess.run(arguments, input=data, capture_output=True, timeout=PATIENCE)
    assert done.stderr == b""
    return done.stdout


def test_our_client_and_socat_over_udp() -> None:
    path, port = needs("socat"), free_port()
    with Program(path, "-d", "-d", f"UDP4-RECVFROM:{port},bind=127.0.0.1,fork", "EXEC:cat") as server:
        server.wait_line("receiving on")
        assert ask(f"udp://127.0.0.1:{port}") == b"hello"


def test_socat_unix_datagrams(tmp_path: Path) -> None:
    """The answer arrives because our client has a name."""
    path, name = needs("socat"), tmp_path / "s"
    with Program(path, "-d", "-d", f"UNIX-RECVFROM:{name},fork", "EXEC:cat") as server:
        server.wait_line("receiving on")
        assert ask(f"unixgram://{name}") == b"hello"


def test_socat_unix_packets(tmp_path: Path) -> None:
    """Our client and socat over unix packets."""
    path, name = needs("socat"), tmp_path / "s"
    with Program(path, "-d", "-d", f"UNIX-LISTEN:{name},type=5,fork", "EXEC:cat") as server:
        server.wait_line("listening on")
        assert ask(f"unixpacket://{name}") == b"hello"


def test_our_client_and_nc_over_udp() -> None:
    path, port = needs("nc.openbsd"), free_port()
    with Program(path, "-v", "-u", "-l", "127.0.0.1", str(port), stdin=subprocess.DEVNULL) as server:
        server.wait_line("Bound on")
        assert ask(f"udp://127.0.0.1:{port}") == b""
        assert server.process.stdout is not None
        assert server.process.stdout.read(5) == b"hello"


def test_nc_unix_datagrams(tmp_path: Path) -> None:
    """Our client and nc over unix datagrams."""
    path, name = needs("nc.openbsd"), str(tmp_path / "s")
    with Program(path, "-v", "-u", "-U", "-l", name, stdin=subprocess.DEVNULL) as server:
        server.wait_line("Bound on")
        assert ask(f"unixgram://{name}") == b""
        assert server.process.stdout is not None
        assert server.process.stdout.read(5) == b"hello"


@pytest.mark.parametrize("engine", ["epoll", "asyncio", "blocking"])
def test_our_echo_and_foreign_clients(engine: str, tmp_path: Path) -> None:
    socat, nc = needs("socat"), needs("nc.openbsd")
    places = ("udp://127.0.0.1:0", f"unixgram://{tmp_path}/g", f"unixpacket://{tmp_path}/p")
    with socketkit("echo", *places, "--engine", engine) as server:
        port = server.address(1).port
        server.address(3)
        for data in (b"first", b"second"):
            assert run(socat, "-t", "0.5", "-", f"UDP4:127.0.0.1:{port}", data=data) == data
            assert run(nc, "-u", "-w", "1", "127.0.0.1", str(port), data=data) == data
            sender = f"UNIX-SENDTO:{tmp_path}/g,bind={tmp_path}/{data.decode()}"
            assert run(socat, "-t", "0.5", "-", sender, data=data) == data
            assert run(nc, "-u", "-U", "-w", "1", f"{tmp_path}/g", data=data) == data
            assert run(socat, "-t", "5", "-", f"UNIX-CONNECT:{tmp_path}/p,type=5", data=data) == data
        assert server.stop() == 0
    assert not (tmp_path / "g").exists()
    assert not (tmp_path / "p").exists()


def test_listen_and_socat_datagrams() -> None:
    """Listen prints what socat sends and answers it."""
    path = needs("socat")
    with socketkit("listen", "udp://127.0.0.1:0", "--reply-wait", "500ms") as ours:
        with Program(path, "-t", "0.5", "-", f"UDP4:127.0.0.1:{ours.address().port}") as client:
            assert client.process.stdin is not None and client.process.stdout is not None
            assert ours.process.stdin is not None and ours.process.stdout is not None
            client.process.stdin.write(b"question")
            client.process.stdin.flush()
            assert ours.process.stdout.read(8) == b"question"
            ours.process.stdin.write(b"answer")
            ours.process.stdin.close()
            assert client.process.stdout.read(6) == b"answer"
        assert ours.wait() == 0


def test_with_lines_each_line_is_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        address = f"udp://127.0.0.1:{sock.getsockname()[1]}"
        assert ask(address, b"one\ntwo\nthree", "--framing", "lines") == b""
        assert [sock.recv(100) for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]


def test_absent_datagram_peer_status_4() -> None:
    """A peer that is not there is reported and costs status 4."""
    with socketkit("connect", f"udp://127.0.0.1:{free_port()}", "--reply-wait", "10s") as client:
        assert client.communicate(b"anybody?") == b""
        assert client.wait() == 4
        [line] = client.stderr_lines
        assert "Connection refused (ECONNREFUSED): nobody receives there" in line


def test_large_input_split_into_datagrams() -> None:
    """An input larger than a datagram is cut into several."""
    with socketkit("echo", "udp://127.0.0.1:0") as server:
        data = bytes(range(256)) * 500
        assert ask(str(server.address()), data) == data


def test_bad_addresses_cost_status_2() -> None:
    for address, said in (
        ("udp://127.0.0.1", "has no port"),
        ("ip://127.0.0.1:5", "a raw socket has none"),
        ("ip://127.0.0.1", "protocol: a raw socket needs one"),
        ("udp://127.0.0.1:5?ttl=0", "out of range"),
        ("unixpacket:", "there is no path"),
    ):
        with socketkit("connect", address) as client:
            client.communicate()
            assert (client.wait(), len(client.stderr_lines)) == (2, 1), address
            assert said in client.stderr_lines[0]


def test_the_first_peer_alone_is_served_once() -> None:
    with socketkit("echo", "udp://127.0.0.1:0?idle_timeout=1s", "--once") as server:
        address: Address = server.address()
        assert ask(str(address)) == b"hello"
        assert server.wait() == 0
