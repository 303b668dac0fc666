"""`socketkit listen`, from outside: the other end of a conversation, for one caller or for one after another."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from socketkit import Address
from support.connections import call, read_all
from support.engines import ENGINES
from support.programs import Program, needs, socketkit
from support.streams import reset


@contextmanager
def listener(*arguments: str, place: str = "tcp://127.0.0.1:0", **options) -> Iterator[tuple[Program, Address]]:
    with socketkit("listen", place, *arguments, **options) as program:
        yield program, program.address()


@pytest.mark.parametrize("name", ENGINES)
def test_listen_on_every_engine(name: str) -> None:
    """On every engine the first client is talked with and others are refused."""
    with listener("--engine", name) as (program, address), call(address) as caller:
        caller.sendall(b"from the caller\n")
        assert program.process.stdin is not None and program.process.stdout is not None
        assert program.process.stdout.readline() == b"from the caller\n"
        with pytest.raises(ConnectionRefusedError):
            call(address)
        program.process.stdin.write(b"to the caller")
        program.process.stdin.close()
        assert read_all(caller) == b"to the caller"
        caller.close()
        assert program.wait() == 0
        assert program.stderr_lines == [f"listening {address}"]


def test_keep_serves_one_by_one() -> None:
    """With keep one client comes after another."""
    with listener("--keep", stdin=None) as (program, address):
        assert program.process.stdout is not None
        for number in range(3):
            with call(address) as caller:
                caller.sendall(b"caller %d\n" % number)
                caller.shutdown(socket.SHUT_WR)
                assert program.process.stdout.readline() == b"caller %d\n" % number
        assert program.stop() == 0


def test_keep_reports_loss_in_one_line() -> None:
    """With keep a client that is lost is reported in a line and the next is served."""
    with listener("--keep") as (program, address):
        assert program.process.stdout is not None
        with call(address) as lost:
            lost.sendall(b"hello\n")
            assert program.process.stdout.readline() == b"hello\n"
            reset(lost)
        program.wait_line("Connection reset by peer")
        with call(address) as caller:
            caller.sendall(b"me too\n")
            assert program.process.stdout.readline() == b"me too\n"
        assert len(program.stderr_lines) == 2


def test_socket_file_removed_at_end(tmp_path) -> None:
    """A file of a socket is removed when it ends."""
    path = tmp_path / "s"
    with listener(place=f"unix://{path}?mode=600") as (program, address):
        assert path.stat().st_mode & 0o777 == 0o600
        call(address).close()
        program.communicate()
        assert program.wait() == 0
    assert not path.exists()


def test_sigterm_without_client() -> None:
    """A server that no one called is reported to stop."""
    with listener() as (program, _):
        assert program.stop(signal.SIGTERM) == 0
        assert len(program.stderr_lines) == 1


def test_typed_input_goes_to_first_client() -> None:
    """What is already typed is for the first client."""
    with listener() as (program, address):
        assert program.process.stdin is not None
        program.process.stdin.write(os.urandom(0) + b"typed before anybody came")
        program.process.stdin.close()
        with call(address) as caller:
            assert read_all(caller) == b"typed before anybody came"
        assert program.wait() == 0


def test_keep_receives_from_all_udp_senders() -> None:
    """With --keep --receive-only no sender of datagrams waits for another's silence."""
    with listener("--keep", "--receive-only", place="udp://127.0.0.1:0") as (program, address):
        assert program.process.stdout is not None
        for number in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"sender %d\n" % number, (address.host, address.port))
                assert program.process.stdout.readline() == b"sender %d\n" % number
        assert program.stop() == 0


def test_keep_limits_no_senders() -> None:
    """A datagram of each of two thousand senders is received, without an end of any of them."""
    count = 2000
    with listener("--keep", place="udp://127.0.0.1:0?receive_buffer=8MiB") as (program, address):
        assert program.process.stdout is not None
        for number in range(count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"%d\n" % number, (address.host, address.port))
                if number % 20 == 19:  # so that no buffer overflows, however slow the machine is
                    for earlier in range(number - 19, number + 1):
                        assert program.process.stdout.readline() == b"%d\n" % earlier
        assert program.stop() == 0


@pytest.mark.parametrize("name", ["socat", "nc"])
def test_senders_are_named_on_a_terminal(name: str) -> None:
    """On a terminal datagrams are shown with their senders, from the second sender on; in a pipe they never are."""
    path = needs(name)
    ours, theirs = os.openpty()
    with (
        listener("--keep", place="udp4://127.0.0.1:0", stdout=theirs) as (program, address),
        open(ours, "rb", 0) as tty,
    ):
        os.close(theirs)
        to = [f"UDP4:{address.host}:{address.port}"] if name == "socat" else [address.host, str(address.port)]
        command = [path, "-", *to] if name == "socat" else [path, "-u", *to]
        with Program(*command) as first, Program(*command) as second:
            shown = b""
            for sender, text in [(first, b"one\n"), (first, b"two\n"), (second, b"three"), (first, b"four\n")]:
                assert sender.process.stdin is not None
                sender.process.stdin.write(text)
                sender.process.stdin.flush()
                while text.rstrip() not in shown:
                    shown += tty.read(1000)
            lines = shown.replace(b"\r\n", b"\n").decode().splitlines()
            assert lines[:2] == ["one", "two"]
            assert re.fullmatch(r"\[udp://127\.0\.0\.1:[0-9]+\] three", lines[2])
            assert re.fullmatch(r"\[udp://127\.0\.0\.1:[0-9]+\] four", lines[3])
            assert lines[2].split()[0] != lines[3].split()[0]
        assert program.stop() == 0


def test_dropped_datagrams_are_a_line() -> None:
    """What the kernel drops because the receive buffer is full is reported without -v too."""
    with listener("--keep", place="udp4://127.0.0.1:0?receive_buffer=4KiB") as (program, address):
        program.process.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(500):
                sender.sendto(b"x" * 1000, (address.host, address.port))
        program.process.send_signal(signal.SIGCONT)
        assert program.process.stdout is not None
        assert program.process.stdout.read(1000) == b"x" * 1000
        assert program.stop() == 0
        assert re.fullmatch(r"socketkit: udp://127.*: the kernel dropped [0-9]+ datagrams.*", program.stderr_lines[1])


def test_accept_timeout_is_124() -> None:
    """Without a client in time; one line says where and how long."""
    with socketkit("listen", "127.0.0.1", "0", "--accept-timeout", "50ms") as program:
        address = program.address()
        assert (program.communicate(), program.wait()) == (b"", 124)
        assert program.stderr_lines[1:] == [f"socketkit: accepting at {address}: no connection within 0.05 s"]


def test_accept_timeout_ends_with_the_first_client() -> None:
    """It limits the wait for a client, and not the conversation."""
    with socketkit("listen", "tcp://127.0.0.1:0", "--accept-timeout", "10s", "--receive-only") as program:
        with socket.create_connection(("127.0.0.1", program.address().port or 0)) as client:
            client.sendall(b"late data")
        assert (program.communicate(), program.wait()) == (b"late data", 0)


@pytest.mark.parametrize("place", ["udp://127.0.0.1:0", "unixgram"])
def test_keep_receives_from_all_while_the_first_is_answered(place: str, tmp_path: Path) -> None:
    """Senders of datagrams are received side by side; -v says who has sent; the input goes to the first of them."""
    socat = needs("socat")
    where = f"unixgram://{tmp_path}/in" if place == "unixgram" else place
    with listener("--keep", "-v", place=where) as (program, address):
        if place == "unixgram":
            to = [f"UNIX-SENDTO:{address.path},bind={tmp_path}/{name}" for name in "ab"]
        else:
            to = [f"UDP-SENDTO:{address.host}:{address.port}"] * 2
        assert program.process.stdin is not None and program.process.stdout is not None
        with Program(socat, "-", to[0]) as first, Program(socat, "-", to[1]) as second:
            for number, sender in enumerate((first, second, first, second)):
                assert sender.process.stdin is not None
                sender.process.stdin.write(b"message %d\n" % number)
                sender.process.stdin.flush()
                assert program.process.stdout.readline() == b"message %d\n" % number
            program.process.stdin.write(b"answer\n")
            program.process.stdin.flush()
            assert first.process.stdout is not None
            assert first.process.stdout.readline() == b"answer\n"
            for number in (1, 2):
                program.wait_line("connection from ", number)
                program.wait_line(f"[{number}] received 10 bytes", 2)
        assert program.stop() == 0


def test_exec_by_a_shell() -> None:
    """With --shell pipes and variables work; its status is ours; without it they are words."""
    with listener("--exec", "tr a-z A-Z | cat; exit $((3 + 4))", "--shell") as (program, address):
        with call(address) as client:
            client.sendall(b"loud")
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"LOUD"
        assert program.wait() == 7
    with listener("--exec", "echo $HOME | cat") as (program, address), call(address) as client:
        assert read_all(client) == b"$HOME | cat\n"
    with socketkit("listen", ":0", "--shell") as program:
        assert (program.communicate(), program.wait()) == (b"", 2)
