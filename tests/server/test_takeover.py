"""A new process takes the doors over from the old one, under load, and no caller is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from socketkit import Address, connect, engines, serve
from socketkit.config.options import Options
from socketkit.errors import BrokenError, ConnectError, EndOfStream, HandshakeError, ListenError, OptionError
from socketkit.server.bind import listen_over
from support.connections import PATIENCE
from support.programs import Program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="UNIX sockets")

SERVICE = """
import os, sys
from socketkit import serve

async def who(connection):
    async for message in connection:
        await connection.send(str(os.getpid()))

def told(addresses):
    for address in addresses:
        print("listening", address, file=sys.stderr, flush=True)

if __name__ == "__main__":
    takeover, engine, *addresses = sys.argv[1:]
    serve(who, *addresses, framing="lines", engine=engine, grace="5s", takeover=takeover).run(
        listening=told
    )
"""


@pytest.fixture
def start(tmp_path):
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    programs = []

    def start(*arguments):
        program = Program(sys.executable, str(script), f"unix://{tmp_path}/takeover", *arguments)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.__exit__()


def ask(address):
    with connect(address, framing="lines") as connection:
        connection.send("?")
        return connection.receive(timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["epoll", "asyncio", "blocking"])
def test_takeover_under_load(start, engine, tmp_path):
    """Under load no one is refused and no one goes unanswered."""
    from socketkit import engines

    if reason := engines.missing(engine):
        pytest.skip(reason)
    path = f"unix://{tmp_path}/s"
    program = start(engine, "tcp://127.0.0.1:0", path)
    addresses = [program.address(), Address.parse(path)]
    failures, answers = [], []
    over = threading.Event()

    def load(address):
        while not over.is_set():
            try:
                answers.append(ask(address))
            except (ConnectError, BrokenError, EndOfStream) as error:
                failures.append(error)

    threads = [threading.Thread(target=load, args=(address,)) for address in addresses * 2]
    for thread in threads:
        thread.start()
    pids = [str(program.process.pid)]
    try:
        for _ in range(2):
            successor = start(engine, "tcp://127.0.0.1:0", path)
            assert successor.address() == addresses[0], "the very same port, though any was asked for"
            assert program.wait() == 0, "it has drained, and ended by itself"
            program = successor
            pids.append(str(program.process.pid))
            so_far = len(answers)
            while len(answers) < so_far + 50:
                threading.Event().wait(0.001)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(answers) == set(pids)
    assert program.stop() == 0
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "takeover").exists()


def test_failed_successor_changes_nothing(start):
    """A successor that fails changes nothing."""
    program = start("poll", "tcp://127.0.0.1:0")
    address = program.address()
    failing = start("poll", "tcp://127.0.0.1:0", "tcp://192.0.2.1:1")  # not an address of this machine
    assert failing.wait() != 0
    assert ask(address) == str(program.process.pid)
    assert start("poll", "tcp://127.0.0.1:0").address() == address
    assert program.wait() == 0


def test_they_meet_at_a_unix_socket_only():
    async def handler(connection):
        pass

    with pytest.raises(OptionError, match="two processes meet at a UNIX socket"):
        serve(handler, "tcp://127.0.0.1:0", engine="poll", takeover="tcp://127.0.0.1:1").run()
    with pytest.raises(OptionError, match="leave `workers` out"):
        serve(handler, "tcp://127.0.0.1:0", takeover="unix:///x").run(workers=2)


def descriptors(*sockets):
    """Copies, as SCM_RIGHTS makes them."""
    return [os.dup(sock.fileno()) for sock in sockets]


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def taken_over(passed, place):
    """What `listen_over` makes of these descriptors: the addresses, or the error's text."""

    engine = engines.make("poll")

    async def main():
        try:
            listeners = await listen_over(engine, passed, Address.parse(place), Options())
        except ListenError as error:
            return str(error)
        addresses = [str(listener.address) for listener in listeners]
        for listener in listeners:
            listener.close()
        return addresses

    return engine.run(main())


def test_passed_socket_is_checked():
    """A passed descriptor is served only where it listens at the address that it was passed for."""
    with socket.create_server(("127.0.0.1", 0)) as right, socket.create_server(("127.0.0.1", 0)) as wrong:
        place = f"tcp://127.0.0.1:{right.getsockname()[1]}"
        assert taken_over(descriptors(right), place) == [place]
        assert taken_over(descriptors(right), "tcp://127.0.0.1:0") == [place]
        for bad, told in [
            (wrong, "listens at ('127.0.0.1', "),
            (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "does not listen"),
            (socket.socket(socket.AF_INET, socket.SOCK_STREAM), "does not listen"),
        ]:
            with bad:
                passed = descriptors(right, bad)
                text = taken_over(passed, place)
                assert text.startswith(f"cannot take over {place}: ") and told in text
                assert not any(map(is_open, passed))
        assert "listens at" in taken_over(descriptors(right), "tcp://127.0.0.2:0")


def test_passed_unix_socket_is_checked(tmp_path):
    """The same by the path."""
    right, wrong = str(tmp_path / "right"), str(tmp_path / "wrong")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(right)
        sock.listen()
        assert "listens at" in taken_over(descriptors(sock), f"unix://{wrong}")
        assert os.path.exists(right)
        assert taken_over(descriptors(sock), f"unix://{right}") == [f"unix://{right}"]
    assert not os.path.exists(right)  # it was taken over, and closed


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_predecessor_of_another_user_is_refused(engine):
    """A process of another user that listens at the meeting place is not trusted."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        place = f"{folder}/takeover"
        code = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); "
            "s.listen(); os.chmod(sys.argv[1], 0o666); print('ready', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as stranger:
            assert stranger.stdout.readline() == b"ready\n"

            async def main():
                async def handler(connection):
                    pass

                with pytest.raises(HandshakeError, match="uid 65534"):
                    async with serve(handler, "tcp4://127.0.0.1:0", takeover=f"unix://{place}", engine=engine):
                        pass

            engine.run(main())
            stranger.stdin.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"junk\n", "JSON is malformed"),
        (b'{"listeners":["tcp://127.0.0.1:1"]}\n', "it passed 0 sockets for 1 addresses"),
        (b"[]\n", "list indices"),
        (b"", "has ended the conversation"),
    ],
)
def test_predecessor_that_breaks_off(tmp_path, answer, told):
    """What is no predecessor, or one that dies, is one error; nothing listens then."""
    path = tmp_path / "takeover"
    with socket.socket(socket.AF_UNIX) as predecessor:
        predecessor.bind(str(path))
        predecessor.listen()

        def answers():
            peer, _ = predecessor.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        thread = threading.Thread(target=answers)
        thread.start()
        server = serve(who_asks, "tcp://127.0.0.1:0", engine="epoll" if engines.is_available("epoll") else "poll",
                       takeover=f"unix://{path}")  # fmt: skip
        with pytest.raises(HandshakeError, match=told), server:
            pytest.fail("it was opened")
        thread.join(PATIENCE)


async def who_asks(connection):
    async for message in connection:
        await connection.send(message)
