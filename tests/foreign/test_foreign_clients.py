"""Our echo server, and clients that nobody here wrote: each sends lines and its end, and gets all of it back."""

from __future__ import annotations

import asyncio
import socket
import subprocess

import pytest

from support.programs import PATIENCE, Program, echo_server, needs, socketkit

LINES = b"".join(b"line %d of a talk\n" % number for number in range(2000))


@pytest.fixture(scope="module")
def tcp():
    with echo_server() as (_, address):
        yield address


@pytest.fixture(scope="module")
def unix(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "echo.sock"
    with socketkit("echo", f"unix://{path}") as server:
        server.address()
        yield path


def ask(*arguments: str) -> bytes:
    with Program(*arguments) as client:
        output = client.communicate(LINES)
        assert client.wait() == 0, client.stderr_lines
        return output


def test_openbsd_nc(tcp):
    assert ask(needs("nc.openbsd"), "-N", tcp.host, str(tcp.port)) == LINES


def test_openbsd_nc_over_unix(unix):
    assert ask(needs("nc.openbsd"), "-N", "-U", str(unix)) == LINES


def test_ncat(tcp):
    assert ask(needs("ncat"), tcp.host, str(tcp.port)) == LINES


def test_socat(tcp):
    assert ask(needs("socat"), "-t", "10", "-", f"TCP4:{tcp.host}:{tcp.port}") == LINES


def test_socat_over_unix(unix):
    assert ask(needs("socat"), "-t", "10", "-", f"UNIX-CONNECT:{unix}") == LINES


def test_curl_as_telnet(tcp):
    with Program(needs("curl"), "-sN", "--max-time", "10", f"telnet://{tcp.host}:{tcp.port}") as client:
        assert client.process.stdin is not None and client.process.stdout is not None
        client.process.stdin.write(b"typed by hand\n")
        client.process.stdin.flush()
        assert client.process.stdout.readline() == b"typed by hand\n"


def test_telnet_and_its_carriage_returns(tcp):
    with Program(needs("telnet"), tcp.host, str(tcp.port)) as client:
        assert client.process.stdin is not None and client.process.stdout is not None
        greeting = [client.process.stdout.readline() for _ in range(3)]
        assert greeting[1] == f"Connected to {tcp.host}.\n".encode()
        client.process.stdin.write(b"typed by hand\n")
        client.process.stdin.flush()
        assert client.process.stdout.readline().strip() == b"typed by hand"


def test_bash_without_any_program(tcp):
    script = f"exec 3<>/dev/tcp/{tcp.host}/{tcp.port}; echo hello >&3; head -1 <&3"
    done = subprocess.run([needs("bash"), "-c", script], capture_output=True, timeout=PATIENCE)
    assert (done.stdout, done.returncode) == (b"hello\n", 0)


def test_stdlib_socket_and_makefile(tcp):
    """The standard librarys socket and makefile."""
    with socket.create_connection((tcp.host, tcp.port), PATIENCE) as client, client.makefile("rb") as incoming:
        client.sendall(LINES[:20_000])
        client.shutdown(socket.SHUT_WR)
        assert incoming.read() == LINES[:20_000]


def test_asyncio_streams(tcp):
    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(tcp.host, tcp.port)
        writer.write(LINES)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(talk()) == LINES
