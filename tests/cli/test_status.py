"""How the command ends: one table of statuses, and one line for each failure."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from support.connections import PATIENCE, read_all
from support.programs import echo_server, socketkit
from support.streams import reset

Part = Callable[[socket.socket], object]


class Peers:
    """Listeners and ports that a case needs, by name; each caller of one is given to its part."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.release = threading.Event()
        self._threads: list[threading.Thread] = []

    def closed(self) -> str:
        """Where nobody listens, and nobody else can."""
        sock = socket.socket()
        self._sockets.append(sock)
        sock.bind(("127.0.0.1", 0))
        return self._port(sock)

    def serving(self, part: Part) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listener)

        def live() -> None:
            caller, _ = listener.accept()
            caller.settimeout(PATIENCE)
            with caller:
                part(caller)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self._port(listener)

    def silent(self) -> str:
        """Linux drops further SYNs where the queue is full."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._sockets.append(listener)
        for _ in range(4):
            guest = socket.socket()
            guest.setblocking(False)
            guest.connect_ex(listener.getsockname())
            self._sockets.append(guest)
        return self._port(listener)

    def _port(self, sock: socket.socket) -> str:
        return str(sock.getsockname()[1])

    def close(self) -> None:
        self.release.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def peers():
    made = Peers()
    yield made
    made.close()


def goodbye(caller: socket.socket) -> None:
    read_all(caller)
    caller.sendall(b"goodbye")


def lost(caller: socket.socket) -> None:
    caller.recv(1)
    reset(caller)


def garbled(caller: socket.socket) -> None:
    caller.sendall(b"nonsense")
    read_all(caller)


CASES = [
    # arguments, with {closed}, {silent}, {goodbye}, {reset}, {garbled}, {stuck} for ports; input; status; its one line
    ("connect tcp://127.0.0.1:{goodbye}", b"hello", 0, None),
    ("--version", b"", 0, None),
    ("--help", b"", 0, None),
    ("connect --help", b"", 0, None),
    ("", b"", 2, None),
    ("conect tcp://127.0.0.1:1", b"", 2, r"there is no verb 'conect' \(did you mean connect\?\); there are "),
    ("connect tcp://127.0.0.1:port", b"", 2, r"address 'tcp://127\.0\.0\.1:port': "),
    ("connect ftp://127.0.0.1:1", b"", 2, r"'ftp"),
    ("connect tcp://127.0.0.1:1?nodelay=perhaps", b"", 2, r"nodelay: 'perhaps' is not a switch"),
    ("connect tcp://127.0.0.1:1 --framing morse", b"", 2, r"'morse'"),
    ("connect tcp://127.0.0.1:1 --engine steam", b"", 2, r"there is no engine 'steam'"),
    ("connect tcp://127.0.0.1:1 --linger soon", b"", 2, r"'soon' is not a time"),
    ("connect tcp://127.0.0.1:1 --nonsense", b"", 2, r"[Nn]o such option.*--nonsense"),
    ("echo tcp://127.0.0.1:0 --backlog many", b"", 2, r"Invalid value for '--backlog': 'many' is not a whole number"),
    ("echo tcp://127.0.0.1:0 --ready-fd 99", b"", 2, r"99 is not open"),
    ("listen", b"", 2, r"Missing argument"),
    ("connect tcp://127.0.0.1:{closed}", b"", 3, r"cannot connect to tcp://127\.0\.0\.1:{closed}: Connection refused"),
    ("connect unix:///no/such/file", b"", 3, r"unix:///no/such/file: No such file or directory"),
    ("connect tcp://no-such-host.invalid:1", b"", 3, r"the name 'no-such-host\.invalid' was not resolved"),
    ("echo tcp://127.0.0.1:{goodbye}", b"", 3, r"tcp://127\.0\.0\.1:{goodbye}: Address already in use"),
    ("listen tcp://127.0.0.1:{goodbye}", b"", 3, r"tcp://127\.0\.0\.1:{goodbye}: Address already in use"),
    ("listen tcp://192.0.2.1:0", b"", 3, r"it is not an address of this machine"),
    (
        "connect tcp://127.0.0.1:{reset}",
        b"hello",
        4,
        r"tcp://127\.0\.0\.1:{reset}: Connection reset by peer \(ECONNRESET\)",
    ),
    ("connect tcp://127.0.0.1:{garbled} --framing netstring", b"", 5, r"netstring"),
    ("connect tcp://127.0.0.1:{stuck} --framing json", b"no json\n", 5, r"json"),
    ("connect tcp://127.0.0.1:{stuck} --linger 100ms", b"hello", 6, r"gave up after 100ms \(--linger\)"),
    ("connect tcp://127.0.0.1:{silent} --connect-timeout 100ms", b"", 124, r"no answer within 0\.1 s"),
]


@pytest.mark.parametrize(("command", "typed", "status", "line"), CASES, ids=[case[0] or "nothing" for case in CASES])
def test_status_and_one_line_per_failure(
    peers: Peers, command: str, typed: bytes, status: int, line: str | None
) -> None:
    """A status for each end and one line for each failure."""

    def stuck(caller: socket.socket) -> None:
        peers.release.wait(PATIENCE)

    ports = {}
    for name, make in {
        "closed": peers.closed,
        "silent": peers.silent,
        "goodbye": lambda: peers.serving(goodbye),
        "reset": lambda: peers.serving(lost),
        "garbled": lambda: peers.serving(garbled),
        "stuck": lambda: peers.serving(stuck),
    }.items():
        if f"{{{name}}}" in command:
            ports[name] = make()
    with socketkit(*command.format(**ports).split()) as program:
        output = program.communicate(typed)
        assert program.wait() == status, program.stderr_lines
        if line is not None:
            assert len(program.stderr_lines) == 1, program.stderr_lines
            assert program.stderr_lines[0].startswith("socketkit: ")
            assert re.search(re.sub(r"\{(\w+)\}", lambda match: ports[match[1]], line), program.stderr_lines[0]), (
                program.stderr_lines
            )
            assert output == b""
        elif status == 0:
            assert program.stderr_lines == []
            assert output
    if "goodbye" in command and status == 3:  # let the listener's thread go
        socket.create_connection(("127.0.0.1", int(ports["goodbye"]))).close()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_client_signal_status(peers: Peers, number: signal.Signals, status: int) -> None:
    """A client that is reported to stop ends as shells say it."""
    came = threading.Event()

    def part(caller: socket.socket) -> None:
        caller.sendall(b"hello")
        came.set()
        assert read_all(caller) == b""  # a clean end

    with socketkit("connect", f"tcp://127.0.0.1:{peers.serving(part)}") as program:
        assert program.process.stdout is not None
        assert program.process.stdout.read(5) == b"hello"
        assert came.wait(PATIENCE)
        assert program.stop(number) == status
        assert program.stderr_lines == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("name", ["echo"])
def test_server_signal_status_0(name: str, number: signal.Signals) -> None:
    """A server that is reported to stop has done its work."""
    with socketkit(name, "tcp://127.0.0.1:0") as program:
        program.address()
        assert program.stop(number) == 0


def test_debug_shows_where_it_failed(peers: Peers) -> None:
    with socketkit("connect", f"tcp://127.0.0.1:{peers.closed()}", "--debug") as program:
        program.communicate()
        assert program.wait() == 3
        assert program.stderr_lines[0] == "Traceback (most recent call last):"
        assert program.stderr_lines[-1].startswith("socketkit.errors.ConnectError: cannot connect to ")


def test_control_characters_in_errors_escaped() -> None:
    """A foreign text in an error is one line without control characters."""
    with socketkit("connect", "tcp://ho\x1b[31mst\n:1") as program:
        program.communicate()
        assert program.wait() == 2
        (line,) = program.stderr_lines
        assert line.isprintable()


def test_closed_stdout_is_no_error():
    """With standard output closed a verb ends as otherwise."""
    with echo_server() as (_, address):
        for words in (f"connect {address}", "--help", "--version"):
            done = subprocess.run(
                ["bash", "-c", f"{sys.executable} -m socketkit {words} </dev/null >&-"],
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
            assert (done.stderr, done.returncode) == (b"", 0), words


def test_interrupt_while_loading_prints_nothing():
    """Ctrl-C while modules are loaded ends the process by the signal, without a traceback."""
    script = """
import os, sys
class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "click":
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Finder)
from socketkit.cli.main import main
main(["connect"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-2, b"", b"")


def test_slow_reader_of_nonblocking_stderr_gets_all_lines():
    """What is written to a non-blocking standard error waits for room; nothing is lost."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    script = "from socketkit.cli.output import print_line\nfor number in range(5000): print_line(f'{number:100}')"
    with subprocess.Popen([sys.executable, "-c", script], stderr=writing) as program:
        os.close(writing)
        with open(reading, "rb") as stderr:
            lines = stderr.read().splitlines()
        assert program.wait(PATIENCE) == 0
    assert [int(line) for line in lines] == list(range(5000))


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["connect", "x:1", "--linger"], "socketkit connect"),
        (["connect", "--no-such"], "socketkit connect"),
        (["chat", "host", "--name"], "socketkit chat host"),
        (["nc", "-w"], "socketkit nc"),
        (["--no-such"], "socketkit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_usage_error_names_the_help_of_its_verb(words: list[str], path: str) -> None:
    """Also where click's parser has left the command out of the error."""
    with socketkit(*words) as program:
        assert program.wait() == 2
    [line] = program.stderr_lines
    assert line.endswith(f"(see: {path} --help)")


@pytest.mark.parametrize(
    "words", [["echo", "tcp://127.0.0.1:0", "--workers", "2"], ["echo", "tcp://127.0.0.1:0"]], ids=len
)
def test_too_few_descriptors_to_begin_with(words: list[str]) -> None:
    """The line says how many there are, and what sets the limit."""
    command = ["sh", "-c", f'ulimit -n 7; exec "{sys.executable}" -m socketkit "$@" 5>&1 6>&1', "sh", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode in (1, 2, 3)  # by what was being opened
    [line] = done.stderr.splitlines()
    assert re.search(r"Too many open files(?: \(EMFILE\))?: this process may have 7 \(ulimit -n\)$", line)
