"""Several protocols at one port, told apart by their first bytes: the recipe of docs/serving.md."""

from __future__ import annotations

import socket
import subprocess

import pytest

from socketkit import TLS, connect, serve
from support.programs import PATIENCE, needs
from support.tls import papers

STARTS = (b"GET ", b"HEAD ", b"POST ", b"SSH-")


async def protocol_of(connection) -> str:
    """Look at as few bytes as needed: a client of lines may have sent two, and wait for the answer."""
    for size in range(1, 6):
        start = await connection.peek(size)
        if start[0] == 0x16:  # a TLS handshake record
            return "tls"
        if start in STARTS:
            return "ssh" if start == b"SSH-" else "http"
        if len(start) < size or not any(known.startswith(start) for known in STARTS):
            break
    return "lines"


async def dispatch(connection):
    protocol = await protocol_of(connection)
    if protocol == "tls":
        await connection.start_tls(TLS(cert=papers().cert), server_side=True)
        await dispatch(connection)
    elif protocol == "http":
        await connection.receive_until(b"\r\n\r\n")
        connection.reframe("chunks")
        await connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    elif protocol == "ssh":
        await connection.send("SSH-2.0-socketkit")
        await connection.send(f"you are {await connection.receive()}")
    else:
        async for line in connection:
            await connection.send(f"line: {line}")


@pytest.fixture(params=["asyncio", "epoll", "trio"])
def place(request):
    with serve(dispatch, "tcp://127.0.0.1:0", framing="lines", engine=request.param) as server:
        yield server.addresses[0]


def test_lines(place):
    """Also where the first line is shorter than any name, or begins as one does."""
    for words in (["a", "bc"], ["", "x"], ["SSH", "y"], ["GETTER", "z"]):
        with connect(place, framing="lines", idle_timeout=PATIENCE) as client:
            for word in words:
                client.send(word)
                assert client.receive() == f"line: {word}"


def test_first_bytes_one_by_one(place):
    with socket.create_connection((place.host, place.port), timeout=PATIENCE) as sock:
        for byte in b"SSH-2.0-test\n":
            sock.sendall(bytes([byte]))
        data = b""
        while data.count(b"\n") < 2:
            data += sock.recv(100)
    assert data == b"SSH-2.0-socketkit\nyou are SSH-2.0-test\n"


def test_tls_and_lines_in_it(place):
    with connect(place.replace(scheme="tls"), framing="lines", ca=papers().ca) as client:
        client.send("secret")
        assert client.receive() == "line: secret"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl(place, scheme):
    done = subprocess.run(
        [needs("curl"), "-sS", "--cacert", papers().ca, "--max-time", "20", f"{scheme}://{place.host}:{place.port}/"],
        capture_output=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello", b"")
