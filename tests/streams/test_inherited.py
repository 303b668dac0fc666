"""Descriptors, standard input and output and children are dialled and served like any address, on every engine."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from socketkit import connect, listen, serve
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import ClosedError, ConnectError, ListenError
from socketkit.events import Listening
from socketkit.framing import parse
from socketkit.server.server import Server
from socketkit.sockets import systemd
from socketkit.sockets.systemd import InheritedDescriptor
from support.connections import read_all
from support.programs import PATIENCE, Program, needs, socketkit
from support.recorder import Recorder
from support.streams import open_descriptors


def talk_to(engine: Engine, address: str, talk: Callable[[Connection], Coroutine[Any, Any, None]]) -> Connection:
    """Dial, talk, close."""

    async def main() -> Connection:
        place = Address.parse(address)
        connection = await open_connection(engine, place, parse("lines"), Options.make(dict(place.options)))
        async with connection:
            await talk(connection)
        return connection

    return engine.run(main())


async def echo(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message)


def serve_at(engine: Engine, *addresses: str, talk: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    """Serve the echo; talk; close."""

    async def main() -> None:
        places = [(Address.parse(address), Options(), parse("lines")) for address in addresses]
        server = Server(echo, places, engine=engine, grace=1.0)
        async with server:
            await talk(server)

    engine.run(main())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket that somebody else has opened, and that waits."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def ask(address: Any, family: int = socket.AF_INET) -> bytes:
    """What an echo server of lines answers to a client of the standard library."""
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        client.connect(address)
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def test_child_conversation_and_status(engine: Engine) -> None:
    """A conversation with a child and its status."""

    async def talk(connection: Connection) -> None:
        assert connection.child_status is None
        await connection.send("привет")
        assert await connection.receive() == "привет"
        assert str(connection.peer) == "exec:sh -c 'cat; exit 4'"
        assert str(connection.local) == "unix://unnamed"

    assert talk_to(engine, "exec:sh -c 'cat; exit 4'", talk).child_status == 4


def test_plain_code_talks_to_a_child_too() -> None:
    with connect("exec:sort -r", framing="lines") as connection:
        connection.send_many(["a", "c", "b"])
        connection.send_eof()
        assert list(connection) == ["c", "b", "a"]
    assert connection.child_status == 0
    with pytest.raises(AttributeError, match="there is no socket under exec:sort -r"):
        connection.socket  # noqa: B018


@pytest.mark.parametrize(
    ("command", "number", "reason"),
    [
        ("/nowhere/x", errno.ENOENT, "there is no such program"),
        ("/etc/passwd", errno.EACCES, "the file is not executable, or this user has no right to run it"),
    ],
)
def test_unrunnable_command_says_why(command: str, number: int, reason: str) -> None:
    """A command that cannot be run says why."""
    with pytest.raises(ConnectError, match=rf"cannot run exec:{command}: .*{reason}") as caught:
        connect(f"exec:{command}").open()
    assert caught.value.errno == number
    assert caught.value.attempts[0].address == f"exec:{command}"


def test_connected_socket_is_adopted(engine: Engine) -> None:
    """A connected socket is talked over and belongs to the connection."""
    near, far = socket.socketpair()
    descriptor = near.detach()

    async def talk(connection: Connection) -> None:
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK  # it may be shared
        await connection.send("hello")
        await connection.flush()
        assert far.recv(100) == b"hello\n"
        far.sendall(b"there\n")
        assert await connection.receive() == "there"
        assert connection.socket.family == socket.AF_UNIX
        assert connection.peer_credentials is not None
        assert connection.peer_credentials.pid == os.getpid()

    talk_to(engine, f"fd://{descriptor}", talk)
    assert far.recv(100) == b""
    far.close()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_pipe_reading_end(engine: Engine) -> None:
    """A pipe has one direction and ends with its writer."""
    source, sink = os.pipe()

    async def talk(connection: Connection) -> None:
        os.write(sink, b"one\ntwo\n")
        os.close(sink)
        assert [message async for message in connection] == ["one", "two"]
        with pytest.raises(ClosedError, match=rf"sending to fd://{source}: it can only be read"):
            await connection.send("back")  # where the engine blocks it is told here
            await connection.flush()

    talk_to(engine, f"fd://{source}", talk)


def test_pipe_writing_end(engine: Engine) -> None:
    """The writing end of a pipe brings nothing."""
    source, sink = os.pipe()

    async def talk(connection: Connection) -> None:
        assert [message async for message in connection] == []
        await connection.send("there")

    talk_to(engine, f"fd://{sink}", talk)
    assert os.read(source, 100) == b"there\n"
    assert os.read(source, 100) == b""
    os.close(source)


def test_a_file_is_read_to_its_end(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\ntwo")

    async def talk(connection: Connection) -> None:
        assert [message async for message in connection] == ["one", "two"]

    talk_to(engine, f"fd://{os.open(tmp_path / 'f', os.O_RDONLY)}", talk)


def test_both_sides_of_a_terminal(engine: Engine) -> None:
    """Opening the master anew would give another terminal."""
    master, slave = pty.openpty()

    async def talk(connection: Connection) -> None:
        os.write(slave, b"from the program\n")
        assert await connection.receive() == "from the program"

    talk_to(engine, f"fd://{master}", talk)
    os.close(slave)


def test_bad_descriptor_is_named(listener: socket.socket) -> None:
    """A descriptor that is not there or not to be dialled says so."""
    with pytest.raises(ConnectError, match=r"fd://9999: Bad file descriptor \(EBADF\): the descriptor is not open"):
        connect("fd://9999").open()
    with pytest.raises(ConnectError, match="it is a listening or unconnected socket: serve it instead"):
        connect(f"fd://{listener.fileno()}").open()
    with bound_datagrams(socket.AF_INET, ("127.0.0.1", 0)) as datagrams:
        with pytest.raises(ConnectError, match="it is a listening or unconnected socket: serve it instead"):
            connect(f"fd://{datagrams.fileno()}").open()
    with socket.socket() as lonely:
        with pytest.raises(ConnectError, match="ENOTCONN"):
            connect(f"fd://{lonely.fileno()}").open()


def test_inherited_listener_stays_open(engine: Engine, listener: socket.socket) -> None:
    """A listening socket is served and left to its owner."""
    host, port = listener.getsockname()

    async def talk(server: Server) -> None:
        assert list(map(str, server.addresses)) == [f"tcp://{host}:{port}"]
        assert await engine.run_in_thread(lambda: ask((host, port)), deadline=engine.now() + PATIENCE) == b"hello\n"

    serve_at(engine, f"fd://{listener.fileno()}", talk=talk)
    with socket.create_connection((host, port)) as late:  # its owner still listens
        listener.setblocking(True)
        accepted, _ = listener.accept()
        accepted.close()
        assert late.recv(1) == b""


def test_inherited_socket_file_kept(engine: Engine, tmp_path: Path) -> None:
    """An inherited socket file is never removed."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        async def talk(server: Server) -> None:
            assert str(server.addresses[0]) == f"unix://{path}"
            answer = await engine.run_in_thread(lambda: ask(path, socket.AF_UNIX), deadline=engine.now() + PATIENCE)
            assert answer == b"hello\n"

        serve_at(engine, f"fd://{listener.fileno()}", talk=talk)
        assert os.path.exists(path)


def test_suspend_resume_same_socket(engine: Engine, listener: socket.socket) -> None:
    """Suspended and resumed it is the same socket."""

    async def talk(server: Server) -> None:
        server.suspend()
        await server.resume()
        name = listener.getsockname()
        assert await engine.run_in_thread(lambda: ask(name), deadline=engine.now() + PATIENCE) == b"hello\n"

    serve_at(engine, f"fd://{listener.fileno()}", talk=talk)


def bound_datagrams(family: int, name: Any) -> socket.socket:
    """A socket at which datagrams come, opened by somebody else."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(name)
    return sock


def ask_by_datagram(name: Any, family: int = socket.AF_INET) -> bytes:
    """What an echo server of lines answers to one datagram."""
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
        client.connect(name)
        client.send(b"hello\n")
        return client.recv(100)


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
def test_inherited_datagram_socket_served(engine: Engine, kind: str, tmp_path: Path) -> None:
    """A bound datagram socket is served and left to its owner."""
    path = str(tmp_path / "s")
    family, name = (socket.AF_INET, ("127.0.0.1", 0)) if kind == "udp" else (socket.AF_UNIX, path)
    with bound_datagrams(family, name) as inherited:
        name = inherited.getsockname()

        async def talk(server: Server) -> None:
            assert server.addresses[0].scheme == kind
            for _ in range(2):
                answer = await engine.run_in_thread(
                    lambda: ask_by_datagram(name, family), deadline=engine.now() + PATIENCE
                )
                assert answer == b"hello\n"
                server.suspend()
                await server.resume()

        serve_at(engine, f"fd://{inherited.fileno()}", talk=talk)
        assert kind == "udp" or os.path.exists(path)
        with socket.socket(family, socket.SOCK_DGRAM) as late:  # its owner still receives
            late.sendto(b"late", name)
        inherited.setblocking(True)
        inherited.settimeout(PATIENCE)
        assert inherited.recv(100) == b"late"


def test_connected_datagram_socket_dialled(engine: Engine) -> None:
    """A connected datagram socket is dialled with its boundaries."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def talk(connection: Connection) -> None:
        far.send(b"one\ntwo")
        assert [await connection.receive(), await connection.receive()] == ["one", "two"]
        await connection.send("answer")

    talk_to(engine, f"fd://{near.detach()}", talk)
    assert far.recv(100) == b"answer\n"
    far.close()


def test_connected_descriptor_served_once(engine: Engine) -> None:
    """A connected descriptor is served as the only client."""
    near, far = socket.socketpair()
    far.sendall(b"hello\n")
    far.shutdown(socket.SHUT_WR)

    async def talk(server: Server) -> None:
        await server.wait_closed()  # by itself, as nobody more can come

    serve_at(engine, f"fd://{near.detach()}", talk=talk)
    assert far.makefile("rb").read() == b"hello\n"
    far.close()


def test_inherited_backlog_limit_reported() -> None:
    """The bound of an inherited backlog is reported."""
    with socket.create_server(("127.0.0.1", 0), backlog=7) as opened:
        recorder = Recorder()
        with listen(f"fd://{opened.fileno()}", observer=recorder):
            pass
    assert [event.backlog for event in recorder.of(Listening)] == [7 if sys.platform == "linux" else 0]


def test_exhausted_listener_says_so() -> None:
    """A listener with one client says that he has come."""
    near, far = socket.socketpair()
    with listen(f"fd://{near.detach()}", framing="lines") as listener:
        assert listener.pending() == 1
        with listener.accept() as connection:
            far.sendall(b"hello\n")
            assert connection.receive() == "hello"
        assert listener.pending() == 0
        with pytest.raises(ClosedError, match="serves one connection, which was accepted"):
            listener.accept()
    far.close()


def test_unaccepted_single_stream_closed() -> None:
    """An only client that no one accepts is let go."""
    near, far = socket.socketpair()
    before = open_descriptors()
    with listen(f"fd://{near.detach()}"):
        pass
    assert far.recv(1) == b""
    far.close()
    assert open_descriptors() < before


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[socket.socket]]]:
    """Passes sockets by name, as a service manager does; real ones are passed in the tests of processes below."""
    opened: list[socket.socket] = []

    def passes(*names: str) -> list[socket.socket]:
        opened.extend(socket.create_server(("127.0.0.1", 0)) for _ in names)
        told = tuple(InheritedDescriptor(sock.fileno(), name) for sock, name in zip(opened, names, strict=True))
        monkeypatch.setattr(systemd, "_taken", told)
        return opened

    yield passes
    for sock in opened:
        sock.close()


def test_all_that_were_passed_are_served(engine: Engine, manager: Callable[..., list[socket.socket]]) -> None:
    ports = [sock.getsockname()[1] for sock in manager("web", "tls", "web")]

    async def talk(server: Server) -> None:
        assert [address.port for address in server.addresses] == ports

    serve_at(engine, "systemd:", talk=talk)


def test_those_of_a_name_are_served(engine: Engine, manager: Callable[..., list[socket.socket]]) -> None:
    ports = [sock.getsockname()[1] for sock in manager("web", "tls", "web")]

    async def talk(server: Server) -> None:
        assert [address.port for address in server.addresses] == [ports[0], ports[2], ports[1]]

    serve_at(engine, "systemd:web", "systemd:tls", talk=talk)


def test_unknown_name_lists_passed(manager: Callable[..., Any]) -> None:
    """A name that was not passed is refused with those that were."""
    with pytest.raises(ListenError, match="no socket was passed to this process"):
        listen("systemd:").open()
    manager("web", "tls")
    with pytest.raises(ListenError, match=r"cannot serve systemd:ssh: no socket of this name .* there are: tls, web"):
        listen("systemd:ssh").open()


ACTIVATE = """
import os, sys
if sys.argv[1] == "us":
    os.environ["LISTEN_PID"] = str(os.getpid())
os.dup2(int(sys.argv[2]), 3)
os.execv(sys.executable, [sys.executable, "-m", "socketkit", *sys.argv[3:]])
"""


def activated(listener: socket.socket, meant: str, *arguments: str, **variables: str) -> Program:
    """Our command as a service manager starts it: the socket is descriptor 3, and LISTEN_PID says who is meant."""
    listener.set_inheritable(True)
    number = str(listener.fileno())
    return Program(
        *(sys.executable, "-c", ACTIVATE, meant, number, *arguments),
        pass_fds=[listener.fileno()],
        env={"LISTEN_FDS": "1", **variables},
    )


def test_program_serves_passed_socket(listener: socket.socket) -> None:
    """A process serves the socket that it is started with."""
    with activated(listener, "us", "echo", "systemd:web", "--framing", "lines", LISTEN_FDNAMES="web") as server:
        assert server.address().port == listener.getsockname()[1]
        assert ask(listener.getsockname()) == b"hello\n"
        assert server.stop() == 0
    with socket.create_connection(listener.getsockname()):
        pass  # the manager listens still


def test_program_ignores_other_pid(listener: socket.socket) -> None:
    """A process ignores what is meant for another."""
    with activated(listener, "them", "echo", "systemd:", LISTEN_PID="1") as server:
        assert server.wait() == 3
        assert "no socket was passed to this process (LISTEN_FDS, LISTEN_PID)" in server.stderr_lines[0]


def test_program_serves_passed_connection() -> None:
    """As inetd starts it, and systemd with Accept=yes."""
    near, far = socket.socketpair()
    with near, far, activated(near, "us", "echo", "systemd:") as server:
        near.close()
        far.sendall(b"hello")
        far.shutdown(socket.SHUT_WR)
        assert far.makefile("rb").read() == b"hello"
        assert server.wait() == 0
        assert server.stderr_lines == []


def test_systemd_itself_activates_us() -> None:
    activate = needs("systemd-socket-activate")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "socketkit", "echo", "systemd:echo", "--framing", "lines")
    with Program(activate, "-l", f"127.0.0.1:{port}", "--fdname=echo", *command) as manager:
        manager.wait_line("Listening on")
        assert ask(("127.0.0.1", port)) == b"hello\n"
        assert manager.address().port == port


@pytest.mark.parametrize("address", ["-", "stdio:"])
def test_the_command_echoes_its_own_input(address: str, engine_name: str) -> None:
    with socketkit("echo", address, "--engine", engine_name) as program:
        assert program.communicate(b"hello\n" * 1000) == b"hello\n" * 1000
        assert program.wait() == 0
        assert program.stderr_lines == []


SHARED = """
import asyncio, sys
from socketkit import connect, engines
async def talk():
    async with connect("stdio:", framing="lines") as connection:
        await connection.send(await connection.receive())
        await connection.flush()
        input()
engine = engines.make(sys.argv[1])
if engine.blocks:
    with connect("stdio:", framing="lines") as connection:
        connection.send(connection.receive())
        input()
else:
    engine.run(talk())
"""


def test_shared_descriptor_stays_blocking(engine_name: str) -> None:
    """A socket in the place of both, which a parent holds too; looked at in the middle of the conversation."""
    near, far = socket.socketpair()
    with near, far:
        program = subprocess.Popen([sys.executable, "-c", SHARED, engine_name], stdin=near, stdout=near)
        far.sendall(b"hello\n")
        assert far.recv(100) == b"hello\n"
        assert not fcntl.fcntl(near.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
        far.sendall(b"go\n")
        assert program.wait(PATIENCE) == 0
        assert not fcntl.fcntl(near.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK


def test_eof_seen_while_program_lives() -> None:
    """The end of our direction is seen though the program lives on."""
    code = (
        "from socketkit import connect\n"
        "with connect('stdio:', framing='lines') as connection:\n"
        "    connection.send('last')\n"
        "    connection.send_eof()\n"
        "    assert connection.receive() == 'still heard'\n"
        "print('goes nowhere')\n"
    )
    with Program(sys.executable, "-c", code) as program:
        assert program.process.stdin is not None and program.process.stdout is not None
        assert program.process.stdout.read() == b"last\n"
        program.process.stdin.write(b"still heard\n")
        program.process.stdin.flush()
        assert program.wait() == 0


def test_stdio_server_ends_with_connection() -> None:
    """Serving standard input ends with the conversation."""
    code = (
        "from socketkit import serve\n"
        "def talk(connection):\n"
        "    for message in connection:\n"
        "        connection.send(message.upper())\n"
        "serve(talk, 'stdio:', framing='lines').run()\n"
    )
    with Program(sys.executable, "-c", code) as program:
        assert program.communicate(b"one\ntwo\n") == b"ONE\nTWO\n"
        assert program.wait() == 0


@pytest.mark.parametrize(
    ("family", "lists", "is_admitted"),
    [
        ("inet", ["--deny", "127.0.0.0/8"], False),
        ("inet", ["--deny", "10.0.0.0/8"], True),
        ("inet", ["--allow", "127.0.0.1"], True),
        ("inet", ["--allow", "unix"], False),
        ("unix", ["--deny", "unix"], False),
        ("unix", ["--allow", "unix"], True),
        ("unix", ["--allow", "0.0.0.0/0,::/0"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_lists_judge_a_socket_at_standard_input(family: str, lists: list[str], is_admitted: bool) -> None:
    """As inetd(8) starts a server: its peer is that of the socket."""
    if family == "unix":
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
    with near, far:
        command = [sys.executable, "-m", "socketkit", "echo", "stdio:", *lists]
        server = subprocess.Popen(command, stdin=far, stdout=far, stderr=subprocess.PIPE)
        far.close()
        near.settimeout(PATIENCE)
        near.sendall(b"hello")
        near.shutdown(socket.SHUT_WR)
        try:
            answer = read_all(near)
        except ConnectionResetError:
            answer = b""
        _, told = server.communicate(timeout=PATIENCE)
    assert answer == (b"hello" if is_admitted else b""), told


def test_stdio_cannot_be_both_ends() -> None:
    """Standard input is not the other end too."""
    for verb in ("connect", "listen"):
        with socketkit(verb, "-") as program:
            assert program.wait() == 2
            assert "standard input and output are this end of the conversation" in program.stderr_lines[0]


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        ("cat", b"hello", 0),
        ("sh -c 'cat; exit 7'", b"hello", 7),
        ("sh -c 'cat >/dev/null; kill -9 $$'", b"", 137),
        ("/nowhere/x", b"", 127),
        ("/etc/passwd", b"", 126),
        ("sh -c 'cat >/dev/null; sleep 0.1; printf late'", b"late", 0),
        ("sh -c 'exec <&-; printf early; exit 9'", b"early", 9),
    ],
)
def test_child_status_is_command_status(command: str, output: bytes, status: int) -> None:
    """The status of the child is the status of the command."""
    with socketkit("connect", f"exec:{command}") as program:
        assert program.communicate(b"hello") == output
        assert program.wait() == status
        assert len(program.stderr_lines) == (status in (126, 127))


def test_signal_ends_child_too() -> None:
    """A signal to the command ends its child too."""
    with socketkit("connect", "exec:sh -c 'echo $$; exec sleep 60'") as program:
        assert program.process.stdout is not None
        pid = int(program.process.stdout.readline())
        assert program.stop() == 143
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_leave_no_zombie() -> None:
    async def main() -> None:
        async def one(number: int) -> str:
            async with connect("exec:cat", framing="lines") as connection:
                await connection.send(str(number))
                return await connection.receive()  # type: ignore[no-any-return]

        said = await asyncio.gather(*map(one, range(100)))
        assert said == [str(number) for number in range(100)]

    asyncio.run(main())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_child_can_be_served_too() -> None:
    """A program at the other end of a server's only conversation."""
    heard: list[str] = []
    done = threading.Event()

    def talk(connection: Any) -> None:
        heard.extend(connection)
        done.set()

    serve(talk, "exec:printf 'one\\ntwo\\n'", framing="lines").run()
    assert done.is_set()
    assert heard == ["one", "two"]
