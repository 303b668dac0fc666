"""Where servers of ours meet each other and the system: one path, one port, one moment."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socketkit import connect, listen
from socketkit.blocking import BlockingListener
from socketkit.errors import ListenError
from socketkit.events import Bound, Listening
from support.programs import PATIENCE, Program, needs
from support.recorder import Recorder

SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


def leave_dead(path: Path) -> None:
    """A socket file at which nobody listens."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def race(count: int, start: Callable[[], BlockingListener]) -> tuple[list[BlockingListener], list[ListenError]]:
    """Start so many servers at once: those that listen, and how the others were refused."""
    gate = threading.Barrier(count)
    won: list[BlockingListener] = []
    lost: list[ListenError] = []

    def run() -> None:
        gate.wait()
        try:
            won.append(start())
        except ListenError as error:
            lost.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return won, lost


def test_of_servers_that_race_for_a_dead_file_exactly_one_wins(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"s{number}"
        leave_dead(path)
        won, lost = race(4, lambda: listen(f"unix:{path}", framing="lines").open())  # noqa: B023
        assert len(won) == 1
        assert len(lost) == 3
        assert won[0].pending() == 0  # those who looked whether it lives are no callers
        assert all("another program listens there (EADDRINUSE)" in str(error) for error in lost)
        with connect(f"unix:{path}", framing="lines") as near, won[0].accept(timeout=PATIENCE) as far:
            near.send("hello")
            assert far.receive() == "hello"
        won[0].close()
        assert os.listdir(tmp_path) == []  # the lock has left nothing behind either


def test_who_holds_the_lock_of_a_folder_for_long_keeps_nobody_from_serving(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with listen(f"unix:{tmp_path / 's'}") as listener:
        assert str(listener.addresses[0]) == f"unix://{tmp_path / 's'}"
    os.close(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a socket's mode is that of its file")
def test_a_narrow_mode_is_there_from_the_first_instant(tmp_path: Path) -> None:
    """As the calls say in which it is made: the mode is set before the bind, and nothing has to be taken back later."""
    strace = needs("strace")
    code = (
        "import os; os.umask(0)\n"
        "from socketkit import listen\n"
        f"with listen('unix:{tmp_path / 's'}', mode=0o600) as listener: pass\n"
    )
    calls = tmp_path / "calls"
    tracing = (strace, "-f", "-e", "trace=bind,fchmod,chmod,fchmodat,umask,listen", "-o", str(calls))
    with Program(*tracing, sys.executable, "-c", code) as program:
        if program.wait() != 0:
            pytest.skip(f"strace cannot trace here: {program.told[-1:]}")
    names = [line.split(maxsplit=1)[1].partition("(")[0] for line in calls.read_text().splitlines() if "(" in line]
    own = [name for name in names if name in ("fchmod", "bind", "listen", "chmod", "fchmodat")]
    assert own == ["fchmod", "bind", "listen"]


def test_whoever_looks_never_sees_a_wider_mode(tmp_path: Path) -> None:
    seen: set[int] = set()
    done = threading.Event()
    path = tmp_path / "s"

    def look() -> None:
        while not done.is_set():
            try:
                seen.add(stat.S_IMODE(path.lstat().st_mode))
            except FileNotFoundError:
                pass

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(100):
            with listen(f"unix:{path}", mode=0o600):
                seen.add(stat.S_IMODE(path.lstat().st_mode))
    finally:
        done.set()
        looker.join()
    assert seen == {0o600}


def _has_both_families() -> bool:
    try:
        with listen("tcp://:0") as listener:
            return len(listener.addresses) == 2
    except OSError:
        return False


@pytest.mark.skipif(not _has_both_families(), reason="this machine has one family")
def test_a_free_port_that_is_taken_in_the_other_family_is_asked_for_anew() -> None:
    """Somebody takes the second half between our two binds, more than once."""
    blocked: list[socket.socket] = []

    def take_the_other_half(event: Any) -> None:
        if isinstance(event, Bound) and len(blocked) < 3:
            host, _, port = event.local.removeprefix("tcp://").rpartition(":")
            other = socket.AF_INET if host.startswith("[") else socket.AF_INET6
            sock = socket.socket(other)
            sock.bind(("127.0.0.1" if other == socket.AF_INET else "::1", int(port)))
            sock.listen()
            blocked.append(sock)

    with listen("tcp://:0", observer=take_the_other_half) as listener:
        ports = {address.port for address in listener.addresses}
        assert len(listener.addresses) == 2
        assert len(ports) == 1
        assert len(blocked) == 3
        assert not ports & {sock.getsockname()[1] for sock in blocked}
    for sock in blocked:
        sock.close()


@pytest.mark.skipif(not SOMAXCONN.exists(), reason="only Linux tells its bound")
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_backlog_that_is_told_is_the_real_one(kind: str, tmp_path: Path) -> None:
    address = "tcp4://127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path / 's'}"
    largest = int(SOMAXCONN.read_text())
    for asked, real in ((None, min(largest, 65535)), (3, 3), (2_000_000_000, largest)):
        recorder = Recorder()
        with listen(address, backlog=asked, observer=recorder):
            pass
        assert [event.backlog for event in recorder.of(Listening)] == [real]


def test_the_credentials_of_a_caller_are_those_of_its_process(tmp_path: Path) -> None:
    code = f"from socketkit import connect\nwith connect('unix:{tmp_path / 's'}') as c: c.receive()"
    with listen(f"unix:{tmp_path / 's'}") as listener, Program(sys.executable, "-c", code) as program:
        with listener.accept(timeout=PATIENCE) as connection:
            credentials = connection.peer_credentials
            assert credentials is not None
            assert (credentials.pid, credentials.uid, credentials.gid) == (
                program.process.pid,
                os.getuid(),
                os.getgid(),
            )
            connection.send(b"go")
        assert connection.peer_credentials is None  # it is closed
    with listen("tcp4://127.0.0.1:0") as tcp, connect(tcp.addresses[0]) as near:
        assert near.peer_credentials is None


# --- virtual machines ------------------------------------------------------------------------------------------------


def test_a_virtual_machine_is_listened_for_at_a_port_that_the_system_chooses() -> None:
    try:
        socket.socket(getattr(socket, "AF_VSOCK", -1), socket.SOCK_STREAM).close()
    except OSError as error:
        pytest.skip(f"this system has no AF_VSOCK: {error}")
    with listen("vsock://:0") as listener:
        address = listener.addresses[0]
        assert (address.scheme, address.host) == ("vsock", "")
        assert address.port is not None and address.port > 1023


def test_a_conversation_inside_one_machine_by_vsock() -> None:
    try:
        with socket.socket(getattr(socket, "AF_VSOCK", -1), socket.SOCK_STREAM) as probe:
            probe.settimeout(0.2)
            probe.connect((1, 1))
    except ConnectionResetError:
        pass  # the loopback has answered that nobody listens
    except OSError as error:
        pytest.skip(f"this system has no loopback of AF_VSOCK (module vsock_loopback): {error}")
    with listen("vsock://:0", framing="lines") as listener:
        address = f"vsock://local:{listener.addresses[0].port}"
        with connect(address, framing="lines") as near, listener.accept(timeout=PATIENCE) as far:
            near.send("hello")
            assert far.receive() == "hello"
            assert str(near.peer) == f"vsock://1:{listener.addresses[0].port}"
