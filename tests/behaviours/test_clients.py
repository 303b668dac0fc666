"""Many clients, and the sockets, files and ports that are left behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
from pathlib import Path

import pytest

from behaviours.peers import call, echoed, peer, read_all, read_exactly, until
from behaviours.tools import Tool
from socketkit import Address
from support.dead_ports import refusing_port
from support.programs import Program, free_port
from support.streams import reset

PLACES = ["tcp://127.0.0.1:0", "unix"]


def at(place: str, folder: Path) -> str:
    return f"unix://{folder}/s" if place == "unix" else place


def descriptors(program: Program) -> int:
    return len(os.listdir(f"/proc/{program.process.pid}/fd"))


@pytest.mark.parametrize("place", PLACES)
def test_14_two_clients_at_once(tool: Tool, place: str, tmp_path: Path) -> None:
    """Two clients are echoed at the same time."""
    with tool.serving("echo", at(place, tmp_path)) as server, call(server.address) as one, call(server.address) as two:
        for sock, data in ((two, b"second"), (one, b"first"), (two, b"again")):
            sock.sendall(data)
            assert read_exactly(sock, len(data)) == data


def test_15_a_listener_for_one(tool: Tool) -> None:
    """A listener for one client refuses a second, ends with the first, and leaves the port free."""
    with tool.serving("listen") as server:
        with call(server.address) as caller:
            caller.sendall(b"x")
            assert server.program.process.stdout is not None
            assert server.program.process.stdout.read(1) == b"x"
            with pytest.raises(ConnectionRefusedError):
                call(server.address).close()
        server.program.communicate()
        assert server.program.wait() == 0
    with tool.serving("listen", str(server.address)):
        pass


def test_16_two_peers_by_udp(tool: Tool) -> None:
    """Two UDP peers get separate answers from one server."""
    with tool.serving("echo", "udp://127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
        for turn in range(2):
            for number, sock in enumerate(socks):
                sock.settimeout(5)
                sock.connect((server.address.host, server.address.port))
                sock.send(b"%d of %d" % (turn, number))
            for number, sock in enumerate(socks):
                assert sock.recv(100) == b"%d of %d" % (turn, number)


@pytest.mark.slow
def test_17_no_more_clients_than_allowed(tool: Tool) -> None:
    """With a limit of two clients a third is not served until one has left."""

    def served(sock: socket.socket) -> bool:
        sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
        return False

    def served_anew() -> bool:
        with contextlib.suppress(OSError), call(server.address) as sock:
            return served(sock)
        return False

    with tool.serving("echo", most=2) as server, call(server.address) as one, call(server.address) as two:
        for sock in (one, two):
            sock.sendall(b"x")
            assert read_exactly(sock, 1) == b"x"
        assert not served_anew()
        reset(one)
        until(served_anew, "nobody new is served")


@pytest.mark.slow
def test_19_no_descriptor_leak_after_close(tool: Tool) -> None:
    """After 300 clients, some of them lost, a server has as many descriptors open as before."""
    with tool.serving("echo") as server:
        assert echoed(server.address)
        before = descriptors(server.program)
        for number in range(300):
            sock = call(server.address)
            sock.sendall(b"x")
            assert read_exactly(sock, 1) == b"x"  # none waits in a backlog, of which some tools have a short one
            if number % 3:
                sock.close()
            else:
                reset(sock)
        until(lambda: descriptors(server.program) <= before, f"more than {before} descriptors")
        assert echoed(server.address)


@pytest.mark.slow
@pytest.mark.parametrize("why", ["no target", "denied"])
def test_19_no_descriptor_leak_after_refusal(tool: Tool, why: str) -> None:
    """The same for a relay, for clients whose target is down, and for clients that are denied."""
    target = f"tcp://127.0.0.1:{refusing_port()}"
    wishes = {"deny": "127.0.0.1"} if why == "denied" else {}
    with tool.serving("relay", target=Address.parse(target), **wishes) as server:
        before = descriptors(server.program)
        for _ in range(100):
            with contextlib.suppress(OSError), call(server.address) as sock:
                read_all(sock)
        until(lambda: descriptors(server.program) <= before, f"more than {before} descriptors")


@pytest.mark.slow
def test_20_no_zombie_children(tool: Tool) -> None:
    """After 50 clients of a program no zombie process is left."""

    def children() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent = entry.read_text().rpartition(")")[2].split()[:2]
                if int(parent) == server.program.process.pid:
                    found.append(state)
        return found

    with tool.serving("listen", keep=True, exec=shutil.which("cat")) as server:
        for _ in range(50):
            assert echoed(server.address)
        until(lambda: children() == [], "children are left")


def test_21_socket_file_removed(tool: Tool, tmp_path: Path) -> None:
    """SIGTERM while listening removes the socket file, and a restart works at once."""
    for _ in range(2):
        with tool.serving("listen", f"unix://{tmp_path}/s") as server:
            server.program.stop(signal.SIGTERM)
        assert list(tmp_path.iterdir()) == []


def test_22_regular_file_left_alone(tool: Tool, tmp_path: Path) -> None:
    """A regular file at the socket's path is kept, and the message names it."""
    path = tmp_path / "precious"
    path.write_text("precious")
    with Program(*tool.command("listen", Address.parse(f"unix://{path}"), {})) as program:
        assert program.wait() > 0
        assert str(path) in "\n".join(program.stderr_lines)
    assert path.read_text() == "precious"


def test_23_a_dead_socket_file_is_replaced(tool: Tool, tmp_path: Path) -> None:
    """A stale socket file is replaced."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with tool.serving("echo", f"unix://{tmp_path}/s") as server:
        assert echoed(server.address)


def test_23_a_living_one_is_refused(tool: Tool, tmp_path: Path) -> None:
    """A live socket file is refused with a message, and continues to work."""
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(tmp_path / "s"))
        living.listen()
        with Program(*tool.command("listen", Address.parse(f"unix://{tmp_path}/s"), {})) as program:
            assert program.wait() > 0
            assert re.search("in use|EADDRINUSE", "\n".join(program.stderr_lines))
        call(Address.parse(f"unix://{tmp_path}/s")).close()


def test_23_foreign_socket_file_kept(tool: Tool, tmp_path: Path) -> None:
    """A socket file that another process has put at our path is not removed at our end."""
    with tool.serving("listen", f"unix://{tmp_path}/s") as server, socket.socket(socket.AF_UNIX) as other:
        (tmp_path / "s").unlink()
        other.bind(str(tmp_path / "s"))
        server.program.stop(signal.SIGTERM)
        assert stat.S_ISSOCK((tmp_path / "s").stat().st_mode)


def test_24_permissions_of_a_socket_file(tool: Tool, tmp_path: Path) -> None:
    """A socket file has the requested permissions from the moment it accepts connections."""
    options = {"preexec_fn": lambda: os.umask(0)}
    with tool.serving("listen", f"unix://{tmp_path}/s", options=options, mode="600"):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nobody", "refused"),
        ("missing", "No such file"),
        ("directory", "refused|directory"),
        ("file", "refused|not a socket"),
        ("datagrams", "wrong type|datagram"),
    ],
)
def test_25_connect_errors_are_specific(tool: Tool, place: str, words: str, tmp_path: Path) -> None:
    """Refused, no such file, a directory, a file, a datagram socket: a message of its own for each, and no crash."""
    path = tmp_path / place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        if place == "directory":
            path.mkdir()
        elif place == "file":
            path.touch()
        elif place == "datagrams":
            datagrams.bind(str(path))
        address = f"tcp://127.0.0.1:{refusing_port()}" if place == "nobody" else f"unix://{path}"
        with tool.calling(Address.parse(address)) as client:
            assert client.communicate(b"x") == b""
            assert client.wait() > 0
            assert re.search(words, "\n".join(client.stderr_lines))


def test_26_datagram_client_gets_answer(tool: Tool, tmp_path: Path) -> None:
    """A client over UNIX datagrams binds its own path, so that it can be answered, and removes it at the end."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(20)
        with tool.calling(Address.parse(f"unixgram://{path}")) as client:
            assert client.process.stdin is not None and client.process.stdout is not None
            client.process.stdin.write(b"question\n")
            client.process.stdin.flush()
            data, back = sock.recvfrom(100)
            assert data == b"question\n" and back
            sock.sendto(b"answer\n", back)
            assert client.process.stdout.readline() == b"answer\n"
            client.stop(signal.SIGTERM)
    name = back if isinstance(back, str) else back.decode(errors="replace")
    assert name.startswith("\0") or not os.path.exists(name)


def test_27_rebind_with_time_wait(tool: Tool) -> None:
    """A server that closed first can be restarted on its port at once (TIME_WAIT)."""
    with tool.serving("listen") as server, call(server.address) as caller:
        assert server.program.process.stdin is not None
        server.program.process.stdin.close()
        assert read_all(caller) == b""
        caller.close()
        server.program.wait()
    with tool.serving("listen", str(server.address)):
        pass


def test_27_no_accidental_port_sharing(tool: Tool) -> None:
    """A second server on the same port is refused with a message."""
    with tool.serving("listen") as server:
        with Program(*tool.command("listen", server.address, {})) as second:
            assert second.wait() > 0
            assert re.search("in use|EADDRINUSE", "\n".join(second.stderr_lines))


@pytest.mark.parametrize(("scheme", "four", "six"), [("tcp", True, True), ("tcp4", True, False), ("tcp6", False, True)])
def test_28_families(tool: Tool, scheme: str, four: bool, six: bool) -> None:
    """Listening on every interface accepts both families, IPv4 only or IPv6 only, as requested."""

    def accepted(host: str) -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((host, port), timeout=20).close()
            return True
        return False

    port = free_port()
    with tool.serving("listen", f"{scheme}://:{port}", keep=True):
        assert (accepted("127.0.0.1"), accepted("::1")) == (four, six)


def localhost_families() -> set[int]:
    return {row[0] for row in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_29_a_name_with_two_addresses(tool: Tool, host: str) -> None:
    """Of a name with addresses of both families, the one with a listener is used."""
    if len(localhost_families()) < 2:
        pytest.skip("localhost stands for one family on this system")
    place = f"tcp6://[{host}]:0" if ":" in host else f"tcp://{host}:0"
    with peer(lambda caller: caller.sendall(b"here"), place) as address:
        with tool.calling(Address.parse(f"tcp://localhost:{address.port}")) as client:
            assert client.communicate() == b"here"


@pytest.mark.parametrize("port", ["", "99999", "12x"])
def test_30_a_malformed_port(tool: Tool, port: str) -> None:
    """A missing, too large or invalid port: the exit status for usage, one line that quotes it, no traceback."""
    good = tool.command("connect", Address.parse("tcp://127.0.0.1:54321"), {})
    with Program(*(word.replace("54321", port) for word in good)) as program:
        assert program.communicate() == b""
        assert program.wait() == tool.statuses["usage"]
        assert len(program.stderr_lines) == 1 and port in program.stderr_lines[0]


def test_31_where_it_listens_is_told(tool: Tool) -> None:
    """With port 0 the chosen port is printed to standard error once connections are accepted."""
    loud = {} if tool.name == "socketkit" else {"loud": True}
    with Program(*tool.command("listen", Address.parse("tcp://127.0.0.1:0"), loud)) as program:

        def told() -> int:
            found = re.findall(
                r"(?i)listening on.*[ :](\d+)$|^listening .*:(\d+)$", "\n".join(program.stderr_lines), re.MULTILINE
            )
            return max((int(one or other) for one, other in found), default=0)

        until(lambda: told() > 0 or program.process.poll() is not None, f"no port, but {program.stderr_lines!r}")
        socket.create_connection(("127.0.0.1", told()), timeout=20).close()
