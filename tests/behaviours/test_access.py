"""Who is let in, and what becomes of those for whom nobody is there."""

from __future__ import annotations

import contextlib
import socket

import pytest

from behaviours.peers import call, echoed, read_exactly
from behaviours.tools import Running, Tool
from socketkit import Address
from support.dead_ports import refusing_port
from support.programs import Program


def served_from(server: Running, source: str) -> bool:
    """Whether a caller from this address of the loopback is served; one who is not must be told by the end."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.bind((source, 0))
        with contextlib.suppress(ConnectionError):
            sock.connect((server.address.host, server.address.port))
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
    return False


def test_52_only_those_who_are_allowed(tool: Tool) -> None:
    """With an allow list, other clients are closed before a byte is read, and the server continues."""
    with tool.serving("echo", allow="127.0.0.2/32") as server:
        assert [served_from(server, f"127.0.0.{last}") for last in (1, 2, 3, 2)] == [False, True, False, True]


def test_52_not_those_who_are_denied(tool: Tool) -> None:
    """With a deny list, those clients are closed before a byte is read, and others are served."""
    with tool.serving("echo", deny="127.0.0.2") as server:
        assert [served_from(server, f"127.0.0.{last}") for last in (1, 2, 1)] == [True, False, True]


def test_52_a_denial_beats_a_permission(tool: Tool) -> None:
    """A client on both lists is denied."""
    with tool.serving("echo", allow="127.0.0.0/8", deny="127.0.0.2") as server:
        assert [served_from(server, f"127.0.0.{last}") for last in (1, 2, 1)] == [True, False, True]


def test_52_a_refusal_is_told(tool: Tool) -> None:
    """With `-v` a denied client is reported on standard error."""
    with tool.serving("echo", deny="127.0.0.2", loud=True) as server:
        assert not served_from(server, "127.0.0.2")
        server.program.wait_line("127.0.0.2")


def test_60_a_port_that_is_taken_is_named(tool: Tool) -> None:
    """A relay on a port in use names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = Address.parse(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        with Program(*tool.command("relay", place, {}, Address.parse("tcp://127.0.0.1:9"))) as relay:
            assert relay.wait() > 0
            assert str(place.port) in "\n".join(relay.stderr_lines)


@pytest.mark.slow
def test_60_a_target_that_is_down(tool: Tool) -> None:
    """A relay closes its client at once while the target is down, and serves it when the target is up."""
    port = refusing_port()
    with tool.serving("relay", target=Address.parse(f"tcp://127.0.0.1:{port}")) as relay:
        for _ in range(3):
            with contextlib.suppress(ConnectionError), call(relay.address) as client:
                assert client.recv(1) == b""
        with tool.serving("echo", f"tcp://127.0.0.1:{port}"):
            assert echoed(relay.address)
            with call(relay.address) as client:
                client.sendall(b"y")
                assert read_exactly(client, 1) == b"y"
