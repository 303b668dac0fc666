"""`socketkit listen`, from outside: the other end of a conversation, for one caller or for one after another."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from socketkit import Address
from support.connections import call, read_all
from support.engines import ENGINES
from support.programs import Program, socketkit
from support.streams import reset


@contextmanager
def listener(*arguments: str, place: str = "tcp://127.0.0.1:0", **options) -> Iterator[tuple[Program, Address]]:
    with socketkit("listen", place, *arguments, **options) as program:
        yield program, program.address()


@pytest.mark.parametrize("name", ENGINES)
def test_on_every_engine_the_first_caller_is_talked_with_and_others_are_refused(name: str) -> None:
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
        assert program.told == [f"listening {address}"]


def test_with_keep_one_caller_comes_after_another() -> None:
    with listener("--keep", stdin=None) as (program, address):
        assert program.process.stdout is not None
        for number in range(3):
            with call(address) as caller:
                caller.sendall(b"caller %d\n" % number)
                caller.shutdown(socket.SHUT_WR)
                assert program.process.stdout.readline() == b"caller %d\n" % number
        assert program.stop() == 0


def test_with_keep_a_caller_that_is_lost_is_told_of_in_a_line_and_the_next_is_served() -> None:
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
        assert len(program.told) == 2


def test_a_file_of_a_socket_is_removed_when_it_ends(tmp_path) -> None:
    path = tmp_path / "s"
    with listener(place=f"unix://{path}?mode=600") as (program, address):
        assert path.stat().st_mode & 0o777 == 0o600
        call(address).close()
        program.communicate()
        assert program.wait() == 0
    assert not path.exists()


def test_a_server_that_nobody_called_is_told_to_stop() -> None:
    with listener() as (program, _):
        assert program.stop(signal.SIGTERM) == 0
        assert len(program.told) == 1


def test_what_is_already_typed_is_for_the_first_caller() -> None:
    with listener() as (program, address):
        assert program.process.stdin is not None
        program.process.stdin.write(os.urandom(0) + b"typed before anybody came")
        program.process.stdin.close()
        with call(address) as caller:
            assert read_all(caller) == b"typed before anybody came"
        assert program.wait() == 0
