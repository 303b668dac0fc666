"""Several processes serve one port: they share callers, the dead are replaced, and nobody waits in vain."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

import pytest

from socketkit import Address, connect, serve
from socketkit.errors import BrokenError, ConnectError, EndOfStream, OptionError
from support.connections import PATIENCE
from support.programs import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")

SERVICE = """
import os, signal, sys
from socketkit import serve
from socketkit.events import WorkerEnded, WorkerStarted

async def who(connection):
    async for message in connection:
        if message == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if message == "wait":
            await connection.send("waiting")
            await connection.flush()
            await connection.engine.sleep(1000)
        await connection.send(f"{os.getpid()} {os.getppid()}")

def tell(event):
    if isinstance(event, (WorkerStarted, WorkerEnded)):
        print(event, file=sys.stderr, flush=True)

def told(addresses):
    for address in addresses:
        print("listening", address, file=sys.stderr, flush=True)

if __name__ == "__main__":
    engine = sys.argv[2] if len(sys.argv) > 2 else None
    serve(who, *sys.argv[1].split(), framing="lines", engine=engine, observer=tell, grace="60s").run(
        workers=3, listening=told
    )
"""


@pytest.fixture
def start(tmp_path):
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    programs = []

    def start(*arguments):
        program = Program(sys.executable, str(script), *arguments)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.__exit__()


def ask(address, message="?"):
    with connect(address, framing="lines") as connection:
        connection.send(message)
        return connection.receive(timeout=PATIENCE)


def ask_all(address, count):
    """Ask until so many processes have answered; each call is served, however often."""
    deadline = time.monotonic() + PATIENCE
    found = set()
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found} have answered"
        found.add(ask(address).split()[0])
    return found


@pytest.mark.parametrize("engine", ["epoll", "poll", "asyncio", "blocking"])
def test_workers_share_port_announce_once(start, engine):
    """Workers share the clients of one port and report it once."""
    from socketkit import engines

    if reason := engines.missing(engine):
        pytest.skip(reason)
    program = start("tcp://127.0.0.1:0", engine)
    address = program.address()
    assert str(program.process.pid) not in ask_all(address, 3)
    assert sum("listening" in line for line in program.stderr_lines) == 1
    assert program.stop() == 0


def test_dead_worker_replaced_queue_served(start):
    """A dead worker is replaced and who waited for it is served."""
    program = start("tcp://127.0.0.1:0")
    address = program.address()
    before = ask_all(address, 3)
    with connect(address, framing="lines") as victim:
        victim.send("die")
        with pytest.raises((BrokenError, EndOfStream)):
            victim.receive(timeout=PATIENCE)
    assert "status=-9" in program.wait_line("WorkerEnded")
    program.wait_line("WorkerStarted", 4)
    assert len(ask_all(address, 3) - before) >= 1
    assert program.stop() == 0


@pytest.mark.slow
def test_worker_killed_under_load(start):
    """Under load a worker is killed and no client is refused."""
    program = start("tcp://127.0.0.1:0")
    address = program.address()
    ask_all(address, 3)
    refused, answered, broken = [], [], []
    over = threading.Event()

    def load():
        while not over.is_set():
            try:
                answered.append(ask(address))
            except ConnectError as error:
                refused.append(error)
            except (BrokenError, EndOfStream) as error:
                broken.append(error)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    for count in range(1, 6):
        victim = ask(address).split()[0]
        os.kill(int(victim), signal.SIGKILL)
        program.wait_line("WorkerEnded", count)
        so_far = len(answered)
        while len(answered) < so_far + 30:
            time.sleep(0.001)
    over.set()
    for thread in threads:
        thread.join()
    assert refused == []
    assert len(broken) <= 6 * 5, "only those who were in conversation with a victim"
    assert program.stop() == 0


def test_first_stop_drains_second_ends(start):
    """A stop lets conversations end and a second one does not."""
    program = start("tcp://127.0.0.1:0")
    address = program.address()
    with connect(address, framing="lines") as guest:
        guest.send("wait")
        assert guest.receive(timeout=PATIENCE) == "waiting"
        began = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        program.wait_line("WorkerEnded", 2)  # the third has a guest
        program.process.send_signal(signal.SIGTERM)
        assert program.wait() == 0
        assert time.monotonic() - began < 30
    with pytest.raises(ConnectError):
        connect(address).open()


def test_workers_stop_without_supervisor(start):
    """Workers stop when their supervisor is gone."""
    program = start("tcp://127.0.0.1:0")
    address = program.address()
    ask_all(address, 3)
    program.process.kill()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_server((address.host, address.port)):
                break  # nobody listens any more
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_workers_share_unix_and_both_families(start, tmp_path):
    """A unix socket and both families are shared too."""
    path = tmp_path / "s"
    program = start(f"tcp://localhost:0 unix://{path}")
    program.wait_line("listening unix:")
    ask_all(Address.parse(f"unix://{path}"), 1)
    ask_all(program.address(), 3)
    assert program.stop(signal.SIGINT) == 0
    assert not path.exists()


def test_what_cannot_be_shared_is_refused():
    async def handler(connection):
        pass

    with pytest.raises(OptionError, match="one connection only"):
        serve(handler, "exec:cat").run(workers=2)
    failures = []

    def elsewhere():
        try:
            serve(handler, "tcp://127.0.0.1:0").run(workers=2)
        except OptionError as error:
            failures.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in failures[0]
