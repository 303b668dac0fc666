"""The ends of conversations: two directions, each with an end of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from behaviours.peers import asked, call, peer, read_all, read_exactly, script, until
from behaviours.tools import Tool
from support.programs import Program

PLACES = ["tcp://127.0.0.1:0", "tcp6://[::1]:0", "unix"]
pause = threading.Event().wait


def at(place: str, folder: Path) -> str:
    return f"unix://{folder}/s" if place == "unix" else place


def output(program: Program) -> bytes:
    """What it has written up to its end, while its standard input stays open."""
    assert program.process.stdout is not None
    return program.process.stdout.read()


def sorts(caller: socket.socket) -> None:
    caller.sendall(b"".join(sorted(read_all(caller).splitlines(keepends=True))))


def answers_late(caller: socket.socket) -> None:
    assert read_all(caller) == b"question\n"
    pause(1.2)
    caller.sendall(b"answer\n")


@pytest.mark.parametrize("place", PLACES)
def test_01_client_half_close(tool: Tool, place: str, tmp_path: Path) -> None:
    """A peer that answers only after our end of stream (like `sort`) gets its answer printed: client."""
    with peer(sorts, at(place, tmp_path)) as address, tool.calling(address) as client:
        assert client.communicate(b"c\na\nb\n") == b"a\nb\nc\n"
        assert client.wait() == 0


@pytest.mark.parametrize("place", PLACES)
def test_01_listener_half_close(tool: Tool, place: str, tmp_path: Path) -> None:
    """A peer that answers only after our end of stream gets its answer printed: listener."""
    with tool.serving("listen", at(place, tmp_path)) as server:
        thread = threading.Thread(target=lambda: with_close(call(server.address), sorts))
        thread.start()
        assert server.program.communicate(b"c\na\nb\n") == b"a\nb\nc\n"
        thread.join()
        assert server.program.wait() == 0


def with_close(sock: socket.socket, part) -> None:
    with sock:
        part(sock)


@pytest.mark.slow
def test_02_late_answer_after_eof(tool: Tool) -> None:
    """An answer that comes 1.2 s after our end of stream is printed, without any option."""
    with peer(answers_late) as address, tool.calling(address) as client:
        assert client.communicate(b"question\n") == b"answer\n"
        assert client.wait() == 0


@pytest.mark.slow
def test_02_a_wait_that_has_run_out_is_told(tool: Tool) -> None:
    """When a limit on that wait is reached, standard error and the exit status report it."""

    def part(caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            answers_late(caller)

    with peer(part) as address, tool.calling(address, linger=0.2) as client:
        assert client.communicate(b"question\n") == b""
        assert client.wait() != 0 and client.stderr_lines != []


@pytest.mark.slow
def test_03_a_relay_brings_a_late_answer(tool: Tool) -> None:
    """A relay forwards an answer that comes 1.2 s after the client's end of stream."""
    with peer(answers_late) as target, tool.serving("relay", target=target) as relay:
        assert asked(relay.address, b"question\n") == b"answer\n"


def test_03_relay_forwards_eof_last(tool: Tool) -> None:
    """A relay forwards the end of stream after the last byte, and only after the client's end."""
    open_still = threading.Event()

    def part(caller: socket.socket) -> None:
        assert read_exactly(caller, 5) == b"hello"
        caller.settimeout(0.3)
        with pytest.raises(TimeoutError):
            caller.recv(1)
        caller.settimeout(20)
        open_still.set()
        assert len(read_all(caller)) == 300_000

    with peer(part) as target, tool.serving("relay", target=target) as relay, call(relay.address) as client:
        client.sendall(b"hello")
        assert open_still.wait(20)
        client.sendall(bytes(300_000))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


def test_04_client_ends_after_both_eofs(tool: Tool) -> None:
    """After both ends of stream the client exits within two seconds."""
    ended: list[float] = []

    def part(caller: socket.socket) -> None:
        caller.sendall(read_all(caller))
        caller.shutdown(socket.SHUT_WR)
        ended.append(time.monotonic())
        caller.recv(1)

    with peer(part) as address, tool.calling(address) as client:
        assert client.communicate(b"abc\n") == b"abc\n"
        assert client.wait() == 0
        assert time.monotonic() - ended[0] < 2


def test_05_client_ends_with_peer(tool: Tool) -> None:
    """When the peer has ended, a client whose input stays open and silent exits after a given limit."""
    with peer(lambda caller: caller.sendall(b"abc\n")) as address, tool.calling(address, linger=1) as client:
        assert output(client) == b"abc\n"
        assert client.wait() == 0


def test_06_send_only(tool: Tool) -> None:
    """Send-only: nothing is printed, and the client ends at the end of its input."""

    def part(caller: socket.socket) -> None:
        caller.sendall(b"not wanted")
        with contextlib.suppress(ConnectionResetError):
            assert read_exactly(caller, 4) == b"data"
            assert read_all(caller) == b""

    with peer(part) as address, tool.calling(address, send_only=True) as client:
        assert client.communicate(b"data") == b""
        assert client.wait() == 0


def test_06_receive_only(tool: Tool) -> None:
    """Receive-only: no byte is sent, and the client ends when the peer ends."""

    def part(caller: socket.socket) -> None:
        caller.sendall(b"data")
        caller.shutdown(socket.SHUT_WR)
        assert read_all(caller) == b""

    with peer(part) as address, tool.calling(address, receive_only=True) as client:
        assert client.process.stdin is not None
        client.process.stdin.write(b"not to be sent")
        client.process.stdin.flush()
        assert output(client) == b"data"
        assert client.wait() == 0


def test_07_reversed_half_close(tool: Tool) -> None:
    """The peer sends its greeting only after our line and end of stream: it is printed, and the ends stay in order."""

    def part(caller: socket.socket) -> None:
        with caller.makefile("rb") as file:
            assert file.readline() == b"hello\n"
            assert file.read() == b""
        caller.sendall(b"greeting\n")
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(1) == b""

    with peer(part) as address, tool.calling(address) as client:
        assert client.communicate(b"hello\n") == b"greeting\n"
        assert client.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("linger", "least", "most"), [(1, 0.8, 3.0), (0, 0.0, 1.5)])
def test_08_wait_after_eof_is_bounded(tool: Tool, linger: int, least: float, most: float) -> None:
    """A limit on the wait after our end of stream holds, also when the peer never ends."""
    ended = threading.Event()
    gone = threading.Event()
    since: list[float] = []

    def part(caller: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):
            assert read_all(caller) == b"x\n"
        since.append(time.monotonic())
        ended.set()
        assert gone.wait(20)

    with peer(part) as address, tool.calling(address, linger=linger) as client:
        client.communicate(b"x\n")
        gone_at = time.monotonic()
        gone.set()
        assert ended.wait(20)
        assert least <= gone_at - since[0] <= most


@pytest.mark.slow
def test_09_one_eof_keeps_other_direction(tool: Tool) -> None:
    """Through a relay either direction may end while the other continues without limit."""

    def part(caller: socket.socket) -> None:
        caller.shutdown(socket.SHUT_WR)
        assert read_all(caller) == b"onetwothree"

    with peer(part) as target, tool.serving("relay", target=target) as relay, call(relay.address) as client:
        assert read_all(client) == b""
        for piece in (b"one", b"two", b"three"):
            client.sendall(piece)
            pause(0.4)


def test_10_an_empty_datagram_is_not_the_end(tool: Tool) -> None:
    """An empty datagram is a datagram: the server continues."""
    with tool.serving("echo", "udp://127.0.0.1:0") as server, socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((server.address.host, server.address.port))
        sock.send(b"one")
        assert sock.recv(100) == b"one"
        sock.send(b"")
        sock.send(b"two")
        came = sock.recv(100)
        assert (came or sock.recv(100)) == b"two"


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["at once", "after a second"])
def test_11_exec_eight_clients(tool: Tool, late: bool, tmp_path: Path) -> None:
    """One program for each of eight clients at once: all are answered, and all clients exit with 0."""
    program = script(tmp_path, "sleep 1; exec cat") if late else (shutil.which("cat") or "/bin/cat")
    with tool.serving("listen", keep=True, exec=program) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(tool.calling(server.address)) for _ in range(8)]
        for number, client in enumerate(clients):
            assert client.process.stdin is not None
            client.process.stdin.write(b"%d\n" % number)
            client.process.stdin.close()
        assert [output(client) for client in clients] == [b"%d\n" % number for number in range(8)]
        assert [client.wait() for client in clients] == [0] * 8


@pytest.mark.slow
def test_12_child_answers_after_eof(tool: Tool, tmp_path: Path) -> None:
    """No output is lost from a program that answers a second after its input has ended."""
    program = script(tmp_path, "cat >/dev/null; sleep 1; echo done")
    with tool.serving("listen", exec=program) as server:
        assert asked(server.address, b"data") == b"done\n"
    until(lambda: server.program.process.poll() is not None, "it has not ended")
