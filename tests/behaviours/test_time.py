"""Time: what gives up, when, and what does not spin meanwhile."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from behaviours.peers import call, cpu_seconds, peer, read_all, read_exactly
from behaviours.tools import Tool
from socketkit import Address
from support.dead_ports import black_hole
from support.programs import Program, free_port

pause = threading.Event().wait


@pytest.mark.slow
def test_32_unresponsive_address_times_out(tool: Tool) -> None:
    """An address that does not answer fails after the given connect timeout, with a failing exit status."""
    with black_hole() as port:
        since = time.monotonic()
        with tool.calling(Address.parse(f"tcp://127.0.0.1:{port}"), connect_timeout=1) as client:
            assert client.communicate(b"x") == b""
            assert client.wait() > 0
            assert 0.9 <= time.monotonic() - since <= 5


@pytest.mark.slow
def test_32_a_late_answer_is_in_time(tool: Tool) -> None:
    """The connect timeout does not limit the wait for an answer."""

    def part(caller: socket.socket) -> None:
        pause(1.5)
        caller.sendall(b"late")

    with peer(part) as address, tool.calling(address, connect_timeout=1) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.read(4) == b"late"  # its input stays open: nothing else limits the wait


@pytest.mark.slow
def test_33_client_retries_until_server_starts(tool: Tool) -> None:
    """A client that is started before its server retries until it is connected."""
    place = f"tcp://127.0.0.1:{free_port()}"
    with tool.calling(Address.parse(place), retry=50) as client:
        pause(1.5)
        with peer(lambda caller: caller.sendall(read_all(caller)), place):
            assert client.communicate(b"x") == b"x"
            assert client.wait() == 0


@pytest.mark.slow
def test_33_so_many_tries_and_no_more(tool: Tool) -> None:
    """After two retries the exit status is that of a refusal."""
    with tool.calling(Address.parse(f"tcp://127.0.0.1:{free_port()}"), retry=2) as client:
        assert client.communicate(b"x") == b""
        assert client.wait() == tool.statuses["refused"]


@pytest.mark.slow
def test_34_idle_timeout_spares_traffic(tool: Tool) -> None:
    """Idle timeout: traffic in one direction keeps the connection, then silence ends it."""
    since: list[float] = []

    def part(caller: socket.socket) -> None:
        for _ in range(6):
            caller.sendall(b"x")
            pause(0.4)
        since.append(time.monotonic())
        with contextlib.suppress(ConnectionResetError):
            assert read_all(caller) == b""
        since.append(time.monotonic())

    with peer(part) as address, tool.calling(address, idle=1) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.read() == b"xxxxxx"
        client.wait()
    assert since[1] - since[0] < 3


@pytest.mark.slow
def test_34_server_idle_timeout_one_connection(tool: Tool) -> None:
    """A server with an idle timeout ends an idle connection, and serves the next."""
    with tool.serving("echo", idle=1) as server:
        with call(server.address) as sock:
            sock.sendall(b"x")
            assert read_exactly(sock, 1) == b"x"
            with contextlib.suppress(ConnectionResetError):
                assert read_all(sock) == b""
        with call(server.address) as sock:
            sock.sendall(b"y")
            assert read_exactly(sock, 1) == b"y"


@pytest.mark.slow
def test_35_a_listener_whom_nobody_calls(tool: Tool) -> None:
    """A listener without a client ends after a limit, with a failing exit status."""
    with tool.serving("listen", accept_timeout=1) as server:
        assert server.program.wait() > 0


def spends_nothing(program: Program) -> bool:
    before = cpu_seconds(program.process.pid)
    pause(1)
    return cpu_seconds(program.process.pid) - before <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["neither", "ours", "theirs"])
def test_36_an_idle_client_does_not_spin(tool: Tool, ended: str) -> None:
    """An idle client uses no CPU time: connected, after our end of stream, after the peer's."""
    done = threading.Event()

    def part(caller: socket.socket) -> None:
        caller.sendall(b"x")
        if ended == "theirs":
            caller.shutdown(socket.SHUT_WR)
        assert done.wait(20)

    with peer(part) as address, tool.calling(address) as client:
        assert client.process.stdin is not None and client.process.stdout is not None
        assert client.process.stdout.read(1) == b"x"
        if ended == "ours":
            client.process.stdin.close()
        if ended == "theirs":
            with contextlib.suppress(FileNotFoundError):  # one that ends then spends nothing either
                assert spends_nothing(client)
        else:
            assert spends_nothing(client)
        done.set()


@pytest.mark.slow
def test_36_an_idle_relay_does_not_spin(tool: Tool) -> None:
    """A relay with one direction ended uses no CPU time."""
    done = threading.Event()

    def part(caller: socket.socket) -> None:
        assert read_all(caller) == b"x"
        caller.sendall(b"y")
        assert done.wait(20)

    with peer(part) as target, tool.serving("relay", target=target) as relay, call(relay.address) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert read_exactly(client, 1) == b"y"
        assert spends_nothing(relay.program)
        done.set()
