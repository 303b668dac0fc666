"""Whole lives of the echo on real sockets, from outside: many clients, much data, slow readers, resets, the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from hashlib import sha256

import pytest

from socketkit import Address, engines
from support.connections import PATIENCE, ask, call, read_all
from support.engines import ENGINES, parameters
from support.programs import Program, echo_server, needs, socketkit
from support.streams import reset

HEAVY = parameters(engines.best_readiness(), "uvloop", "blocking")
"""For what takes seconds: one of each kind of engine."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells of a process on Linux alone"),
]


def status(program: Program, name: str) -> int:
    """A number of /proc/PID/status; sizes in KiB."""
    with open(f"/proc/{program.process.pid}/status") as lines:
        found = re.search(rf"^{name}:\s+(\d+)", lines.read(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def descriptors(program: Program) -> int:
    return len(os.listdir(f"/proc/{program.process.pid}/fd"))


def used_seconds(program: Program) -> float:
    """Processor time of a process: utime and stime of proc(5)."""
    with open(f"/proc/{program.process.pid}/stat") as line:
        fields = line.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(is_so) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize("name", ENGINES)
def test_many_clients_each_their_own(name: str) -> None:
    """Many clients at once each get their own."""
    count = 50 if name == "blocking" else 200
    with echo_server("--engine", name) as (server, address):
        clients = [call(address) for _ in range(count)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.sendall(b"client %d turn %d\n" % (number, turn))
            for number, client in enumerate(clients):
                expected = b"client %d turn %d\n" % (number, turn)
                assert client.recv(len(expected), socket.MSG_WAITALL) == expected
        for client in clients:
            client.close()
        assert server.stop() == 0


@pytest.mark.parametrize("name", HEAVY)
def test_slow_reader_exact_and_bounded(name: str) -> None:
    """Much through one connection to a slow reader is exact and takes little memory."""
    size, piece = 100 * 2**20, 2**20
    block = os.urandom(piece)
    sent, heard = sha256(), sha256()
    with echo_server("--engine", name) as (server, address), call(address) as client:

        def write() -> None:
            for number in range(size // piece):
                data = number.to_bytes(8, "big") + block[8:]
                sent.update(data)
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.5)  # nobody reads: the server is to hold back the writer, not to store
        assert writer.is_alive()
        received = 0
        while data := client.recv(2**18):
            heard.update(data)
            received += len(data)
        writer.join(PATIENCE)
        peak = status(server, "VmHWM")
    assert received == size
    assert heard.digest() == sent.digest()
    assert peak < 100 * 1024


@pytest.mark.parametrize("name", HEAVY)
def test_stalled_reader_bounded_others_fast(name: str) -> None:
    """One who never reads does not slow another and stays within bounds."""
    with echo_server("--engine", name) as (server, address), call(address) as deaf:
        before = status(server, "VmRSS")
        deaf.setblocking(False)
        given = 0
        quiet = 0
        with call(address) as other:
            while quiet < 20:
                try:
                    given += deaf.send(bytes(2**20))
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                began = time.monotonic()
                assert ask(other, b"hello") == b"hello"
                assert time.monotonic() - began < 5
        assert given > 0
        assert status(server, "VmRSS") - before < 30 * 1024
        reset(deaf)
        with call(address) as next_one:
            assert ask(next_one, b"hello") == b"hello"
        assert server.stop() == 0


@pytest.mark.parametrize("name", ENGINES)
def test_mid_stream_reset_is_isolated(name: str) -> None:
    """A reset in the middle harms no one else."""
    with echo_server("--engine", name) as (server, address), call(address) as other:
        assert ask(other, b"before") == b"before"
        for _ in range(10):
            with call(address) as lost:
                lost.sendall(bytes(300_000))
                reset(lost)
        assert ask(other, b"after") == b"after"
        other.close()
        assert server.stop() == 0
        assert len(server.stderr_lines) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_stop_drains_idle_and_removes_file(name: str, tmp_path) -> None:
    """Reported to stop it sees out its idle clients and removes its file."""
    path = tmp_path / "echo.sock"
    with socketkit("echo", f"unix://{path}", "--engine", name) as server:
        address = server.address()
        guests = [call(address) for _ in range(10)]
        for guest in guests:
            assert ask(guest, b"hello") == b"hello"
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 9.5, "its grace is 10 s, and idle guests need none of it"
        for guest in guests:
            assert read_all(guest) == b""
            guest.close()
    assert not path.exists()


@pytest.mark.parametrize("name", ENGINES)
def test_connect_close_leaks_nothing(name: str) -> None:
    """Connects and closes leave no descriptor."""
    rounds = 1000 if name in ("epoll", "uvloop") else 200
    with echo_server("--engine", name) as (server, address):
        for _ in range(2):  # the first makes what stays, as a thread's own waker
            with call(address) as guest:
                ask(guest, b"hello")
                before = descriptors(server)
        for number in range(rounds):
            with call(address) as client:
                if number % 3 == 0:
                    assert ask(client, b"hello") == b"hello"
                elif number % 3 == 1:
                    client.sendall(b"unheard")
        with call(address) as guest:
            ask(guest, b"hello")
            wait_until(lambda: descriptors(server) <= before)


@pytest.mark.parametrize("name", ENGINES)
def test_an_idle_server_uses_no_processor(name: str) -> None:
    with echo_server("--engine", name) as (server, address):
        guests = [call(address) for _ in range(5)]
        for guest in guests:
            assert ask(guest, b"hello") == b"hello"
        before = used_seconds(server)
        time.sleep(1)
        assert used_seconds(server) - before <= 0.05
        for guest in guests:
            guest.close()


@pytest.mark.parametrize("name", parameters("epoll", "asyncio", "uvloop"))
def test_pipelined_lines_batched(name: str) -> None:
    """Counted where nobody can cheat: by strace."""
    strace = needs("strace")
    lines = b"".join(b"%063d\n" % number for number in range(10_000))
    calls = "sendto,sendmsg,send,write,writev"
    with Program(
        strace, "-f", "-qq", "-c", "-e", f"trace={calls}", "-o", "/dev/stderr", sys.executable, "-m", "socketkit",
        "echo", "tcp://127.0.0.1:0", "--once", "--framing", "lines", "--engine", name,
    ) as server:  # fmt: skip
        with call(server.address()) as client:
            writer = threading.Thread(target=lambda: (client.sendall(lines), client.shutdown(socket.SHUT_WR)))
            writer.start()
            assert read_all(client) == lines
            writer.join(PATIENCE)
        assert server.wait() == 0
        counts = [
            int(found[1])
            for line in server.stderr_lines
            if (found := re.search(r"^\s*[\d.]+\s+\S+\s+\S+\s+(\d+)", line))
        ]
    assert counts
    assert sum(counts) <= 1000


def test_per_line_sends_leave_in_batches() -> None:
    """The same without strace, for a handler that knows nothing of batches."""
    from socketkit import serve
    from socketkit.events import Sent
    from support.recorder import Recorder

    async def handler(connection) -> None:
        async for line in connection:
            await connection.send(line)

    lines = b"".join(b"%063d\n" % number for number in range(10_000))
    for engine in ("epoll", "asyncio"):
        recorder = Recorder()
        with serve(handler, "tcp://127.0.0.1:0", framing="lines", engine=engine, observer=recorder) as server:
            with call(server.addresses[0]) as client:
                writer = threading.Thread(target=lambda: (client.sendall(lines), client.shutdown(socket.SHUT_WR)))
                writer.start()
                assert read_all(client) == lines
                writer.join(PATIENCE)
        assert len(recorder.of(Sent)) <= 1000


def test_the_whole_life_in_two_terminals() -> None:
    """Rows S1 to S3: a server that prints what happens, and a client that sends one message."""
    with echo_server("--engine", "blocking", "--backlog", "1", "-v") as (server, address):
        with socketkit("connect", str(address), "-v") as client:
            assert client.communicate(b"This is the message.\n") == b"This is the message.\n"
            assert client.wait() == 0
            assert any("connected to" in line for line in client.stderr_lines)
        server.wait_line("closed, 21 bytes received, 21 bytes sent")
        assert server.stop() == 0


def test_chat_stalled_reader_is_isolated() -> None:
    """In the chat one who never reads does not hold up the others."""
    with socketkit("chat", "host", "tcp://127.0.0.1:0", stdin=None) as host:
        address: Address = host.address()
        before = status(host, "VmRSS")
        with call(address) as deaf, call(address) as talker, call(address) as listener:
            heard = threading.Event()

            def listen() -> None:
                text = b""
                while b"the last word" not in text[-4096:]:
                    text += listener.recv(65536)
                heard.set()

            listening = threading.Thread(target=listen, daemon=True)
            listening.start()
            drain = threading.Thread(target=lambda: read_all(talker), daemon=True)
            drain.start()
            for _ in range(3000):
                talker.sendall(b"x" * 1000 + b"\n")
            talker.sendall(b"the last word\n")
            assert heard.wait(PATIENCE)
            assert status(host, "VmRSS") - before < 30 * 1024
            talker.shutdown(socket.SHUT_WR)
            drain.join(PATIENCE)
            deaf.close()
