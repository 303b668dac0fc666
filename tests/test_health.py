"""The health endpoint: what a load balancer is answered, and with a real one no request is lost during a restart."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from socketkit import Address, serve
from socketkit.health import readiness
from support.connections import PATIENCE, ask, call, read_all, read_to_reset
from support.programs import Program, free_port, needs

ANY = "tcp://127.0.0.1:0"


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def request(address, text):
    with call(address) as client:
        client.sendall(text)
        return read_all(client)


@pytest.fixture
def both(engine_name):
    """A server, and the endpoint that answers for it."""
    with serve(echo, ANY, framing="lines", engine=engine_name) as server:
        with serve(readiness(server), ANY, engine="poll") as health:
            yield server, health.addresses[0]


def test_ready_follows_the_server(both):
    """200 while it listens, 503 while it does not; the program is live all the time."""
    server, health = both
    ready, live = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /live HTTP/1.0\r\n\r\n"
    answer = request(health, ready)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nready\n")
    server.suspend()
    answer = request(health, ready)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n") and answer.endswith(b"\r\n\r\nnot ready\n")
    assert request(health, live).startswith(b"HTTP/1.1 200 OK\r\n")
    server.resume()
    assert request(health, ready).startswith(b"HTTP/1.1 200 OK\r\n")
    server.close()
    assert request(health, ready).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HEAD /ready HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /ready?full HTTP/1.1\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /ready HTTP/1.1\r\n\r\n", b"405"),
        (b"hello\r\n\r\n", b"400"),
    ],
)
def test_other_requests(text, status):
    """What is no question about the health has the status of HTTP for it."""
    with serve(echo, ANY, engine="poll") as server, serve(readiness(server), ANY, engine="poll") as health:
        answer = request(health.addresses[0], text)
    assert answer.split(b" ")[1] == status
    if text.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")


def test_long_head_is_reset():
    """A head without an end does not fill the memory."""
    with serve(readiness(), ANY, engine="poll") as health, call(health.addresses[0]) as client:
        client.sendall(b"GET /ready HTTP/1.1\r\nCookie: " + b"x" * 10_000)
        assert read_to_reset(client) == b""


SERVICE = """
import sys
from socketkit import Address, serve
from socketkit.health import readiness

async def answer(connection):
    async for line in connection:
        await connection.engine.sleep(0.002)
        await connection.send(line)

engine, port, health = sys.argv[1:]
with serve(answer, f"tcp://127.0.0.1:{port}", framing="lines", engine=engine) as server:
    with serve(readiness(server), f"tcp://127.0.0.1:{health}", engine=engine):
        print("listening", server.addresses[0], file=sys.stderr, flush=True)
        server.wait_signal(lame_duck="1s")
"""

HAPROXY = """
global
    stats socket {control} level user
defaults
    mode tcp
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    option redispatch
    retries 3
frontend front
    bind 127.0.0.1:{front}
    default_backend service
backend service
    balance roundrobin
    option httpchk GET /ready
    default-server inter 100ms fall 1 rise 1
    server a 127.0.0.1:{a} check port {a_health}
    server b 127.0.0.1:{b} check port {b_health}
"""


def wait_status(control, name, status):
    """Wait until haproxy has seen the server of that name go up or down."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, f"haproxy has not seen {name} {status}"
        try:
            with call(Address("unix", path=str(control))) as client:
                client.sendall(b"show stat\n")
                rows = [row.split(",") for row in read_all(client).decode().splitlines()]
        except OSError:
            continue  # it has not begun to listen there
        if any(row[:2] == ["service", name] and row[17].startswith(status) for row in rows):
            return
        time.sleep(0.01)


def wait_more(answered):
    """Wait until the clients were answered thirty times more."""
    deadline, before = time.monotonic() + PATIENCE, sum(answered)
    while sum(answered) < before + 30:
        assert time.monotonic() < deadline, f"only {sum(answered) - before} more were answered"
        time.sleep(0.01)


@pytest.mark.parametrize("engine", ["uvloop", "epoll"])
def test_restart_behind_haproxy_loses_no_request(tmp_path, engine):
    """Two instances behind haproxy are restarted one after the other under load: each request has its answer."""
    from socketkit import engines

    haproxy = needs("haproxy")
    if reason := engines.missing(engine):
        pytest.skip(reason)
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    ports = {name: free_port() for name in ("front", "a", "a_health", "b", "b_health")}

    def begin(name):
        program = Program(sys.executable, str(script), engine, str(ports[name]), str(ports[f"{name}_health"]))
        program.wait_line("listening")
        return program

    running = {name: begin(name) for name in ("a", "b")}
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(control=tmp_path / "control", **ports))
    answered, lost, over = [0] * 4, [], threading.Event()

    def load(index):
        while not over.is_set():
            try:
                with call(front) as client:
                    for number in range(3):
                        line = b"%d-%d-%d" % (index, answered[index], number)
                        assert ask(client, line) == line
                    answered[index] += 1
            except (OSError, AssertionError) as error:
                lost.append(repr(error))

    with Program(haproxy, "-db", "-f", str(config)) as proxy:
        front = Address.parse(f"tcp://127.0.0.1:{ports['front']}")
        threads = [threading.Thread(target=load, args=(index,)) for index in range(4)]
        try:
            for name in ("a", "b"):
                wait_status(tmp_path / "control", name, "UP")
            for thread in threads:
                thread.start()
            for name in ("a", "b"):
                wait_more(answered)
                running[name].process.send_signal(signal.SIGTERM)
                wait_status(tmp_path / "control", name, "DOWN")
                assert running[name].wait() == 0
                running[name].__exit__()
                running[name] = begin(name)
                wait_status(tmp_path / "control", name, "UP")
                wait_more(answered)
        finally:
            over.set()
            for thread in threads:
                if thread.ident:
                    thread.join(PATIENCE)
            for program in running.values():
                program.__exit__()
        assert proxy.process.poll() is None
    assert lost == []
    assert sum(answered) > 50
