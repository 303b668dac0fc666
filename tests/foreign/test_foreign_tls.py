"""TLS with programs that nobody here wrote: OpenSSL, curl, Python's own, asyncio's; half-close and truncation too."""

from __future__ import annotations

import asyncio
import base64
import queue
import re
import socket
import ssl
import subprocess
import threading

import pytest

from socketkit import connect, serve
from socketkit.errors import BrokenError, HandshakeError
from socketkit.events import Closed
from support.programs import PATIENCE, Program, needs
from support.tls import papers

LINES = b"".join(b"line %d of a talk\n" % number for number in range(2000))


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def server():
    with serve(echo, "tls://127.0.0.1:0", cert=papers().cert) as server:
        yield server.addresses[0]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_as_a_client(server, version):
    arguments = ["s_client", "-quiet", "-no_ign_eof", version, "-verify_return_error", "-CAfile", papers().ca]
    with Program(needs("openssl"), *arguments, "-connect", f"{server.host}:{server.port}") as client:
        assert client.process.stdin is not None and client.process.stdout is not None
        words = LINES[:8000]  # more than one portion of its input it does not always read to the end
        client.process.stdin.write(words)
        client.process.stdin.flush()
        came = b""
        while len(came) < len(words):
            came += client.process.stdout.read1()
        assert came == words


def test_curl_gets_a_page():
    """A tiny answer of HTTP, whose end is the connection's: curl wants the goodbye before it believes it."""

    async def page(connection):
        async for line in connection:
            if not line:
                break
        connection.reframe("chunks")
        await connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"hello from a socket\n" * 5000)

    with serve(page, "tls://127.0.0.1:0", framing="lines:crlf", cert=papers().cert, alpn="http/1.1") as server:
        place = server.addresses[0]
        done = subprocess.run(
            [needs("curl"), "-sS", "--cacert", papers().ca, "--max-time", "20", f"https://localhost:{place.port}/"],
            capture_output=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"hello from a socket\n" * 5000


def test_curl_accepts_our_pin():
    async def page(connection):
        async for line in connection:
            if not line:
                break
        await connection.send_many(["HTTP/1.1 204 No Content", ""])

    with serve(page, "tls://127.0.0.1:0", framing="lines:crlf", self_signed=True) as server:
        pin = connect(server.addresses[0], verify=False).open()
        digest = base64.b64encode(bytes.fromhex(pin.tls.peer_pin.removeprefix("sha256:"))).decode()
        pin.close()
        curl = [needs("curl"), "-sS", "--insecure", "--max-time", "20", "--pinnedpubkey"]
        url = f"https://localhost:{server.addresses[0].port}/"
        good = subprocess.run([*curl, f"sha256//{digest}", url], capture_output=True, timeout=PATIENCE)
        bad = subprocess.run([*curl, "sha256//" + "A" * 43 + "=", url], capture_output=True, timeout=PATIENCE)
    assert (good.returncode, bad.returncode) == (0, 90)  # CURLE_SSL_PINNEDPUBKEYNOTMATCH


def test_python_s_own_client_and_its_goodbye(server):
    context = ssl.create_default_context(cafile=papers().ca)
    with socket.create_connection((server.host, server.port)) as sock:
        with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as client:
            client.sendall(LINES)
            came = b""
            while len(came) < len(LINES):
                came += client.recv(1 << 16)
            assert came == LINES
            client.unwrap()  # our goodbye answers it


def test_asyncio_s_client(server):
    async def main():
        context = ssl.create_default_context(cafile=papers().ca)
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
        writer.write(LINES)
        assert await reader.readexactly(len(LINES)) == LINES
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


class Answerer:
    """A blocking server of Python's own `ssl` for one caller."""

    def __init__(self, talk, **context_options):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(papers().cert)
        for name, value in context_options.items():
            setattr(context, name, value)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tls://127.0.0.1:{self._listener.getsockname()[1]}"
        self._talk, self._context = talk, context
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        with self._context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as client:
            self._talk(client)

    def __enter__(self):
        self._thread.start()
        return self.url

    def __exit__(self, *exception):
        self._thread.join(PATIENCE)
        self._listener.close()


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_tls_server_answers_at_eof(version):
    """Half-close: it reads up to our goodbye, then sorts, then speaks."""

    def sort(client):
        lines = []
        while data := client.recv(1 << 16):
            lines.append(data)
        for line in sorted(b"".join(lines).splitlines(keepends=True)):
            client.sendall(line)
        client.unwrap()

    with Answerer(sort, maximum_version=version) as url:
        with connect(url, ca=papers().ca, framing="lines:encoding=none") as connection:
            assert connection.tls.version == version.name.replace("_", ".")
            connection.send_many(LINES.splitlines())
            connection.send_eof()
            assert list(connection) == sorted(LINES.splitlines())


def test_tls_server_without_close_notify():
    """A server that hangs up without a close."""
    with Answerer(_cut) as url:
        with pytest.raises(BrokenError, match="without a close_notify"):
            with connect(url, ca=papers().ca) as connection:
                assert connection.receive() == b"half"
                connection.receive()


def _cut(client):
    client.sendall(b"half")
    plain = socket.socket(fileno=client.detach())
    plain.shutdown(socket.SHUT_RDWR)
    plain.close()


def test_openssl_as_a_server_with_a_page():
    """`s_server -www` answers an HTTP request with a page about itself."""
    port = _free_port()
    arguments = ["s_server", "-www", "-accept", f"127.0.0.1:{port}", "-cert", papers().cert, "-key", papers().cert]
    with Program(needs("openssl"), *arguments) as server:
        assert server.process.stdout is not None
        assert b"ACCEPT" in _until(server, b"ACCEPT")
        with connect(f"tls://127.0.0.1:{port}", ca=papers().ca, retry=5) as connection:
            connection.send(b"GET / HTTP/1.0\r\n\r\n")
            page = b"".join(connection)
        assert b"200 ok" in page.lower()
        assert b"TLSv1.3" in page


def test_openssl_half_close():
    """Openssl receives our end and we receive it out."""
    port = _free_port()
    arguments = ["s_server", "-quiet", "-naccept", "1", "-accept", f"127.0.0.1:{port}"]
    with Program(needs("openssl"), *arguments, "-cert", papers().cert, "-key", papers().cert) as server:
        assert server.process.stdin is not None and server.process.stdout is not None
        with connect(f"tls://127.0.0.1:{port}", ca=papers().ca, retry=20) as connection:
            server.process.stdin.write(b"from the server\n")
            server.process.stdin.flush()
            assert connection.receive() == b"from the server\n"
            connection.send(b"from the client\n")
            assert server.process.stdout.readline() == b"from the client\n"
            connection.send_eof()
            assert list(connection) == []
        assert server.wait() == 0


def test_openssl_wants_a_certificate_of_us():
    port = _free_port()
    arguments = ["s_server", "-quiet", "-Verify", "1", "-verify_return_error", "-CAfile", papers().ca]
    place = ["-accept", f"127.0.0.1:{port}", "-cert", papers().cert, "-key", papers().cert]
    with Program(needs("openssl"), *arguments, *place):
        with pytest.raises(HandshakeError, match="it requires a certificate of ours"):
            with connect(f"tls://127.0.0.1:{port}", ca=papers().ca, retry=20) as connection:
                connection.receive()
        with connect(f"tls://127.0.0.1:{port}", ca=papers().ca, cert=papers().client) as connection:
            connection.send(b"hello\n")


RENEGOTIATION = r"the peer gave up, because its new handshake on the open connection \(renegotiation\) is refused here"


def test_openssl_server_asks_for_renegotiation():
    """The error says what the peer wanted and that it is refused here, and speaks of no cipher."""
    port = _free_port()
    arguments = ["s_server", "-tls1_2", "-accept", f"127.0.0.1:{port}", "-cert", papers().cert, "-key", papers().cert]
    with Program(needs("openssl"), *arguments) as server:
        _until(server, b"ACCEPT")
        with connect(f"tls://127.0.0.1:{port}", server_name="localhost", ca=papers().ca) as connection:
            connection.send(b"hello\n")
            _until(server, b"hello")
            server.process.stdin.write(b"R\n")  # "end the current session and renegotiate": s_server(1)
            server.process.stdin.flush()
            with pytest.raises(BrokenError, match=RENEGOTIATION):
                connection.receive(timeout=PATIENCE)


def test_openssl_client_asks_for_renegotiation():
    """The same at a server: its end event has the reason."""
    ended = queue.SimpleQueue()

    def note(event):
        if isinstance(event, Closed):
            ended.put(event.error)

    with serve(echo, "tls://127.0.0.1:0", cert=papers().cert, observer=note) as server:
        arguments = ["s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.addresses[0].port}"]
        with Program(needs("openssl"), *arguments) as client:
            client.process.stdin.write(b"hello\n")
            client.process.stdin.flush()
            _until(client, b"hello")
            client.process.stdin.write(b"R\n")
            client.process.stdin.flush()
            error = ended.get(timeout=PATIENCE)
    assert isinstance(error, BrokenError)
    assert re.search(RENEGOTIATION, str(error))


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def _until(server, text):
    data = b""
    while text not in data:
        piece = server.process.stdout.read1()
        assert piece, server.stderr_lines
        data += piece
    return data
