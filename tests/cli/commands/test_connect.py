"""`socketkit connect`, from outside: what goes in, what comes out, and what a terminal is shown."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.connections import PATIENCE, read_all
from support.engines import ENGINES
from support.programs import Program, echo_server, needs, socketkit


@contextmanager
def peer(part) -> Iterator[str]:
    """A listener whose first caller is given to a function, in a thread; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        errors: list[BaseException] = []

        def live() -> None:
            try:
                caller, _ = listener.accept()
                caller.settimeout(PATIENCE)
                with caller:
                    part(caller)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)
        assert errors == []


@pytest.mark.parametrize("name", ENGINES)
def test_connect_on_every_engine(name: str) -> None:
    """On every engine input goes out and the answer comes."""
    data = os.urandom(300_000)
    with echo_server() as (_, address), socketkit("connect", str(address), "--engine", name) as client:
        assert client.communicate(data) == data
        assert (client.wait(), client.stderr_lines) == (0, [])


def test_input_eof_is_sent_answer_read() -> None:
    """The peer sees the end of the input and is received out."""

    def part(caller: socket.socket) -> None:
        assert read_all(caller) == b"question"
        caller.sendall(b"the answer" * 1000)

    with peer(part) as address, socketkit("connect", address) as client:
        assert client.communicate(b"question") == b"the answer" * 1000
        assert client.wait() == 0


@pytest.mark.slow
def test_late_answer_after_eof() -> None:
    """An answer that comes late after the end is received in full."""

    def part(caller: socket.socket) -> None:
        assert read_all(caller) == b"question"
        threading.Event().wait(1.2)
        caller.sendall(b"late")
        threading.Event().wait(0.6)
        caller.sendall(b" answer")

    with peer(part) as address, socketkit("connect", address) as client:
        assert client.communicate(b"question") == b"late answer"
        assert client.wait() == 0


def test_verbose_and_explain_on_stderr() -> None:
    """V and explain report the story on standard error alone."""
    with echo_server() as (_, address), socketkit("connect", str(address), "-v", "--explain") as client:
        assert client.communicate(b"hello\n") == b"hello\n"
        assert client.wait() == 0
        told = "\n".join(client.stderr_lines)
        for line in (
            rf"^connect\(\d+, {re.escape(str(address))}\) = ",
            rf"^\[1\] connected to {re.escape(str(address))} from tcp://127\.0\.0\.1:\d+$",
            r'^\[1\] sent 6 bytes "hello\\n"$',
            r"^shutdown\(\d+, SHUT_WR\) = 0",
            r"^\[1\] we have ended$",
            r"^\[1\] the peer has ended$",
            r"^\[1\] closed, 6 bytes received, 6 bytes sent$",
        ):
            assert re.search(line, told, re.MULTILINE), f"{line} is not in\n{told}"


@pytest.mark.parametrize("scheme", ["udp", "unixgram"])
def test_verbose_of_datagrams_reports_no_end_of_the_peer(tmp_path, scheme: str) -> None:
    """A peer without a connection sends no end, so that none is reported when the wait for replies is over."""
    place = "udp://127.0.0.1:0" if scheme == "udp" else f"unixgram://{tmp_path}/s"
    with socketkit("echo", place, "-v") as server:
        with socketkit("connect", str(server.address()), "-v") as client:
            assert client.communicate(b"hello") == b"hello"
            assert client.wait() == 0
        assert server.stop() == 0
    for told in (client.stderr_lines, server.stderr_lines):
        assert any("received 5 bytes" in line for line in told)
        assert not any("the peer has ended" in line for line in told), told


def test_closed_stdout_is_no_failure() -> None:
    """`socketkit connect ... | head -1`: quiet, status 0."""

    def part(caller: socket.socket) -> None:
        try:
            while True:
                caller.sendall(b"line\n" * 1000)
        except OSError:
            pass

    with peer(part) as address:
        script = f"{sys.executable} -m socketkit connect {address} </dev/null | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=PATIENCE)
        assert (done.stdout, done.stderr, done.returncode) == (b"line\n", b"", 0)


def test_closed_stdin_is_eof() -> None:
    """Standard input that is closed is an input that has ended."""
    with echo_server() as (_, address):
        script = f"{sys.executable} -m socketkit connect {address} <&-"
        done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=PATIENCE)
        assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


@contextmanager
def at_a_terminal(*arguments: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Our command with a terminal as its standard output; the terminal's other end."""
    master, slave = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "socketkit", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    try:
        yield master, program
    finally:
        program.kill()
        program.communicate()
        os.close(master)


def read_terminal(master: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:
        pass  # EIO: nobody has it open any more
    return shown


def test_peer_control_characters_escaped() -> None:
    """Control characters of a peer never reach a terminal raw."""
    evil = b"\x1b]0;title\x07 \x1b[2J \x9b31m \x00\x08\x7f \xc2\x9b \xe2\x80\xae \xff plain\tok\n"

    def part(caller: socket.socket) -> None:
        caller.sendall(evil[:9])  # also when it comes in pieces
        caller.sendall(evil[9:])

    with peer(part) as address, at_a_terminal("connect", address) as (master, program):
        shown = read_terminal(master)
        assert program.wait(PATIENCE) == 0
    assert shown.endswith(b"plain\tok\r\n")
    text = shown.decode()
    assert not [character for character in text if character not in "\r\n\t" and not character.isprintable()]
    assert r"\x1b]0;title\x07" in text


def test_into_a_pipe_they_go_as_they_are() -> None:
    def part(caller: socket.socket) -> None:
        caller.sendall(b"\x1b[2J\x00\xff")

    with peer(part) as address, socketkit("connect", address) as client:
        assert client.communicate() == b"\x1b[2J\x00\xff"


def test_output_flushed_before_signal_exit() -> None:
    """What was written is out before a signal ends it."""

    def part(caller: socket.socket) -> None:
        caller.sendall(b"first\n")
        caller.recv(1)

    with peer(part) as address, socketkit("connect", address) as client:
        assert client.process.stdout is not None
        assert client.process.stdout.readline() == b"first\n"
        assert client.stop(signal.SIGINT) == 130
        assert client.stderr_lines == []


def test_idle_timeout_ends_connect():
    """A peer that is silent for too long is left."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socketkit("connect", f"tcp://127.0.0.1:{listener.getsockname()[1]}", "--idle-timeout", "50ms") as client,
    ):
        assert client.wait() == 124
        assert len(client.stderr_lines) == 1
        assert "it was silent for 0.05 s (--idle-timeout)" in client.stderr_lines[0]


@pytest.mark.parametrize("words", [("127.0.0.1", "{port}"), ("localhost", "{port}"), ("127.0.0.1:{port}",)])
def test_host_and_port_as_two_words(words: tuple[str, ...]) -> None:
    with echo_server("--once") as (_, address):
        with socketkit("connect", *(word.format(port=address.port) for word in words)) as program:
            assert (program.communicate(b"hello"), program.wait()) == (b"hello", 0)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("a", "b", "c"), "3 words are no address"),
        (("tcp://h:1", "2"), "are two addresses"),
        (("h:1", "2"), "are two addresses"),
        (("/run/x", "2"), "are two addresses"),
        (("h", "nosuchservice"), "port 'nosuchservice' is not a port"),
        (("h", "70000"), "port '70000'"),
    ],
)
def test_bad_words_are_refused(words: tuple[str, ...], reason: str) -> None:
    with socketkit("connect", *words) as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
        assert len(program.stderr_lines) == 1 and reason in program.stderr_lines[0]


def test_service_names() -> None:
    """A port may be a service of services(5), also in an address with a scheme and options."""
    from socketkit.cli.common_options import read_address

    for text in ("localhost:http", "tcp://localhost:HTTP", "tcp://[::1]:http?nodelay=no", ":http"):
        assert read_address(text).port == socket.getservbyname("http")
    assert str(read_address("exec:cat")) == "exec:cat" and str(read_address("stdio:")) == "stdio:"


def test_rate_limits_each_direction() -> None:
    """Half a second's worth of bytes more than the first burst takes that long; every byte arrives."""
    data = bytes(60_000)
    with echo_server("--once") as (_, address):
        began = time.monotonic()
        with socketkit("connect", str(address), "--rate", "100KB/s") as program:
            assert (program.communicate(data), program.wait()) == (data, 0)
        assert time.monotonic() - began > 0.45
    with socketkit("connect", "h:1", "--rate", "fast") as program:
        assert (program.communicate(), program.wait()) == (b"", 2)


def test_progress_knows_the_size_of_a_file(tmp_path: Path) -> None:
    from socketkit.cli.transfer_options import input_size

    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.write(bytes(1000))
        file.seek(400)
        assert input_size(file.fileno()) == 600
    with socket.socket() as sock:
        assert input_size(sock.fileno()) is None
    assert input_size(10_000) is None


def test_exec_runs_a_program_against_the_peer() -> None:
    """Its output is sent, the peer's data is its input, its status is ours."""

    def part(sock: socket.socket) -> None:
        sock.sendall(b"question\n")
        assert read_all(sock) == b"QUESTION\n"

    with (
        peer(part) as address,
        socketkit("connect", address, "--exec", "head -1 | tr a-z A-Z; exit 7", "--shell") as it,
    ):
        assert (it.wait(), it.stderr_lines) == (7, [])
    for arguments, status in ((("h:1", "--shell"), 2), (("h:1", "--exec", "nosuchprogram"), 127)):
        with socketkit("connect", *arguments) as it:
            assert (it.communicate(), it.wait(), len(it.stderr_lines)) == (b"", status, 1)


@pytest.mark.parametrize("name", ["socketkit", "ncat"])
def test_send_only_ends_with_the_input(name: str) -> None:
    """At the end of the input the connection is closed and the status is 0, although the peer has not ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        place = ["127.0.0.1", str(listener.getsockname()[1]), "--send-only"]
        with socketkit("connect", *place) if name == "socketkit" else Program(needs(name), *place) as program:
            client, _ = listener.accept()
            with client:
                client.settimeout(PATIENCE)
                assert program.communicate(b"all of it") == b""
                assert read_all(client) == b"all of it"
                assert program.wait() == 0
                with pytest.raises(ConnectionError):
                    while True:
                        client.sendall(b"more")
