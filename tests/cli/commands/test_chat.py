"""`socketkit chat`: real programs, raw guests, and a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, free_port, needs, socketkit


@contextlib.contextmanager
def hosting(
    *arguments: str, address: str = "tcp://127.0.0.1:0", **options: object
) -> Iterator[tuple[Program, Address]]:
    with socketkit("chat", "host", address, *arguments, **options) as host:
        yield host, host.address()


def joining(address: Address, *arguments: str, **options: object) -> Program:
    return socketkit("chat", "join", str(address), *arguments, **options)


def line_of(program: Program) -> str:
    assert program.process.stdout is not None
    line = program.process.stdout.readline()
    assert isinstance(line, bytes)
    return line.decode().removesuffix("\n")


def types(program: Program, text: str) -> None:
    stdin = program.process.stdin
    assert stdin is not None
    stdin.write(text.encode())
    stdin.flush()


@pytest.mark.parametrize(
    ("limits", "soft", "said"),
    [
        ("ulimit -Sn 100", 700 + 256 + 64, 0),
        ("ulimit -Sn 5000", 5000, 0),
        ("ulimit -n 300", 300, 1),
    ],
)
def test_limit_of_descriptors(limits: str, soft: int, said: int) -> None:
    """A shell's limit of 1024 descriptors is raised to what the guests need; where that is forbidden a line says so."""
    resource = pytest.importorskip("resource", reason="not a POSIX system")
    if not hasattr(resource, "prlimit"):
        pytest.skip("prlimit(2) is Linux's")
    host = [sys.executable, "-m", "socketkit", "chat", "host", "tcp4://127.0.0.1:0", "--max-guests", "700"]
    with Program("sh", "-c", f"{limits}; exec {shlex.join(host)}") as program:
        program.address()
        assert resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)[0] == soft
        lines = [line for line in program.stderr_lines if "descriptors" in line]
        assert len(lines) == said
        for line in lines:
            assert line.startswith("socketkit: --max-guests 700: this process may have 300 descriptors (ulimit -n)")


@contextlib.contextmanager
def raw_guest(address: Address) -> Iterator[tuple[socket.socket, IO[bytes]]]:
    """A guest like nc, past its greeting."""
    with socket.create_connection((address.host, address.port), timeout=PATIENCE) as sock, sock.makefile("rb") as file:
        assert file.readline().startswith(b"* welcome, you are guest")
        yield sock, file


def test_two_programs_talk_until_farewell() -> None:
    """The persons at both programs talk and a close ends both."""
    with hosting("--once", "--name", "Olga") as (host, address), joining(address, "--name", "Ivan") as guest:
        assert line_of(guest).startswith("* welcome, you are guest1; here: Olga ")
        assert line_of(guest) == "* you are Ivan now"
        assert [line_of(host), line_of(host)] == ["* guest1 has joined", "* guest1 is Ivan now"]
        types(host, "привет\n")
        assert line_of(guest) == "Olga: привет"
        types(guest, "\x1b[2J hello\n")
        assert line_of(host) == "Ivan: \\x1b[2J hello"
        types(guest, "до свидания\n")
        assert line_of(guest) == "* goodbye, Ivan"
        assert guest.wait() == 0
        assert line_of(host) == "* Ivan has left"
        assert host.wait() == 0
        assert guest.stderr_lines == []


def test_host_farewell_ends_both_programs() -> None:
    """The host's close ends both programs."""
    with hosting() as (host, address), joining(address) as guest:
        assert line_of(guest).startswith("* welcome")
        types(host, "bye\n")
        assert line_of(guest) == "* goodbye: host has ended the chat"
        assert (guest.wait(), host.wait()) == (0, 0)


def test_host_without_terminal_until_sigterm() -> None:
    """Without a person the host stays until it is reported to stop."""
    with hosting(stdin=subprocess.DEVNULL) as (host, address), raw_guest(address) as (sock, file):
        sock.sendall(b"anybody?\n")
        assert [line_of(host), line_of(host)] == ["* guest1 has joined", "guest1: anybody?"]
        assert host.stop() == 0
        assert file.read() == b"* goodbye: host has ended the chat\n"


def test_host_with_closed_stdin() -> None:
    """With standard input closed the host stays too."""
    with hosting(stdin=None, preexec_fn=lambda: os.close(0)) as (host, address), raw_guest(address):
        assert line_of(host) == "* guest1 has joined"
        assert host.stop(signal.SIGINT) == 0


def test_piped_guest_speaks_and_leaves() -> None:
    """What is piped into a guest is said and then it leaves."""
    with hosting() as (_host, address), raw_guest(address) as (_, file):
        with joining(address) as guest:
            output = guest.communicate(b"one\ntwo\r\nthree without an end")
        assert output.decode().startswith("* welcome, you are guest2; here: host, guest1 ")
        assert guest.wait() == 0
        said = [file.readline().decode().removesuffix("\n") for _ in range(5)]
        assert said[1:4] == ["guest2: one", "guest2: two", "guest2: three without an end"]
        assert (said[0], said[4]) == ("* guest2 has joined", "* guest2 has left")


def test_a_unix_room_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "room"
    with hosting(address=f"unix://{path}") as (host, address), joining(address) as guest:
        assert line_of(guest).startswith("* welcome")
        types(host, "bye\n")
        assert (guest.wait(), host.wait()) == (0, 0)
    assert not path.exists()


def test_refused_is_status_3() -> None:
    """No one there is status 3 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socketkit("chat", "join", f"tcp://127.0.0.1:{port}") as guest:
        assert guest.communicate() == b""
        assert guest.wait() == 3
        assert len(guest.stderr_lines) == 1 and str(port) in guest.stderr_lines[0]


def test_a_port_in_use_is_status_3() -> None:
    with hosting() as (_, address), socketkit("chat", "host", str(address)) as second:
        assert second.wait() == 3
        assert len(second.stderr_lines) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("host", "tcp://127.0.0.1:0", "--name", "a b"),
        ("host", "tcp://127.0.0.1:0", "--name", "Alice:"),
        ("join", "tcp://127.0.0.1:1", "--name", "\x1b[2J"),
        ("host", "tcp://127.0.0.1:x"),
        ("host", "tcp://127.0.0.1:0", "--engine", "blocking"),
        ("host", "tcp://127.0.0.1:0", "--engine", "nosuch"),
    ],
)
def test_usage_errors_before_opening(arguments: tuple[str, ...]) -> None:
    """What cannot be is status 2 before anything is opened."""
    with socketkit("chat", *arguments) as program:
        program.communicate()
        assert program.wait() == 2
        assert not any("listening" in line or "Traceback" in line or "\x1b" in line for line in program.stderr_lines)


def test_a_lost_host_is_status_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with joining(Address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")) as guest:
            caller, _ = listener.accept()
            caller.sendall(b"hello\n")
            assert line_of(guest) == "hello"
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            caller.close()
            assert guest.wait() == 4
            assert len(guest.stderr_lines) == 1


def test_closed_stdout_ends_guest() -> None:
    """A screen that is closed ends the guest quietly."""
    with hosting() as (host, address), joining(address) as guest:
        assert line_of(guest).startswith("* welcome")
        assert guest.process.stdout is not None
        guest.process.stdout.close()
        types(host, "anybody?\nreally?\n")
        assert guest.wait() == 0
        assert guest.stderr_lines == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_guest_signal_status(number: signal.Signals, status: int) -> None:
    """A guest that is reported to stop ends with the signal's status."""
    with hosting() as (host, address), joining(address) as guest:
        assert line_of(guest).startswith("* welcome")
        assert guest.stop(number) == status
        assert guest.stderr_lines == []
        assert [line_of(host), line_of(host)] == ["* guest1 has joined", "* guest1 has left"]


_ORDER = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program at a terminal, as a person sees it."""

    def __init__(self, *arguments: str) -> None:
        self._master, self._slave = pty.openpty()
        termios.tcsetwinsize(self._slave, (24, 80))
        self.modes = termios.tcgetattr(self._slave)
        self._seen = ""
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "socketkit", "chat", *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # its own terminal: Ctrl-C is a signal
        )

    def sees(self, text: str) -> str:
        """Wait until this text stands there; everything seen so far, without the orders to the terminal."""
        last = time.monotonic() + PATIENCE
        while text not in _ORDER.sub("", self._seen):
            assert select.select([self._master], [], [], max(0.0, last - time.monotonic()))[0], self._seen
            data = os.read(self._master, 65536).decode(errors="replace")
            if "\x1b[6n" in data:  # it asks where the cursor is
                os.write(self._master, b"\x1b[1;1R")
            self._seen += data
        return _ORDER.sub("", self._seen)

    def types(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self) -> int:
        """Its status; the terminal is as it was."""
        status = self.process.wait(PATIENCE)
        assert termios.tcgetattr(self._slave) == self.modes
        return status

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        os.close(self._master)
        os.close(self._slave)


def address_at(terminal: Terminal) -> Address:
    terminal.sees("listening tcp://127.0.0.1:")
    seen = terminal.sees(">")  # the editor stands below that line
    return Address.parse(seen.split("listening ", 1)[1].split()[0])


def test_tty_incoming_keeps_typed_line() -> None:
    """At a terminal lines that come do not cut the line that is typed."""
    with Terminal("host", "tcp://127.0.0.1:0", "-v") as host:
        address = address_at(host)
        with raw_guest(address) as (sock, file):
            host.sees("[1] connection from tcp://127.0.0.1:")
            host.sees("* guest1 has joined")
            host.types("I am typ")
            host.sees("I am typ")
            sock.sendall(b"\x1b[2Jwhile you type\n")
            host.sees("guest1: \\x1b[2Jwhile you type")
            host.types("ing\r")
            assert file.readline() == b"host: I am typing\n"
            host.types("\x04")  # Ctrl-D
            assert file.read() == b"* goodbye: host has ended the chat\n"
            assert host.wait() == 0


def test_tty_guest_types_pastes_leaves() -> None:
    """At a terminal a guest types pastes and leaves."""
    with hosting() as (host, address), Terminal("join", str(address), "--name", "Alice") as guest:
        guest.sees("* you are Alice now")
        guest.types("\x1b[200~one\ntwo\x1b[201~\r")
        assert [line_of(host) for _ in range(4)][2:] == ["Alice: one", "Alice: two"]
        guest.types("bye\r")
        guest.sees("* goodbye, Alice")
        assert guest.wait() == 0


@pytest.mark.parametrize("how", ["key", "signal"])
def test_tty_ctrl_c_host_and_guest(how: str) -> None:
    """At a terminal ctrl c ends a host well and a guest as a signal does."""
    with Terminal("host", "tcp://127.0.0.1:0") as host:
        with Terminal("join", str(address_at(host))) as guest:
            guest.sees("* welcome")
            guest.types("half a line")
            guest.sees("half a line")
            if how == "key":
                guest.types("\x03")
            else:
                guest.process.send_signal(signal.SIGTERM)
            assert guest.wait() == (130 if how == "key" else 143)
        host.sees("* guest1 has left")
        if how == "key":
            host.types("\x03")
        else:
            host.process.send_signal(signal.SIGTERM)
        assert host.wait() == 0


def test_alone_it_shows_what_it_can_do() -> None:
    with socketkit("chat") as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
        assert program.stderr_lines[0].startswith("Usage: socketkit chat ")
        assert any(line.strip().startswith("join ") for line in program.stderr_lines)


class PlainClient:
    """A client as tutorials have it: it sends text without a line end, receives once, and sends again."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection((address.host, address.port), timeout=PATIENCE)

    def send(self, text: str) -> None:
        self.socket.send(text.encode())

    def receive_until(self, text: str) -> str:
        received = ""
        while text not in received:
            data = self.socket.recv(1024)
            assert data, received
            received += data.decode()
        return received

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()


def test_client_without_line_ends() -> None:
    """Text without a line end is shown to the host and to guests, and such a farewell ends the client."""
    with hosting() as (host, address), raw_guest(address) as (_, file), PlainClient(address) as client:
        client.receive_until("(/name NEW")
        assert [line_of(host), line_of(host)] == ["* guest1 has joined", "* guest2 has joined"]
        client.send("Привет, сервер")
        assert line_of(host) == "guest2: Привет, сервер"
        assert [file.readline().decode() for _ in range(2)] == ["* guest2 has joined\n", "guest2: Привет, сервер\n"]
        types(host, "Привет, клиент\n")
        client.receive_until("host: Привет, клиент\n")
        client.send("До свидания!")
        client.receive_until("* goodbye, guest2\n")
        assert client.socket.recv(1024) == b""
        assert line_of(host) == "* guest2 has left"


def test_server_without_line_ends() -> None:
    """Where the host is a plain socket, its text is shown without a line end; `До свидания!` leaves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        address = Address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        with joining(address) as guest:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                types(guest, "Привет\n")
                assert peer.recv(1024) == "Привет\n".encode()
                peer.send("Что нового?".encode())
                assert line_of(guest) == "Что нового?"
                types(guest, "До свидания!\n")
                assert peer.recv(1024) == "До свидания!\n".encode()
                assert peer.recv(1024) == b""
            assert guest.wait() == 0


@pytest.mark.parametrize("farewell", ["Bye!", "До свидания!", "«до свидания»"])
def test_farewells_of_a_plain_nc(farewell: str) -> None:
    """A guest with nc leaves by a farewell, whatever its case and punctuation; the host ends the chat by it."""
    needs("nc")
    with hosting() as (host, address):
        with Program("nc", address.host, str(address.port)) as nc:
            assert line_of(nc).startswith("* welcome")
            types(nc, f"{farewell}\n")
            assert line_of(nc) == "* goodbye, guest1"
            assert line_of(host) == "* guest1 has joined"
            assert line_of(host) == "* guest1 has left"
        types(host, f"{farewell}\n")
        assert host.wait() == 0


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_join_at_the_address_of_the_page(scheme: str) -> None:
    """It takes part as over plain lines: its own lines do not come back, a farewell ends it."""
    pytest.importorskip("h11", reason="the extra ws is not installed")
    with hosting("--web", "127.0.0.1:0", "--name", "Olga") as (host, address):
        page = host.wait_line("listening http").removeprefix("listening http").removesuffix("/")
        with socketkit("chat", "join", f"{scheme}{page}", "--name", "Ivan") as guest:
            assert line_of(guest).startswith("* welcome, you are Ivan; here: Olga ")
            assert line_of(host) == "* Ivan has joined"
            types(guest, "привет\n/me waves\n")
            assert [line_of(host), line_of(host)] == ["Ivan: привет", "~ Ivan waves"]
            types(host, "hello\n")
            assert line_of(guest) == "Olga: hello"
            with raw_guest(address) as (sock, _):
                sock.sendall(b"/msg Ivan psst\n")
                assert [line_of(guest), line_of(guest)] == ["* guest2 has joined", "guest2 (private): psst"]
            types(guest, "bye\n")
            while not line_of(guest).startswith("* goodbye"):
                pass
            assert guest.wait() == 0


def test_join_at_a_page_shows_what_was_missed(tmp_path: Path) -> None:
    """By ids, over a restart of the host: each line once, in order, none left out."""
    pytest.importorskip("h11", reason="the extra ws is not installed")
    port = free_port()
    page, store = f"http://127.0.0.1:{port}", ("--store", str(tmp_path / "chat.db"))
    with contextlib.ExitStack() as programs:
        with hosting("--web", page, *store, "--history", "3") as (host, address), raw_guest(address) as (sock, _):
            guest = programs.enter_context(
                socketkit("chat", "join", page, "--name", "Ivan", "--retry", "100", "--backoff", "20ms..50ms")
            )
            assert line_of(guest).startswith("* welcome, you are Ivan")
            sock.sendall(b"one\n")
            assert line_of(guest) == "guest1: one"
            host.stop(signal.SIGKILL)
        with hosting(*store) as (_, address), raw_guest(address) as (sock, file):
            sock.sendall(b"".join(b"missed %d\n" % number for number in range(60)) + b"bye\n")
            while not file.readline().startswith(b"* goodbye"):
                pass
        with hosting("--web", page, *store, "--history", "3") as (host, address):
            types(host, "back\n")
            shown: list[str] = []
            while not shown or "back" not in shown[-1]:
                shown.append(line_of(guest))
            said = [line.partition(": ")[2] for line in shown if "missed" in line]
            assert said == [f"missed {number}" for number in range(60)]
