"""The limits of a server and its workers, by the command."""

from __future__ import annotations

import os
import signal

import pytest

from support.connections import ask, call
from support.programs import echo_server, socketkit


def test_too_many_are_reset_and_told():
    with echo_server("--max-connections", "1", "--overload", "reject", "-v") as (server, address):
        with call(address) as first:
            assert ask(first, b"hello") == b"hello"
            try:
                with call(address) as second:
                    assert second.recv(1) == b"and never this"
            except ConnectionResetError:
                pass
            server.wait_line("was reset: 1 conversations, and max_connections is 1")
            assert ask(first, b"still") == b"still"
        assert server.stop() == 0


def reset_all(address, count):
    for _ in range(count):
        with pytest.raises(ConnectionResetError), call(address) as caller:
            caller.recv(1)


def test_crowd_of_refused_is_one_line():
    """With -v the first client that is refused has a line; the others are counted in one line at the end."""
    with echo_server("--deny", "127.0.0.1", "-v") as (server, address):
        reset_all(address, 20)
        assert server.stop() == 0
    lines = [line for line in server.stderr_lines if "reset" in line]
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{address}: tcp://127.0.0.1:")
    assert lines[1].startswith(f"{address}: 19 more clients were reset in ") and "; the last: tcp://127" in lines[1]


def test_each_refused_has_a_line_with_vv():
    with echo_server("--deny", "127.0.0.1", "-vv") as (server, address):
        reset_all(address, 5)
        assert server.stop() == 0
    assert sum(" was reset: " in line for line in server.stderr_lines) == 5


def test_networks_joined_or_repeated():
    """Lists may be given together or one by one."""
    with echo_server("--allow", "10.0.0.0/8,::1", "--allow", "unix", "-v") as (server, address):
        with pytest.raises(ConnectionResetError), call(address) as caller:
            caller.recv(1)
        server.wait_line("its network is not allowed (--allow)")


def test_who_is_silent_is_shown_out():
    with echo_server("--idle-timeout", "50ms", "-v") as (server, address), call(address) as caller:
        assert caller.recv(1) == b""
        server.wait_line("it was silent for 0.05 s (--idle-timeout)")


def test_a_proxy_speaks_for_others():
    with echo_server("--accept-proxy", "127.0.0.1", "-v") as (server, address), call(address) as proxy:
        proxy.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\nhello\n")
        assert proxy.recv(100) == b"hello\n"
        server.wait_line("speaks for tcp://192.0.2.7:40000")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--allow", "10.0.0.1/8"], "has bits beside its mask"),
        (["--deny", "everybody"], "is no network"),
        (["--overload", "queue"], "'queue' is none of wait, reject"),
        (["--max-per-peer", "0"], "from 1 to"),
        (["--workers", "0"], "--workers"),
        (["--workers", "2", "--once"], "leave --workers out"),
    ],
)
def test_bad_values_before_opening(arguments, said):
    """What is wrong is said before anything is opened."""
    with socketkit("echo", "tcp://127.0.0.1:0", *arguments) as server:
        assert server.wait() == 2
        assert said in server.stderr_lines[-1]
        assert not any("listening" in line for line in server.stderr_lines)


def test_a_new_process_takes_over(tmp_path):
    place = f"unix://{tmp_path}/takeover"
    with (
        echo_server("--takeover", place) as (old, address),
        socketkit("echo", "tcp://127.0.0.1:0", "--takeover", place) as new,
    ):
        assert new.address() == address
        assert old.wait() == 0
        with call(address) as caller:
            assert ask(caller, b"hello") == b"hello"
        assert new.stop() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_announce_once_and_stop(number):
    """Workers share one line and end together."""
    with echo_server("--workers", "2", "-vv") as (server, address):
        server.wait_line("worker 1 is process")
        for _ in range(10):
            with call(address) as caller:
                assert ask(caller, b"hello") == b"hello"
        assert sum("listening tcp" in line for line in server.stderr_lines if not line.startswith("no")) == 1
        assert server.stop(number) == 0
        server.wait_line("has ended: status 0", 2)
