"""An observer that raises at every event ends no connection, server, worker or retry, and is reported once."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator

import pytest

from socketkit import Retry, connect, listen, pair, serve
from socketkit.errors import ConnectError
from socketkit.events import Event
from support.programs import Program

FAR = 20


class Raising:
    """Raises at each event, or at those of one name."""

    def __init__(self, only: str | None = None) -> None:
        self.only = only
        self.names: set[str] = set()

    def __call__(self, event: Event) -> None:
        name = type(event).__name__
        self.names.add(name)
        if self.only in (None, name):
            raise ZeroDivisionError(name)


def echo(connection):  # type: ignore[no-untyped-def]
    for message in connection:
        connection.send(message)


async def async_echo(connection):  # type: ignore[no-untyped-def]
    async for message in connection:
        await connection.send(message)


@contextlib.contextmanager
def reported(caplog: pytest.LogCaptureFixture, *observers: Raising) -> Iterator[None]:
    """Each observer of the block is reported once."""
    with caplog.at_level(logging.ERROR, logger="socketkit"):
        yield
    texts = [record.getMessage() for record in caplog.records if record.name == "socketkit"]
    assert len(texts) == len(observers), texts
    for observer in observers:
        assert sum(repr(observer) in text for text in texts) == 1, texts
        assert observer.only is None or observer.only in observer.names


CLIENT = ["Resolved", "Connecting", "Connected", "Sent", "Received", "EndSent", "EndReceived", "Closed"]
SERVER = ["Bound", "Listening", "Accepted", "Sent", "Received", "EndReceived", "Closed", "StoppedListening"]


@pytest.mark.parametrize("only", [None, *CLIENT])
def test_client(caplog: pytest.LogCaptureFixture, only: str | None) -> None:
    observer = Raising(only)
    with reported(caplog, observer), serve(echo, "tcp://localhost:0") as server:
        with connect(server.addresses[0], observer=observer) as client:
            client.send(b"data")
            assert client.receive(timeout=FAR) == b"data"
            client.send_eof()
            assert list(client) == []


@pytest.mark.parametrize("only", [None, *SERVER])
@pytest.mark.parametrize("engine", ["epoll", "asyncio", "blocking"])
def test_server(caplog: pytest.LogCaptureFixture, engine: str, only: str | None) -> None:
    observer = Raising(only)
    handler = echo if engine == "blocking" else async_echo
    with reported(caplog, observer), serve(handler, "tcp://127.0.0.1:0", engine=engine, observer=observer) as server:
        for _ in range(2):
            with connect(server.addresses[0]) as client:
                client.send(b"data")
                assert client.receive(timeout=FAR) == b"data"
                client.send_eof()
                assert list(client) == []


@pytest.mark.parametrize("kind", ["deny", "overload"])
def test_refused(caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """The server goes on after the refusal of one client."""
    observer = Raising("Refused")
    options = {"deny": "127.0.0.2"} if kind == "deny" else {"max_connections": 1, "overload": "reject"}
    with reported(caplog, observer), serve(echo, "tcp4://127.0.0.1:0", observer=observer, **options) as server:
        name = ("127.0.0.1", server.addresses[0].port)
        with socket.create_connection(name, FAR) as first:
            first.sendall(b"data")
            assert first.recv(9) == b"data"
            source = ("127.0.0.2", 0) if kind == "deny" else None
            with contextlib.suppress(ConnectionError), socket.create_connection(name, FAR, source) as refused:
                assert refused.recv(9) == b""
            first.sendall(b"more")
            assert first.recv(9) == b"more"


def test_listener(caplog: pytest.LogCaptureFixture) -> None:
    observer = Raising()
    with (
        reported(caplog, observer),
        listen("tcp://127.0.0.1:0", observer=observer) as listener,
        connect(listener.addresses[0]) as client,
        listener.accept(timeout=FAR) as accepted,
    ):
        client.send(b"data")
        assert accepted.receive(timeout=FAR) == b"data"


def test_pair(caplog: pytest.LogCaptureFixture) -> None:
    observer = Raising()
    with reported(caplog, observer), pair(observer=observer) as (left, right):
        left.send(b"data")
        assert right.receive(timeout=FAR) == b"data"
    assert observer.names == {"Connected", "Sent", "Received", "Closed"}


@pytest.mark.parametrize("only", [None, "Failed", "Retrying"])
def test_failed_dial(caplog: pytest.LogCaptureFixture, only: str | None) -> None:
    """The dial's own error is raised, after as many tries as asked for."""
    observer = Raising(only)
    with socket.socket() as sock, reported(caplog, observer):
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match=r"2 tries"):
            connect(
                f"tcp://127.0.0.1:{sock.getsockname()[1]}", retry=Retry(attempts=2, first=0.001), observer=observer
            ).open()
    assert {"Failed", "Retrying"} <= observer.names


@pytest.mark.parametrize("only", [None, "DatagramDropped", "Accepted", "Received", "Sent", "Closed"])
def test_datagrams(caplog: pytest.LogCaptureFixture, only: str | None) -> None:
    """A dropped datagram is counted, and the server answers the next peer."""
    observer = Raising(only)

    async def handler(connection):  # type: ignore[no-untyped-def]
        async for message in connection:
            await connection.send(message)
            return

    with reported(caplog, observer):
        with serve(handler, "udp4://127.0.0.1:0", engine="epoll", observer=observer) as server:
            name = ("127.0.0.1", server.addresses[0].port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
                first.settimeout(FAR)
                first.connect(name)
                for _ in range(3):
                    first.send(b"data")  # the handler takes one: another session may take the next, or it is dropped
                assert first.recv(9) == b"data"
            with connect(f"udp4://127.0.0.1:{name[1]}") as client:
                client.send(b"more")
                assert client.receive(timeout=FAR) == b"more"
            if only == "DatagramDropped":
                overflow(name, observer)


def overflow(name: tuple[str, int], observer: Raising) -> None:
    """Send until a queue is full."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(20_000):
            if "DatagramDropped" in observer.names:
                return
            sock.sendto(b"data", name)


WORKERS = """
import sys
from socketkit import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

def raising(event):
    raise ZeroDivisionError(type(event).__name__)

def tell(addresses):
    print("listening", addresses[0], file=sys.stderr, flush=True)

serve(echo, "tcp://127.0.0.1:0", observer=raising, engine="epoll").run(workers=2, listening=tell)
"""


def test_workers() -> None:
    """Each process goes on and reports its observer once; the supervisor too."""
    with Program(sys.executable, "-c", WORKERS) as program:
        for _ in range(4):
            with connect(program.address()) as client:
                client.send(b"data")
                assert client.receive(timeout=FAR) == b"data"
        assert program.stop() == 0
        assert 1 <= sum("its later failures are not logged" in line for line in program.stderr_lines) <= 3
        assert any("failed at WorkerStarted" in line for line in program.stderr_lines)
