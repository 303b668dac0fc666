"""Our client, and servers that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import subprocess
import threading

from socketkit import Address
from support.programs import PATIENCE, Program, free_port, needs, socketkit

LINES = b"".join(b"line %d of a talk\n" % number for number in range(2000))


def ask(address: Address | str, data: bytes = LINES) -> bytes:
    with socketkit("connect", str(address)) as client:
        output = client.communicate(data)
        assert (client.wait(), client.stderr_lines) == (0, [])
        return output


class EchoHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@contextlib.contextmanager
def in_thread(server: socketserver.BaseServer):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def test_socketserver_over_tcp():
    with in_thread(socketserver.ThreadingTCPServer(("127.0.0.1", 0), EchoHandler)) as (host, port):
        assert ask(f"tcp://{host}:{port}") == LINES


def test_socketserver_over_unix(tmp_path):
    path = str(tmp_path / "echo.sock")
    with in_thread(socketserver.ThreadingUnixStreamServer(path, EchoHandler)):
        assert ask(f"unix://{path}") == LINES


def test_asyncio_server_answers_after_eof():
    """The half-close: the peer sees our end, and only then says all of it, sorted."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(sorted((await reader.read()).splitlines(keepends=True))))
        await writer.drain()
        writer.close()

    async def serve() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await asyncio.to_thread(ask, f"tcp://127.0.0.1:{port}", b"b\nc\na\n")

    assert asyncio.run(serve()) == b"a\nb\nc\n"


def test_socat_exec_answers_after_eof():
    """A program behind socat that answers after our end."""
    path, port = needs("socat"), free_port()
    with Program(path, "-d", "-d", f"TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "EXEC:sort") as server:
        server.wait_line("listening on")
        assert sorted(ask(f"tcp://127.0.0.1:{port}").splitlines()) == sorted(LINES.splitlines())


def test_a_program_behind_ncat():
    """ncat drops what its program says after our end (measured with 7.93), so ours comes after the answer."""
    path, port = needs("ncat"), free_port()
    with Program(path, "-v", "-lk", "127.0.0.1", str(port), "-e", "/bin/cat") as server:
        server.wait_line("Listening on 127.0.0.1")
        with socketkit("connect", f"tcp://127.0.0.1:{port}") as client:
            assert client.process.stdin is not None and client.process.stdout is not None
            client.process.stdin.write(LINES)
            client.process.stdin.flush()
            assert client.process.stdout.read(len(LINES)) == LINES
            client.process.stdin.close()
            assert (client.process.stdout.read(), client.wait(), client.stderr_lines) == (b"", 0, [])


def test_nc_that_takes_what_we_send():
    path, port = needs("nc.openbsd"), free_port()
    with Program(path, "-v", "-l", "-N", "127.0.0.1", str(port), stdin=subprocess.DEVNULL) as server:
        server.wait_line("Listening on")
        assert ask(f"tcp://127.0.0.1:{port}") == b""
        assert server.process.stdout is not None
        assert server.process.stdout.read() == LINES
        assert server.wait() == 0
