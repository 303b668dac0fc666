"""`copy_both`: bytes between two connections, async and plain, with ends, resets and what was read before."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
import subprocess
import threading

import pytest

from socketkit import connect, copy_both, pair, serve
from socketkit.errors import BrokenError, BusyError, DeadlineError, EndOfStream, StreamError
from socketkit.events import Closed
from support.programs import PATIENCE, Program, needs
from support.recorder import Recorder
from support.tls import papers

DATA = random.Random(3).randbytes(3_000_000)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock: socket.socket) -> bytes:
    came = bytearray()
    while data := sock.recv(1 << 16):
        came += data
    return bytes(came)


class Target:
    """A plain socket that answers, after the end of what it gets, with the digest of it."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def _serve(self):
        sock, _ = self._listener.accept()
        with sock:
            sock.settimeout(PATIENCE)
            sock.sendall(hashlib.sha256(read_all(sock)).digest())

    def __exit__(self, *exception):
        self._thread.join(PATIENCE)
        self._listener.close()


def proxied(url: str, counts: list, first: list, framing: str = "lines:encoding=none"):
    """A handler that reads a line itself, and copies the rest to the target."""

    async def handler(client):
        first.append(await client.receive())
        async with connect(url) as target:
            await target.send(b"intro:")
            counts.append(await copy_both(client, target))

    def plain(client):
        first.append(client.receive())
        with connect(url) as target:
            target.send(b"intro:")
            counts.append(copy_both(client, target))

    return handler, plain


@pytest.mark.parametrize("engine", ["plain", "epoll", "select", "asyncio", "trio"])
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_half_close_and_counts(engine, tls):
    """What was decoded, what follows, the half-close and the answer behind it pass; both directions are counted."""
    counts, first = [], []
    with Target() as target:
        handler, plain = proxied(target.url, counts, first)
        scheme, options = ("tls", {"cert": papers().cert}) if tls else ("tcp", {})
        chosen = {} if engine == "plain" else {"engine": engine}
        work = plain if engine == "plain" else handler
        with serve(work, f"{scheme}://localhost:0", framing="lines:encoding=none", **chosen, **options) as server:
            trust = {"ca": papers().ca, "server_name": "localhost"} if tls else {}
            with connect(server.addresses[0], **trust) as client:
                client.send(b"CONNECT\nline two\nhalf a l" + DATA)
                client.send_eof()
                answer = b"".join(client)
    sent = b"line two\nhalf a l" + DATA
    assert first == [b"CONNECT"]
    assert answer == hashlib.sha256(b"intro:" + sent).digest()
    assert [tuple(found) for found in counts] == [(len(sent), 32)]
    assert counts[0].a_to_b == len(sent)


@pytest.mark.parametrize("plain", [False, True])
def test_reset_is_passed_on(plain):
    """What came before a reset arrives, then the other peer gets a reset too."""
    failed = []

    async def handler(client):
        async with connect(url) as target:
            try:
                await copy_both(client, target)
            except BrokenError as error:
                failed.append(error)

    def plainly(client):
        with connect(url) as target:
            try:
                copy_both(client, target)
            except BrokenError as error:
                failed.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with serve(plainly if plain else handler, "tcp://127.0.0.1:0") as server:
            client = socket.create_connection((server.addresses[0].host, server.addresses[0].port), timeout=PATIENCE)
            target, _ = listener.accept()
            with target:
                target.settimeout(PATIENCE)
                client.sendall(b"hello")
                assert target.recv(5, socket.MSG_WAITALL) == b"hello"
                reset(client)
                with pytest.raises(ConnectionResetError):
                    target.recv(1)
    assert len(failed) == 1


def test_read_before_the_end():
    """What was decoded and not received is copied also where the peer has ended its direction already."""

    async def main(looks_ahead):
        async with pair(framing="lines") as (a, near), pair() as (b, far):
            await a.send_many(["one", "two", "three"])
            await a.send_eof()
            assert await near.receive() == "one"
            if looks_ahead:
                assert await near.peek(1_000) == b"two\nthree\n"
            copying = asyncio.create_task(copy_both(near, b))
            assert await far.receive_exactly(10) == b"two\nthree\n"
            await far.send_eof()
            assert await copying == (10, 0)
            with pytest.raises(EndOfStream):
                await far.receive()
            with pytest.raises(EndOfStream):
                await near.receive()

    for looks_ahead in (False, True):
        asyncio.run(main(looks_ahead))


def test_cancellation_closes_nothing():
    """After a cancellation both connections are open, and work."""

    async def main():
        async with pair(framing="lines") as (a, near), pair(framing="lines") as (b, far):
            copying = asyncio.create_task(copy_both(near, b))
            await a.send("first")
            assert await far.receive() == "first"
            await b.send("sent meanwhile")
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
            assert await far.receive() == "sent meanwhile"
            await a.send("to us")
            assert await near.receive() == "to us"
            await near.send("from us")
            assert await a.receive() == "from us"
            await far.send("back")
            assert await b.receive() == "back"

    asyncio.run(main())


def test_idle_timeout_leaves_them_open():
    async def main():
        async with pair(idle_timeout=0.05) as (a, near), pair() as (b, far):
            with pytest.raises(DeadlineError, match=r"nothing passed for 50ms \(idle_timeout\)"):
                await copy_both(near, b)
            assert not near.is_closed
            await near.send(b"still here")
            assert await a.receive() == b"still here"
            await far.send(b"too")
            assert await b.receive() == b"too"

    asyncio.run(main())


def test_plain_idle_timeout_aborts():
    """In plain code nothing else ends the threads."""
    recorder = Recorder()
    with pair(idle_timeout=0.05, observer=recorder) as (_, near), pair(observer=recorder) as (b, _):
        with pytest.raises(DeadlineError, match="idle_timeout"):
            copy_both(near, b)
        assert near.is_closed
        assert b.is_closed
        assert {event.connection: event.reason for event in recorder.of(Closed)} == dict.fromkeys(
            (near.number, b.number), "timeout"
        )


def test_refused_arguments():
    async def nothing(connection):
        await connection.receive()

    async def main():
        async with pair() as (a, _), pair() as (b, _):
            with pytest.raises(BusyError, match="itself"):
                await copy_both(a, a)
            receiving = asyncio.create_task(b.receive())
            await asyncio.sleep(0)
            with pytest.raises(BusyError, match="already receives"):
                await copy_both(a, b)
            receiving.cancel()
            with pytest.raises(TypeError, match="copy_both takes two connections"):
                copy_both(a, plain)
        async with serve(nothing, "udp://127.0.0.1:0", engine="asyncio") as server, pair() as (a, _):
            async with connect(server.addresses[0]) as datagrams:
                with pytest.raises(StreamError, match="no end of stream"):
                    await copy_both(a, datagrams)

    with pair() as (plain, _):
        asyncio.run(main())


def test_socat_behind_it():
    """Through our proxy a client reaches socat's echo, which passes the half-close back."""
    socat = needs("socat")

    async def handler(client):
        async with connect(f"exec:{socat} - EXEC:cat") as target:
            await copy_both(client, target)

    with serve(handler, "tcp://127.0.0.1:0", engine="asyncio") as server:
        place = server.addresses[0]
        done = subprocess.run(
            [socat, "-t20", "-", f"TCP:{place.host}:{place.port}"], input=DATA, capture_output=True, timeout=PATIENCE
        )
    assert done.stdout == DATA


def test_through_haproxy(tmp_path):
    """haproxy in front of it: half-closes pass through both."""
    haproxy = needs("haproxy")
    counts, first = [], []
    with Target() as target:
        handler, _ = proxied(target.url, counts, first)
        with serve(handler, "tcp://127.0.0.1:0", framing="lines:encoding=none", engine="epoll") as server:
            path = tmp_path / "front.sock"
            config = tmp_path / "haproxy.cfg"
            config.write_text(
                "defaults\n mode tcp\n timeout connect 10s\n timeout client 20s\n timeout server 20s\n"
                f"listen front\n bind {path}\n server one 127.0.0.1:{server.addresses[0].port}\n"
            )
            with Program(haproxy, "-db", "-f", str(config)):
                with connect(f"unix:{path}", retry=100) as client:
                    client.send(b"CONNECT\n" + DATA)
                    client.send_eof()
                    assert b"".join(client) == hashlib.sha256(b"intro:" + DATA).digest()
    assert counts == [(len(DATA), 32)]
