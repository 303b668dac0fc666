"""Waiting for others, statuses, signals, and what a terminal is left with."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from behaviours.peers import asked, call, peer, read_all, script
from behaviours.tools import Tool
from socketkit import Address
from support.dead_ports import black_hole, refusing_port
from support.programs import PATIENCE, Program, needs, socketkit
from support.streams import reset


def waiting(tool: Tool, *arguments: str) -> Program:
    if tool.name != "socketkit":
        tool.lacks("verb that waits for others")
    return socketkit("wait", *arguments)


@pytest.mark.slow
def test_61_a_command_behind_a_wait(tool: Tool, tmp_path: Path) -> None:
    """After the wait the command replaces the process: its exit status and signals are its own."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        at = f"127.0.0.1:{there.getsockname()[1]}"
        with waiting(tool, at, "--", "sh", "-c", "echo out; exit 7") as program:
            assert (program.communicate(), program.wait()) == (b"out\n", 7)
        with waiting(tool, at, "--", script(tmp_path, "echo started; exec sleep 60")) as program:
            assert program.process.stdout is not None
            assert program.process.stdout.readline() == b"started\n"
            assert program.stop(signal.SIGTERM) == -signal.SIGTERM


@pytest.mark.slow
def test_61_no_command_after_a_wait_in_vain(tool: Tool, tmp_path: Path) -> None:
    """After a wait without success the command is not run, the exit status is 124, and standard output is empty."""
    at = f"127.0.0.1:{refusing_port()}"
    with waiting(tool, at, "--for", "300ms", "--", "touch", f"{tmp_path}/ran") as program:
        assert (program.communicate(), program.wait()) == (b"", 124)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_62_many_targets_and_one_time(tool: Tool, tmp_path: Path) -> None:
    """Several targets are tried in parallel under one limit; a silent one does not extend it."""
    with socket.create_server(("127.0.0.1", 0)) as there, black_hole() as first, black_hole() as second:
        places = [f"127.0.0.1:{port}" for port in (there.getsockname()[1], first, second)]
        since = time.monotonic()
        with waiting(tool, *places, f"unix://{tmp_path}/none", "--for", "1s") as program:
            assert (program.communicate(), program.wait()) == (b"", 124)
        assert 0.9 <= time.monotonic() - since <= 15
        assert "3 of 4" in program.stderr_lines[0]


@pytest.mark.slow
def test_62_until_a_port_is_free(tool: Tool) -> None:
    """A port can be waited for until nothing listens on it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with waiting(tool, f"127.0.0.1:{listener.getsockname()[1]}", "--free", "--for", "20s") as program:
            threading.Event().wait(1)
            assert program.process.poll() is None
            listener.close()
            assert program.wait() == 0


def test_63_status_of_success(tool: Tool) -> None:
    """Exit status 0 after a normal end."""
    with peer(lambda caller: caller.sendall(read_all(caller))) as address, tool.calling(address) as client:
        client.communicate(b"x")
        assert client.wait() == 0


def test_63_status_of_a_refusal(tool: Tool) -> None:
    """The documented exit status when the connection is refused."""
    with tool.calling(Address.parse(f"tcp://127.0.0.1:{refusing_port()}")) as client:
        assert client.communicate(b"x") == b""
        assert client.wait() == tool.statuses["refused"]


def test_63_status_of_a_loss(tool: Tool) -> None:
    """The documented exit status when the peer resets: client."""
    there = threading.Event()

    def part(caller: socket.socket) -> None:
        caller.sendall(b"x")
        assert there.wait(PATIENCE)
        reset(caller)

    with peer(part) as address, tool.calling(address) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.read(1) == b"x"
        there.set()
        assert client.wait() == tool.statuses["reset"]


def test_63_status_of_a_loss_to_a_listener(tool: Tool) -> None:
    """The documented exit status when the peer resets: listener."""
    with tool.serving("listen") as server:
        sock = call(server.address)
        sock.sendall(b"x")
        assert server.program.process.stdout is not None
        assert server.program.process.stdout.read(1) == b"x"
        reset(sock)
        assert server.program.wait() == tool.statuses["reset"]


def test_63_status_of_a_bad_option(tool: Tool) -> None:
    """The documented exit status for an unknown option."""
    program = [tool.path(), "-m", "socketkit", "connect"] if tool.name == "socketkit" else [tool.path()]
    with Program(*program, "--no-such-option", "127.0.0.1", "9") as client:
        assert client.communicate() == b""
        assert client.wait() == tool.statuses["usage"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_64_a_signal_is_seen_by_the_shell(tool: Tool, number: signal.Signals) -> None:
    """For a client that a signal ends, the shell sees 128 plus the signal's number."""
    with peer(lambda caller: (caller.sendall(b"x"), caller.recv(1))) as address, tool.calling(address) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.read(1) == b"x"
        status = client.stop(number)
        assert (status if status >= 0 else 128 - status) == 128 + number


def test_65_the_failure_of_a_program_is_ours(tool: Tool, tmp_path: Path) -> None:
    """When a program run for a client fails, the exit status is its own."""
    with tool.serving("listen", exec=script(tmp_path, "cat >/dev/null; exit 3")) as server:
        assert asked(server.address, b"x") == b""
        assert server.program.wait() > 0


def test_66_a_reader_who_has_had_enough(tool: Tool) -> None:
    """When standard output is closed by its reader, the client ends without a message and closes the connection."""

    def part(caller: socket.socket) -> None:
        with pytest.raises(ConnectionError):
            while True:
                caller.sendall(b"line\n" * 1000)

    with peer(part) as address, tool.calling(address) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.readline() == b"line\n"
        client.process.stdout.close()
        client.wait()
        assert client.stderr_lines == []


@pytest.mark.parametrize("meant", [True, False], ids=["meant", "meant for another"])
def test_68_a_listener_that_was_handed_over(tool: Tool, meant: bool, tmp_path: Path) -> None:
    """A service manager's listening socket is served and left open; one meant for another process is not used."""
    if tool.name != "socketkit":
        tool.lacks("socket activation by LISTEN_PID")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        pid = "$$" if meant else "1"
        line = (
            f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID={pid}; exec "$0" -m socketkit echo systemd:'
        )
        with Program(needs("bash"), "-c", line, sys.executable, pass_fds=[listener.fileno()]) as server:
            if meant:
                server.wait_line("listening ")
                assert asked(Address.parse(f"unix://{tmp_path}/s"), b"x") == b"x"
                assert server.stop() == 0
            else:
                assert server.wait() > 0
        assert (tmp_path / "s").exists()
        call(Address.parse(f"unix://{tmp_path}/s")).close()


@pytest.mark.parametrize("number", [None, signal.SIGINT], ids=["its end", "SIGINT"])
def test_70_a_terminal_is_left_as_it_was(tool: Tool, number: signal.Signals | None) -> None:
    """Terminal modes and O_NONBLOCK are restored at the end."""

    def part(caller: socket.socket) -> None:
        caller.sendall(b"x\n")
        if number is not None:
            caller.recv(1)

    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave), fcntl.fcntl(slave, fcntl.F_GETFL)
        with peer(part) as address:
            command = tool.command("connect", address, {})
            program = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
            try:
                shown = b""
                while b"x" not in shown:
                    shown += os.read(master, 4096)
                if number is not None:
                    program.send_signal(number)
                while number is None and program.poll() is None:
                    os.write(master, b"\x04")  # Ctrl-D: the peer's end is not the end of the input
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        program.wait(0.2)  # a key typed while the terminal changes its modes is lost: type it again
                program.wait(PATIENCE)
            finally:
                program.kill()
                program.wait()
        assert (termios.tcgetattr(slave), fcntl.fcntl(slave, fcntl.F_GETFL)) == before
    finally:
        os.close(master)
        os.close(slave)
