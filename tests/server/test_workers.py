"""Several processes serve one port: they share callers, the dead are replaced, and nobody waits in vain."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
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

observers = []
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    from socketkit.metrics import PrometheusObserver
    observers.append(PrometheusObserver())

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
    for observer in observers:
        observer(event)
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

    def start(*arguments, **environment):
        program = Program(sys.executable, str(script), *arguments, env=environment)
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


SCRAPE = """
from prometheus_client import generate_latest
from socketkit.metrics import scrape_registry
print(generate_latest(scrape_registry()).decode())
"""


def scraped(folder):
    """The sums over all processes, as a process of its own answers them (docs/serving.md)."""
    done = subprocess.run(
        [sys.executable, "-c", SCRAPE],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    lines = (line for line in done.stdout.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name}


def test_metrics_of_all_workers(start, tmp_path):
    """Each worker counts in a file of its own; the sum has all, and gauges only those that run."""
    pytest.importorskip("prometheus_client")
    folder = tmp_path / "metrics"
    folder.mkdir()
    program = start("tcp://127.0.0.1:0", PROMETHEUS_MULTIPROC_DIR=str(folder))
    address = program.address()
    with contextlib.ExitStack() as stack:
        by_worker = {}
        opened = 0
        while len(by_worker) < 3:
            connection = stack.enter_context(connect(address, framing="lines"))
            connection.send("?")
            opened += 1
            by_worker.setdefault(connection.receive(timeout=PATIENCE).split()[0], []).append(connection)
        found = scraped(folder)
        assert found['socketkit_connections_active{side="accepted"}'] == opened
        assert found['socketkit_connections_total{side="accepted"}'] == opened
        assert found["socketkit_received_bytes_total"] == 2 * opened
        dead = next(iter(by_worker))
        by_worker[dead][0].send("die")
        program.wait_line("WorkerEnded")
        program.wait_line("WorkerStarted", 4)
        found = scraped(folder)
        assert found['socketkit_connections_active{side="accepted"}'] == opened - len(by_worker[dead])
        assert found['socketkit_connections_total{side="accepted"}'] == opened
        assert found["socketkit_workers_ended_total"] == 1
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


STOPPED_EARLY = """
import os, signal, socket, sys
from socketkit import serve
from socketkit.events import WorkerStarted

clients = []

async def greet(connection):
    async for message in connection:
        await connection.send(f"hello {message}")

def stop_early(event):
    if isinstance(event, WorkerStarted):
        client = socket.socket(socket.AF_UNIX)
        client.connect(sys.argv[1])
        client.sendall(b"%d\\n" % event.worker)
        clients.append(client)
        if len(clients) == 2:  # no worker has had the time to import what it serves with
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(event.pid, signal.SIGHUP)

if __name__ == "__main__":
    serve(greet, f"unix://{sys.argv[1]}", framing="lines", engine="poll", observer=stop_early).run(workers=2)
    print(*(client.makefile().readline().strip() for client in clients), sep=",")
"""


def test_stop_while_workers_start(tmp_path):
    """A SIGTERM before the workers handle signals: each client that connected is served all the same."""
    script = tmp_path / "service.py"
    script.write_text(STOPPED_EARLY)
    with Program(sys.executable, str(script), str(tmp_path / "s")) as program:
        assert program.communicate() == b"hello 0,hello 1\n", program.stderr_lines
        assert program.wait() == 0
    assert not (tmp_path / "s").exists()


FAILS_TWICE = """
import os, sys
from socketkit import serve
from socketkit.events import WorkerStarted

def told(addresses):
    count = sum(os.path.exists(f"{folder}/{number}") for number in range(2))
    print("listening", addresses[0], count, file=sys.stderr, flush=True)

def fail(event):
    print(type(event).__name__, file=sys.stderr, flush=True)

folder, supervisor = sys.argv[1], os.getpid()
import socketkit.engines as engines
make = engines.make

def failing(name, **options):
    if os.getpid() != supervisor:
        for number in range(2):
            try:
                os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            raise RuntimeError("a failure at the start")
    return make(name, **options)

async def handler(connection):
    pass

if __name__ == "__main__":
    engines.make = failing
    serve(handler, "tcp://127.0.0.1:0", engine="poll", observer=fail).run(workers=2, listening=told)
"""


def test_announced_when_all_workers_serve(tmp_path):
    """Workers that die at the start are replaced; the service is announced once all serve."""
    script = tmp_path / "service.py"
    script.write_text(FAILS_TWICE)
    with Program(sys.executable, str(script), str(tmp_path)) as program:
        assert program.wait_line("listening tcp://127.0.0.1:").endswith(" 2")
        # Counted in the text: three processes write here, and a line of one may begin within a line of another.
        assert "\n".join(program.stderr_lines).count("WorkerEnded") == 2
        assert program.stop() == 0


LAME_DUCK = """
import sys
from socketkit import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

if __name__ == "__main__":
    serve(echo, sys.argv[1], "tcp://127.0.0.1:0", framing="lines", engine="poll", lame_duck=sys.argv[2]).run(
        workers=2, listening=lambda addresses: print("listening", *addresses, file=sys.stderr, flush=True)
    )
"""


def test_lame_duck_of_unix_clients(tmp_path):
    """The file of a UNIX socket stays for the lame-duck time of the workers, which a second signal ends."""
    script, path = tmp_path / "service.py", tmp_path / "s"
    script.write_text(LAME_DUCK)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(str(tmp_path / "manager"))
        notified = {"NOTIFY_SOCKET": str(tmp_path / "manager")}
        with Program(sys.executable, str(script), f"unix://{path}", "600s", env=notified) as program:
            assert manager.recv(100) == b"READY=1"
            program.process.send_signal(signal.SIGTERM)
            for _ in range(3):  # from the supervisor and both workers
                assert manager.recv(100) == b"STOPPING=1"
            assert ask(f"unix://{path}", "after") == "after"
            program.process.send_signal(signal.SIGTERM)
            assert program.wait() == 0
        assert not path.exists()
        with Program(sys.executable, str(script), f"unix://{path}", "50ms") as program:
            program.wait_line("listening")
            assert program.stop() == 0
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
