"""`--exec COMMAND --pty`: the child is at a terminal that controls it, and is hung up with the connection."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, needs, socketkit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


def listen(command: str, *arguments: str, **options) -> Program:
    return socketkit("listen", "tcp://127.0.0.1:0", "--exec", command, "--pty", *arguments, **options)


def dial(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port or 0), timeout=PATIENCE)


def received(client: socket.socket, pattern: bytes) -> bytes:
    """What comes until the pattern has come."""
    data = b""
    while not re.search(pattern, data):
        piece = client.recv(65536)
        assert piece, f"the end came before {pattern!r}: {data!r}"
        data += piece
    return data


def rest(client: socket.socket) -> bytes:
    return client.makefile("rb").read()


def test_child_has_a_controlling_terminal(engine_name: str) -> None:
    """The child's three descriptors are one terminal that controls its own session, of 24 rows and 80 columns."""
    needs("ps")
    command = "tty; tty <&1; tty <&2; stty size </dev/tty; ps -o pid=,sid=,tpgid= -p $$; exit 5"
    with listen(command, "--shell", "--engine", engine_name) as server, dial(server.address()) as client:
        lines = rest(client).decode().split("\r\n")
        assert lines[0].startswith("/dev/pts/")
        assert lines[0] == lines[1] == lines[2]
        assert lines[3] == "24 80"
        assert len(set(lines[4].split())) == 1  # leader of the session, and in the foreground
        assert server.wait() == 5


def test_modes_are_the_systems_and_program_can_change_them() -> None:
    """Input is echoed and NL becomes CR NL, until `stty raw -echo`; then bytes pass as they are."""
    with listen("cat", "--keep") as server:
        with dial(server.address()) as client:
            client.sendall(b"hello\n")
            assert received(client, rb"hello\r\nhello\r\n") == b"hello\r\nhello\r\n"
            client.shutdown(socket.SHUT_WR)
            assert rest(client) == b""
        assert server.stop() == 0
    data = bytes(range(256)) * 40
    with listen(f"stty raw -echo; echo ready; head -c {len(data)}", "--shell") as server:
        with dial(server.address()) as client:
            assert received(client, rb"ready\n") == b"ready\n"
            client.sendall(data)
            assert rest(client) == data
        assert server.wait() == 0


@pytest.mark.parametrize("text", [b"one\ntwo\n", b"one\ntwo"])
def test_client_end_is_the_end_of_input(text: bytes) -> None:
    """The client's end ends the input of a program that reads lines, also within a line."""
    with listen("stty -echo; echo ready; wc -lc; exit 3", "--shell") as server, dial(server.address()) as client:
        received(client, rb"ready\r\n")
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        assert rest(client).split() == [b"%d" % text.count(b"\n"), b"%d" % len(text)]
        assert server.wait() == 3


def test_ctrl_c_is_a_signal_for_the_foreground() -> None:
    """The byte 3 interrupts the program in the foreground, whose shell goes on."""
    needs("bash")
    with listen("bash --norc --noprofile -i", env={"PS1": "% "}) as server, dial(server.address()) as client:
        received(client, rb"% ")
        client.sendall(b"sh -c 'echo star''ted; exec sleep 1000'\n")
        received(client, rb"started")
        client.sendall(b"\x03")
        received(client, rb"% ")
        client.sendall(b"echo $?-$((40 + 2)); exit 9\n")
        received(client, rb"130-42")
        rest(client)
        assert server.wait() == 9


def test_hang_up_when_the_client_is_lost(tmp_path: Path) -> None:
    """A reset hangs the terminal up: the child gets SIGHUP, and no child is left."""
    note = tmp_path / "note"
    command = f"trap 'echo hung up > {note}; exit 0' HUP; echo $$; while :; do read line; done"
    with listen(command, "--shell", "--keep") as server:
        client = dial(server.address())
        pid = int(received(client, rb"\d+\r\n"))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        handle = _watch(pid)
        if handle is not None:
            assert _ended(handle)
        assert server.stop() == 0
    assert note.read_text() == "hung up\n"


def _watch(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None  # it has ended already


def _ended(handle: int) -> bool:
    import select

    poller = select.poll()
    poller.register(handle, select.POLLIN)
    try:
        return bool(poller.poll(PATIENCE * 1000))
    finally:
        os.close(handle)


def test_stopped_server_ends_a_child_that_ignores_hang_up() -> None:
    """A child that ignores SIGHUP and SIGTERM is killed; the server ends."""
    with listen("trap '' HUP TERM; echo $$; while :; do sleep 1000; done", "--shell", "--keep") as server:
        with dial(server.address()) as client:
            pid = int(received(client, rb"\d+\r\n"))
            handle = _watch(pid)
            assert handle is not None
            server.process.terminate()
            server.process.terminate()
            server.wait()
            assert _ended(handle)


def test_child_that_dies_ends_the_connection() -> None:
    """What a killed child wrote arrives first; its status is ours."""
    with listen("printf %05000d 7; kill -9 $$", "--shell") as server, dial(server.address()) as client:
        assert rest(client) == b"7".rjust(5000, b"0")
        assert server.wait() == 137


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc/self/fd")
@pytest.mark.parametrize("switch", [("--pty",), ()])
def test_no_descriptor_leaks_into_the_child(switch: tuple[str, ...]) -> None:
    """The child has its three descriptors only, also where the command itself inherited more."""
    given, other = os.pipe()
    try:
        command = ("listen", "tcp://127.0.0.1:0", "--exec", "ls /proc/self/fd", *switch, "--keep")
        with socketkit(*command, pass_fds=(given, other)) as server:
            with dial(server.address()), dial(server.address()) as client:
                assert rest(client).split() == [b"0", b"1", b"2", b"3"]  # 3 is the folder that `ls` reads
    finally:
        os.close(given)
        os.close(other)


def test_connect_runs_its_program_at_a_terminal_of_our_size() -> None:
    """`connect --exec --pty`: the terminal has the size of ours; the peer's end ends the input; the status is ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (33, 111))
        command = "stty -echo; stty size; cat; exit 4"
        with socketkit("connect", address, "--exec", command, "--shell", "--pty", stdin=slave) as program:
            os.close(slave)
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                assert received(peer, rb"\n") == b"33 111\r\n"
                peer.sendall(b"a line\n")
                received(peer, rb"a line\r\n")
                peer.shutdown(socket.SHUT_WR)
                assert rest(peer) == b""
            assert program.wait() == 4
        os.close(master)


def test_socat_at_its_terminal() -> None:
    """A client of socat drives a shell to its end."""
    socat = needs("socat")
    with listen("sh", env={"PS1": "", "PS2": ""}) as server:
        address = server.address()
        words = [socat, "-t10", "-", f"TCP:{address.host}:{address.port}"]
        done = subprocess.run(words, input=b"tty; exit 6\n", capture_output=True, timeout=PATIENCE)
        assert b"/dev/pts/" in done.stdout
        assert server.wait() == 6


def test_what_cannot_be_run() -> None:
    """A program that is not there is said at once; --pty without --exec is refused."""
    with listen("/nowhere/x") as server:
        assert (server.wait(), len(server.stderr_lines)) == (127, 1)
    for verb in ("listen", "connect"):
        with socketkit(verb, "tcp://127.0.0.1:1", "--pty") as program:
            assert (program.wait(), len(program.stderr_lines)) == (2, 1)
            assert "--exec COMMAND" in program.stderr_lines[0]
