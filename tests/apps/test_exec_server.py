"""A child a caller: heard to its end, told of the caller, ended with the conversation."""

from __future__ import annotations

import os
import select
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from socketkit import Address
from support.programs import PATIENCE, Program, needs, socketkit
from support.streams import reset


def dial(address: Address) -> socket.socket:
    """A client of the standard library."""
    if address.path:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(address.path)
        return client
    return socket.create_connection((address.host, address.port or 0), timeout=PATIENCE)


def ask(address: Address, data: bytes) -> bytes:
    """Say it all, end, and hear it all."""
    with dial(address) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def listen(command: str, *arguments: str) -> Program:
    return socketkit("listen", "tcp://127.0.0.1:0", "--exec", command, *arguments)


def test_eight_clients_eight_answers(engine_name: str) -> None:
    """Eight clients at once get eight answers."""
    with listen("sh -c 'cat; sleep 0.05; echo end'", "--keep", "--engine", engine_name) as server:
        address = server.address()
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda number: ask(address, b"%d\n" % number), range(8)))
        assert answers == [b"%d\nend\n" % number for number in range(8)]
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("command", "said", "heard", "status"),
    [
        ("sort", b"b\na\n", b"a\nb\n", 0),  # which says nothing before the end of its input
        ("sh -c 'cat >/dev/null; sleep 0.7; echo late'", b"x", b"late\n", 0),
        ("sh -c 'echo early; exit 7'", b"", b"early\n", 7),
        ("sh -c 'kill -9 $$'", b"", b"", 137),
    ],
)
def test_first_client_and_child_status(command: str, said: bytes, heard: bytes, status: int) -> None:
    """The first client is received out and the status is the childs."""
    with listen(command) as server:
        assert ask(server.address(), said) == heard
        assert server.wait() == status
        assert len(server.stderr_lines) == 1


def test_child_that_ignores_input() -> None:
    """A program that does not read its input has not failed."""
    with listen("echo done") as server, dial(server.address()) as client:
        client.sendall(b"x" * 1_000)
        assert client.makefile("rb").read() == b"done\n"  # though we have not ended
        assert server.wait() == 0


def test_unrunnable_child_before_listening() -> None:
    """What cannot be run is said before anybody calls."""
    for command, status in (("/nowhere/x", 127), ("/etc/passwd", 126), ("sh -c 'x", 2)):
        with listen(command) as server:
            assert server.wait() == status
            assert "listening" not in " ".join(server.stderr_lines)


def test_terminal_options_refused_with_exec() -> None:
    """What is said of a person is refused beside a program."""
    with listen("cat", "--crlf") as server:
        assert server.wait() == 2
        assert "--crlf is for a terminal or a pipe; with --exec a program has the connection" in server.stderr_lines[0]


def test_a_child_learns_who_calls() -> None:
    with listen("env") as server, dial(server.address()) as client:
        host, port = client.getsockname()
        local = client.getpeername()[1]
        told = dict(line.split("=", 1) for line in client.makefile("r").read().splitlines() if "=" in line)
    assert told["SOCKETKIT_PEER"] == f"tcp://{host}:{port}"
    assert told["SOCKETKIT_LOCAL"] == f"tcp://{host}:{local}"
    assert told["PROTO"] == "TCP"
    for name in ("TCPREMOTEPORT", "REMOTE_PORT", "NCAT_REMOTE_PORT", "SOCAT_PEERPORT"):
        assert told[name] == str(port)
    for name in ("TCPREMOTEIP", "REMOTE_ADDR", "NCAT_REMOTE_ADDR", "SOCAT_PEERADDR", "TCPLOCALIP"):
        assert told[name] == host
    for name in ("TCPLOCALPORT", "NCAT_LOCAL_PORT", "SOCAT_SOCKPORT"):
        assert told[name] == str(local)


def test_child_gets_unix_peer_variables(tmp_path: Path) -> None:
    """A child learns who calls over a socket file."""
    with socketkit("listen", str(tmp_path / "s"), "--exec", "env") as server, dial(server.address()) as client:
        told = dict(line.split("=", 1) for line in client.makefile("r").read().splitlines() if "=" in line)
    assert (told["PROTO"], told["IPCLOCALPATH"]) == ("IPC", str(tmp_path / "s"))
    assert (told["SOCKETKIT_PEER_PID"], told["IPCREMOTEEUID"]) == (str(os.getpid()), str(os.getuid()))


def test_lost_client_ends_child() -> None:
    """The child of a client who is lost is ended."""
    with listen("sh -c 'echo $$; exec sleep 60'", "--keep") as server:
        client = dial(server.address())
        pid = int(client.recv(100))
        handle = os.pidfd_open(pid)
        reset(client)
        assert select.select([handle], [], [], PATIENCE)[0]
        os.close(handle)
        assert server.stop() == 0


def test_stop_ends_remaining_children() -> None:
    """A stop ends the children that are left."""
    with listen("sh -c 'echo $$; trap \"\" HUP; sleep 60'", "--keep") as server:
        client = dial(server.address())
        pid = int(client.recv(100))
        server.process.terminate()
        server.process.terminate()
        assert server.wait() in (0, 143)
        client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_socat_calls_a_program() -> None:
    socat = needs("socat")
    with listen("sort -r", "--keep") as server:
        address = server.address()
        with Program(socat, "-t10", "-", f"TCP:{address.host}:{address.port}") as caller:
            assert caller.communicate(b"a\nb\n") == b"b\na\n"


def test_we_call_a_program_that_socat_runs() -> None:
    socat = needs("socat")
    with Program(socat, "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1", "EXEC:sort -r,pipes") as server:
        port = server.wait_line("listening on").rpartition(":")[2]
        with socketkit("connect", f"tcp://127.0.0.1:{port}") as caller:
            assert caller.communicate(b"a\nb\n") == b"b\na\n"
            assert caller.wait() == 0


def test_abstract_names_are_those_of_socat() -> None:
    socat = needs("socat")
    name = f"socketkit-test-{os.getpid()}"
    with socketkit("echo", f"@{name}") as server:
        server.wait_line("listening")
        with Program(socat, "-t10", "-", f"ABSTRACT-CONNECT:{name}") as caller:
            assert caller.communicate(b"hello") == b"hello"


def test_inherited_connection_variables_removed() -> None:
    """A program is not given variables that describe another connection, which the server has inherited."""
    stale = {"IPCREMOTEEUID": "0", "SOCKETKIT_PEER_UID": "0", "IPCLOCALPATH": "/x", "TCPREMOTEHOST": "x", "KEPT": "1"}
    with (
        socketkit("listen", "tcp://127.0.0.1:0", "--exec", "env", env=stale) as server,
        dial(server.address()) as client,
    ):
        told = dict(line.split("=", 1) for line in client.makefile("r").read().splitlines() if "=" in line)
    assert told["KEPT"] == "1" and told["PROTO"] == "TCP"
    assert not told.keys() & (stale.keys() - {"KEPT"})


def test_abstract_name_with_zero_byte() -> None:
    """A name that an environment cannot hold is left out; the address tells it, escaped."""
    name = f"socketkit-{os.getpid()}\0b"
    with socketkit("listen", f"unix://@{name}".replace("\0", "%00"), "--exec", "env") as server:
        server.address()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect("\0" + name)
            told = dict(line.split("=", 1) for line in client.makefile("r").read().splitlines() if "=" in line)
    assert told["SOCKETKIT_LOCAL"].endswith("%00b")
    assert "IPCLOCALPATH" not in told


def test_proto_of_udp() -> None:
    with socketkit("listen", "udp://127.0.0.1:0", "--exec", "sh -c 'echo $PROTO'") as server:
        address = server.address()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.connect((address.host, address.port))
            client.send(b"x")
            assert client.recv(100) == b"UDP\n"


def test_client_is_reset_when_no_program_starts() -> None:
    """Out of descriptors a client is reset, and the server prints one line for many clients."""
    script = f"ulimit -n 9; exec {sys.executable} -m socketkit listen tcp://127.0.0.1:0 --exec cat --keep"
    with Program("bash", "-c", script) as server:
        address = server.address()
        for _ in range(3):
            with pytest.raises(ConnectionResetError), dial(address) as client:
                client.recv(1)
        server.wait_line("clients are reset until a program can be started again")
        assert len([line for line in server.stderr_lines if "cannot run" in line]) == 1
        server.stop()
