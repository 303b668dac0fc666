"""`socketkit echo`, from outside: its one line, its observers, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket

import pytest

from support.connections import ask, call, read_all
from support.engines import ENGINES
from support.programs import echo_server, socketkit


@pytest.mark.parametrize("name", ENGINES)
def test_echo_on_every_engine_exits_0(name: str) -> None:
    """On every engine it echoes and ends with 0 when reported."""
    with echo_server("--engine", name) as (server, address):
        assert server.stderr_lines == [f"listening tcp://127.0.0.1:{address.port}"]
        with call(address) as client:
            client.sendall(b"\x00\xff bytes \r\n")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"\x00\xff bytes \r\n"
        assert server.stop() == 0
        assert len(server.stderr_lines) == 1
        assert server.process.stdout is not None and server.process.stdout.read() == b""


def test_listening_line_and_ready_fd(tmp_path) -> None:
    """Each address has a line and the ready descriptor has them too."""
    reading, writing = os.pipe()
    path = tmp_path / "echo.sock"
    with socketkit(
        "echo", "tcp4://localhost:0", f"unix://{path}", "--ready-fd", str(writing), pass_fds=(writing,)
    ) as server:
        os.close(writing)
        with open(reading) as ready:
            lines = ready.read().splitlines()  # it is closed: whoever waits for its end is not kept
        server.wait_line("listening ", 2)
        assert lines == server.stderr_lines
        assert re.fullmatch(r"listening tcp://127\.0\.0\.1:\d+", lines[0])
        assert lines[1] == f"listening unix://{path}"
        assert server.stop(signal.SIGINT) == 0
    assert not path.exists()


def test_once_serves_the_first_and_ends() -> None:
    with echo_server("--once") as (server, address):
        with call(address) as first:
            assert ask(first, b"hello") == b"hello"
            with pytest.raises(ConnectionRefusedError):
                call(address)
            assert ask(first, b"again") == b"again"
        assert server.wait() == 0


def test_once_on_standard_streams() -> None:
    """One connection is all that they have: --once changes nothing there."""
    with socketkit("echo", "stdio:", "--once") as program:
        assert program.communicate(b"hello\n") == b"hello\n" and program.wait() == 0


def test_once_status_of_reset() -> None:
    """Once reports by its status that the first was lost."""
    with echo_server("--once") as (server, address):
        with call(address) as first:
            assert ask(first, b"hello") == b"hello"
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert server.wait() == 4
        assert len(server.stderr_lines) == 2


def test_once_status_of_framing_error() -> None:
    """Once reports by its status that the first followed no framing."""
    with echo_server("--once", "--framing", "netstring") as (server, address):
        with call(address) as first:
            first.sendall(b"3:one,nonsense")
            assert read_all(first) == b"3:one,"
        assert server.wait() == 5
        assert len(server.stderr_lines) == 2


def test_v_tells_the_story() -> None:
    with echo_server("-v") as (server, address), call(address) as client:
        client.sendall(b"This is \x1b[31mthe message.\n")
        client.shutdown(socket.SHUT_WR)
        read_all(client)
        server.wait_line("closed")
        story = "\n".join(server.stderr_lines[1:])
        here = f"tcp://127.0.0.1:{client.getsockname()[1]}"
        assert story == "\n".join(
            (
                f"[1] connection from {here} at {address}",
                r'[1] received 26 bytes "This is \x1b[31mthe message.\n"',
                r'[1] sent 26 bytes "This is \x1b[31mthe message.\n"',
                "[1] the peer has ended",
                "[1] closed, 26 bytes received, 26 bytes sent",
            )
        )


def test_explain_shows_real_results() -> None:
    """Explain shows the calls with their real results."""
    with echo_server("--explain") as (server, address), call(address) as client:
        assert ask(client, b"hello") == b"hello"
        client.shutdown(socket.SHUT_WR)
        read_all(client)
        server.stop()
        told = "\n".join(server.stderr_lines)
        for line in (
            r"^socket\(AF_INET, SOCK_STREAM, IPPROTO_TCP\) = \d+ ",
            r"^bind\(\d+, tcp://127\.0\.0\.1:0\) = 0",
            r"^listen\(\d+, \d+\) = 0",
            rf"^accept\(\d+\) = \d+, tcp://127\.0\.0\.1:{client.getsockname()[1]}",
            r'^recv\(\d+, \d+ bytes\) = 6 bytes "hello\\n"',
            r'^send\(\d+, 6 bytes\) = 6 bytes "hello\\n"',
            r"^recv\(\d+, \d+ bytes\) = 0 ",
            r"^close\(\d+\) = 0",
        ):
            assert re.search(line, told, re.MULTILINE), f"{line} is not in\n{told}"


def test_messages_are_echoed_by_the_framing() -> None:
    with echo_server("--framing", "lines") as (_, address), call(address) as client:
        client.sendall(b"one\r\ntwo\nthr")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"one\ntwo\nthr\n"


def test_a_second_signal_ends_it_at_once() -> None:
    with echo_server("--framing", "lines") as (server, address), call(address) as client:
        assert ask(client, b"hello") == b"hello"
        client.sendall(b"half a mess")  # it is under way: it would be waited for
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            while True:
                with contextlib.suppress(ConnectionResetError), call(address):
                    pass
        assert server.stop() == 0
