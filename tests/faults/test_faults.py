"""Whatever peers do, the conversation beside them loses no message and no time, and the account is right at the end."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import threading

import pytest

from faults.faulty_peers import (
    PIECE,
    TIMEOUT,
    dial,
    endless,
    flood,
    half_close,
    read_lines,
    read_repeated,
    reset,
    silent,
    trickle,
    wait_end,
)
from faults.server_under_test import MIB, server_under_test
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, FrameTooLongError, FramingError
from socketkit.events import HandlerFailed
from support.engines import parameters

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the account is read from Linux's /proc")

every = pytest.mark.parametrize("engine", parameters("epoll", "asyncio", "uvloop", "trio", "blocking"))
several = pytest.mark.parametrize("engine", parameters("epoll", "uvloop", "blocking"))


@pytest.mark.slow
@every
def test_idle_timeout_cuts_only_silent(engine):
    """The silent are cut off when asked to and no one else."""
    with server_under_test(engine, idle_timeout="1s") as here:
        with silent(here.name, 3), silent(here.name, 2, b"half a li"):
            here.wait_came(5)
            here.wait_left()
        assert [type(error) for error in here.ends()] == [DeadlineError] * 5


@several
def test_many_silent_clients_are_cheap(engine):
    """Many silent clients cost little and slow no one down."""
    count = 200
    with server_under_test(engine, growth=count * 100_000) as here:
        with silent(here.name, count):
            here.wait_came(count)
            here.companion.wait_rounds(20)
        here.wait_left()


@every
def test_byte_by_byte_client(engine):
    """Who writes byte by byte is understood."""
    line = b"a message in small pieces " * 8
    with server_under_test(engine) as here:
        assert trickle(here.name, line + b"\n") == line


@every
def test_half_closed_client_gets_answers(engine):
    """Who has said his last word still gets every answer."""
    lines = [b"%d" % number * (number % 200) for number in range(3000)]
    with server_under_test(engine) as here:
        assert half_close(here.name, lines) == lines
        here.wait_left()
        assert here.ends() == [None]


@pytest.mark.slow
@every
def test_stalled_reader_back_pressure(engine):
    """Who reads nothing meets back pressure and loses nothing when he reads at last."""
    line = b"z" * 999 + b"\n"
    with server_under_test(engine) as here:
        with dial(here.name, buffer=65536) as sock:
            sent = flood(sock, line, 64 * MIB)
            assert sent < 32 * MIB, "there was no back pressure"
            here.companion.wait_rounds(20)
            missing = line[sent % len(line) :]
            finisher = threading.Thread(target=sock.sendall, args=(missing,))
            finisher.start()  # the answers make room for it
            read_repeated(sock, line, (sent + len(missing)) // len(line))
            finisher.join()
        here.wait_left()
        assert here.ends() == [None]


@pytest.mark.slow
@several
def test_stalled_reader_idle_timeout(engine):
    """Who reads nothing is cut off when asked to."""
    with server_under_test(engine, idle_timeout="1s") as here:
        with dial(here.name, buffer=65536) as sock:
            assert flood(sock, b"z" * 999 + b"\n", 64 * MIB, quiet=TIMEOUT) < 64 * MIB  # until he is cut off
            here.wait_left()
        (error,) = here.ends()
        assert isinstance(error, (DeadlineError, BrokenError)) and "idle_timeout" in str(error)


@every
def test_data_before_reset_is_delivered(engine):
    """The handler looks only when the reset has come: what had arrived is still there."""
    gone, heard, ends = threading.Event(), [], []

    async def listens(connection):
        if (first := await connection.receive()) == "listen":
            await connection.engine.run_in_thread(lambda: gone.wait(20))
            try:
                async for message in connection:
                    heard.append(message)
            except (BrokenError, EndOfStream) as error:
                ends.append(error)
                raise
        await connection.send(first)
        async for message in connection:
            await connection.send(message)

    lines = [f"line {number}" for number in range(50)]
    with server_under_test(engine, listens) as here:
        sock = dial(here.name)
        sock.sendall("\n".join(["listen", *lines, "half of the la"]).encode())
        here.wait_came(1)
        reset(sock)
        gone.set()
        here.wait_left()
    assert heard == lines
    assert [type(error) for error in ends] == [BrokenError]


@every
def test_instant_disconnects_leak_nothing(engine):
    """Clients that are gone at once leave nothing behind."""
    with server_under_test(engine) as here:
        for number in range(30):
            sock = dial(here.name)
            sock.sendall(b"hello\n" * (number % 3))
            reset(sock) if number % 2 else sock.close()
        here.companion.wait_rounds(5)


@every
def test_reset_with_full_buffers(engine):
    """A reset under a full pipe ends only its own."""
    with server_under_test(engine) as here:
        sock = dial(here.name, buffer=65536)
        flood(sock, b"z" * 999 + b"\n", 2 * MIB, quiet=0.05)
        reset(sock)
        here.wait_left()
        assert [type(error) for error in here.ends()] == [BrokenError]


@several
def test_unterminated_data_refused_at_limit(engine):
    """Bytes without an end are refused at the limit and never kept."""
    with server_under_test(engine, framing="lines:max_size=64KiB", growth=8 * MIB) as here:
        sent, end = endless(here.name, 64 * MIB)
        here.wait_left()
        assert end in ("reset", "end") and sent < 32 * MIB
        (error,) = here.ends()
        assert isinstance(error, FrameTooLongError) and "65536" in str(error)


@several
def test_unterminated_data_skipped_bounded(engine):
    """Bytes without an end can be skipped in a bounded memory."""
    with server_under_test(engine, framing="lines:max_size=64KiB,oversize=skip", growth=8 * MIB) as here:
        with dial(here.name) as sock:
            for _ in range(24 * MIB // len(PIECE)):
                sock.sendall(PIECE)
            sock.sendall(b"\nand now a short one\n")
            assert read_lines(sock, 1) == [b"and now a short one"]
        here.wait_left()
        assert here.ends() == [None]


@pytest.mark.parametrize("engine", parameters("epoll", "uvloop"))
@pytest.mark.parametrize("framing", ["length:4", "json", "netstring", "msgpack", "varint", "content-length", "cobs"])
def test_garbage_ends_one_connection(engine, framing):
    """The same server speaks lines with the companion: `reframe` at the first word."""
    dice = random.Random(framing)

    async def answers(connection):
        first = await connection.receive()
        if first == "garbage":
            connection.reframe(framing)
        else:
            await connection.send(first)
        async for message in connection:
            await connection.send(message)

    with server_under_test(engine, answers) as here:
        for size in (1, 10, 100, 1000, 10000):
            with dial(here.name) as sock:
                sock.sendall(b"garbage\n" + dice.randbytes(size))
                with contextlib.suppress(ConnectionError):
                    sock.shutdown(socket.SHUT_WR)
                wait_end(sock)
        here.wait_left()
        assert all(error is None or isinstance(error, FramingError) for error in here.ends())
        assert any(here.ends())


@every
def test_raising_handlers_end_their_own(engine):
    """Handlers that raise end their own conversations."""
    with server_under_test(engine) as here:
        for _ in range(20):
            with dial(here.name) as sock:
                sock.sendall(b"fail\n")
                assert wait_end(sock) in ("end", "reset")
        here.wait_left()
        assert [type(error) for error in here.ends()] == [ZeroDivisionError] * 20
        assert len(here.account.of(HandlerFailed)) == here.server.statistics().failed_count == 20
