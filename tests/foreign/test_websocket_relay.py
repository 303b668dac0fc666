"""`socketkit relay` between WebSocket and everything else: websockets, socat and curl at the other ends."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from socketkit import Address, BrokenError, connect, serve
from support.programs import PATIENCE, Program, needs, socketkit
from support.tls import papers

client = pytest.importorskip("websockets.sync.client")
server = pytest.importorskip("websockets.sync.server")
exceptions = pytest.importorskip("websockets.exceptions")


@contextmanager
def relaying(listen: str, target: object, *arguments: str) -> Iterator[Program]:
    with socketkit("relay", listen, str(target), *arguments) as relay:
        relay.address()
        yield relay


@contextmanager
def foreign_server(handler, **options) -> Iterator[int]:
    """A server of websockets; its port."""
    with server.serve(handler, "127.0.0.1", 0, **options) as at:
        thread = threading.Thread(target=at.serve_forever)
        thread.start()
        try:
            yield at.socket.getsockname()[1]
        finally:
            at.shutdown()
            thread.join(PATIENCE)


def echo(peer) -> None:
    for message in peer:
        peer.send(message)


@contextmanager
def byte_server(answer) -> Iterator[str]:
    """A TCP server that calls this with each accepted socket, one after another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    accepted = listener.accept()[0]
                except OSError:
                    return
                with accepted, suppress(ConnectionResetError):  # which a relay's limit makes
                    accepted.settimeout(PATIENCE)
                    answer(accepted)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def echo_bytes(accepted: socket.socket) -> None:
    while data := accepted.recv(65536):
        accepted.sendall(data)


@pytest.mark.parametrize("arguments", [(), ("--text",)])
def test_socat_reaches_a_websocket(arguments: tuple[str, ...]) -> None:
    """Bytes are binary messages, or text; the end of the input is a close frame, whose answer is the end."""
    kinds: list[type] = []
    ends: list[int] = []

    def answer(peer) -> None:
        for message in peer:
            kinds.append(type(message))
            peer.send(message)
        ends.append(peer.close_code)

    said = "привет, мир\n".encode()
    with foreign_server(answer, subprotocols=["v1"]) as port:
        target = f"ws://127.0.0.1:{port}/chat"
        with relaying("tcp://127.0.0.1:0", target, "--subprotocol", "v1", *arguments) as relay:
            at = relay.address()
            with socket.create_connection((at.host, at.port), timeout=PATIENCE) as sock:
                for piece in (said[:3], said[3:]):  # cut amid a character
                    sock.sendall(piece)
                got = b""
                while len(got) < len(said):
                    got += sock.recv(4096)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(4096) == b""
            assert got == said
            with Program(needs("socat"), "-t", str(PATIENCE), "-", f"tcp:{at.host}:{at.port}") as peer:
                assert peer.process.stdin is not None and peer.process.stdout is not None
                peer.process.stdin.write(said)
                peer.process.stdin.flush()
                assert peer.process.stdout.read(len(said)) == said
                peer.process.stdin.close()
                assert peer.process.stdout.read() == b""
            assert relay.stop() == 0
    assert set(kinds) == {str if arguments else bytes}
    assert ends == [1000, 1000]


def test_a_websocket_client_reaches_socat() -> None:
    """Text and binary are bytes alike; a close frame is the end of its bytes."""
    with Program(needs("socat"), "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat") as target:
        port = target.wait_line("listening on").rpartition(":")[2]
        with relaying("ws://127.0.0.1:0/shell", f"tcp://127.0.0.1:{port}") as relay:
            with client.connect(str(relay.address())) as peer:
                got = b""
                for message in ("text ", b"bytes ", ["frag", "ments"]):
                    peer.send(message)
                while len(got) < 20:
                    got += peer.recv(timeout=PATIENCE)
                assert got == b"text bytes fragments"
            assert peer.close_code == 1000
            with pytest.raises(exceptions.InvalidStatus, match="404"):
                client.connect(str(relay.address()).replace("shell", "no"))
            assert relay.stop() == 0


def test_a_page_of_curl_through_a_websocket() -> None:
    """TCP to WebSocket to TCP: what comes out is what went in, of a real HTTP server, through two relays."""
    page = random.Random(1).randbytes(3_000_000)

    def answer(accepted: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += accepted.recv(4096)
        accepted.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)

    with byte_server(answer) as target, relaying("ws://127.0.0.1:0", target) as inner:
        with relaying("tcp://127.0.0.1:0", inner.address()) as outer:
            url = f"http://127.0.0.1:{outer.address().port}/"
            with Program(needs("curl"), "-sS", "--noproxy", "*", url) as fetched:
                assert fetched.communicate() == page
                assert fetched.wait() == 0


def test_much_both_ways_arrives_whole() -> None:
    """From a UNIX socket over TLS and a WebSocket with compression to an echo, both directions at once."""
    sent = random.Random(2).randbytes(6_000_000)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers().cert)
    with foreign_server(echo, ssl=context) as port:
        at = f"@socketkit-relay-{os.getpid()}"
        with relaying(f"unix://{at}", f"wss://127.0.0.1:{port}/", "--cacert", papers().ca) as relay:
            with connect(relay.address()) as connection:
                got = hashlib.sha256()

                def read() -> None:
                    size = 0
                    while size < len(sent):
                        data = connection.receive(timeout=PATIENCE)
                        size += len(data)
                        got.update(data)

                reader = threading.Thread(target=read)
                reader.start()
                for start in range(0, len(sent), 100_000):
                    connection.send(sent[start : start + 100_000])
                reader.join(2 * PATIENCE)
                assert got.digest() == hashlib.sha256(sent).digest()


def test_between_two_websockets_messages_stay_messages() -> None:
    """Text stays text, an empty message a message, and a close code is passed on, both ways."""
    ends: list[tuple[int, str]] = []

    def answer(peer) -> None:
        try:
            while (message := peer.recv()) != "go away":
                peer.send(message)
            peer.close(4002, "as you wish")
        except exceptions.ConnectionClosed:
            ends.append((peer.close_code, peer.close_reason))

    with foreign_server(answer) as port, relaying("ws://127.0.0.1:0", f"ws://127.0.0.1:{port}/") as relay:
        with client.connect(str(relay.address())) as peer:
            for message in ("text", b"bytes", "", b"", "x" * 300_000):
                peer.send(message)
                assert peer.recv(timeout=PATIENCE) == message
            peer.close(4001, "enough")
        assert peer.close_code == 4001
        with client.connect(str(relay.address())) as peer:
            peer.send("go away")
            with pytest.raises(exceptions.ConnectionClosed) as caught:
                peer.recv(timeout=PATIENCE)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4002, "as you wish")
        assert relay.stop() == 0
    assert ends == [(4001, "enough")]


def test_a_datagram_is_a_message() -> None:
    """Datagrams have no end: a close frame is answered at once."""

    async def answer(connection) -> None:
        async for message in connection:
            await connection.send(message.upper())

    with serve(answer, "udp://127.0.0.1:0", engine="poll", grace=0) as target:
        with relaying("ws://127.0.0.1:0", target.addresses[0]) as relay, client.connect(str(relay.address())) as peer:
            for message in ("one", b"two"):
                peer.send(message)
                answer = b"ONE" if message == "one" else b"TWO"
                assert peer.recv(timeout=PATIENCE) == answer
            peer.close(4001, "enough")
            assert peer.protocol.close_rcvd is not None
            assert peer.protocol.close_rcvd.code == 4001


def test_losses_and_limits_have_a_code() -> None:
    """A reset of the other side is 1014, and so is a target that is not there; a limit is 1001."""

    def reset(accepted: socket.socket) -> None:
        accepted.recv(100)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def close_of(address: Address) -> tuple[int | None, str]:
        with connect(address) as connection:
            connection.send("x")
            with pytest.raises((BrokenError, EOFError)) as caught:
                connection.receive(timeout=PATIENCE)
            return caught.value.close_code, caught.value.close_reason  # type: ignore[attr-defined]

    with byte_server(reset) as target, relaying("ws://127.0.0.1:0", target) as relay:
        assert close_of(relay.address()) == (1014, "the other side was lost")
    with relaying("ws://127.0.0.1:0", target) as relay:
        assert close_of(relay.address()) == (1014, "the other side was lost")
    with byte_server(echo_bytes) as target, relaying("ws://127.0.0.1:0", target, "--max-duration", "200ms") as relay:
        with connect(relay.address()) as connection, pytest.raises(EOFError) as caught:
            connection.receive(timeout=PATIENCE)
        assert caught.value.close_code == 1001  # type: ignore[attr-defined]

    def fail(peer) -> None:
        peer.recv()
        peer.close(1011, "on purpose")

    with foreign_server(fail) as port, relaying("tcp://127.0.0.1:0", f"ws://127.0.0.1:{port}/") as relay:
        at = relay.address()
        with socket.create_connection((at.host, at.port), timeout=PATIENCE) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(100)


def test_what_is_no_text_is_one_line() -> None:
    with foreign_server(echo) as port:
        with socketkit("relay", "-", f"ws://127.0.0.1:{port}/", "--text") as relay:
            assert relay.communicate(b"ok \xff") == b""
            assert relay.wait() == 5
            assert relay.stderr_lines[-1].endswith("as text is not UTF-8: invalid start byte")


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    for arguments, says in (
        (("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--text"), "--text: it has no effect here"),
        (("tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "--header", "X: 1"), "--header: it has no effect at tcp:"),
        (("ws://127.0.0.1:0", "tcp://127.0.0.1:1", "--origin", "http://x"), "--origin: it has no effect at tcp:"),
        (("tcp://127.0.0.1:0", "ws://127.0.0.1:1", "--origins", "*"), "--origins: it has no effect at tcp:"),
        (("ws://127.0.0.1:0", "--dynamic", "socks5"), "clients of a proxy speak SOCKS5 or HTTP"),
    ):
        with socketkit("relay", *arguments) as relay:
            relay.communicate()
            assert relay.wait() == 2, relay.stderr_lines
            assert says in relay.stderr_lines[-1]
