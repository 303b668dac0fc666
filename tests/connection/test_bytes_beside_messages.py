"""Bytes beside messages: the contract over sockets and TLS, in plain code, in memory, and over datagrams."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.bytes_contract import BytesContract
from socketkit import (
    TLS,
    EndOfStream,
    FramingError,
    HandshakeError,
    StreamError,
    TruncatedFrameError,
    connect,
    pair,
    serve,
)
from support.connections import talk
from support.tls import papers


class TestTcp(BytesContract):
    """Over TCP, on every engine."""

    def connected(self, engine, framing, **options):
        return talk(engine, framing, kind="tcp4", **options)


class TestUnix(BytesContract):
    """Over UNIX sockets, on every engine."""

    def connected(self, engine, framing, **options):
        return talk(engine, framing, kind="unix", **options)

    test_loss_after_the_bytes = None  # a UNIX socket has no reset


def test_plain_code():
    with pair(framing="lines") as (left, right):
        left.send_many(["SIZE 3", "ab", "next;"])
        assert right.receive() == "SIZE 3"
        assert right.peek(2) == b"ab"
        assert right.receive_exactly(3) == b"ab\n"
        assert right.receive_until(b";", max_size=4) == b"next"
        left.send("")
        left.send_eof()
        assert [right.receive(), right.receive()] == ["", ""]
        with pytest.raises(EndOfStream):
            right.receive_exactly(1)


def test_pair_in_memory():
    async def main():
        async with pair(framing="netstring") as (left, right):
            await left.send(b"one")
            await left.send(b"two")
            await left.send_eof()
            assert await right.receive_exactly(2) == b"3:"
            assert await right.receive_until(b",") == b"one"
            assert await right.receive() == b"two"
            with pytest.raises(EndOfStream):
                await right.peek(1)

    asyncio.run(main())


def test_datagrams_have_no_bytes_beside():
    """A clear error, and the session goes on."""

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    with serve(echo, "udp://127.0.0.1:0", engine="epoll") as server, connect(server.addresses[0]) as client:
        for verb in (lambda: client.receive_exactly(1), lambda: client.receive_until(b";"), lambda: client.peek(1)):
            with pytest.raises(StreamError, match=r"^\w+: datagrams have no bytes beside their messages: use receive$"):
                verb()
        client.send(b"still there")
        assert client.receive(timeout=20) == b"still there"


def test_truncated_in_plain_code():
    with pair() as (left, right):
        left.send(b"abc")
        left.send_eof()
        with pytest.raises(TruncatedFrameError) as caught:
            right.receive_exactly(4)
        assert caught.value.partial == b"abc"
        assert right.receive() == b"abc"


def test_over_tls_after_start_tls(engine):
    """The change to TLS between bytes and messages, both ways; offsets go on counting the bytes of the peer."""
    reported = []

    async def handler(connection):
        assert await connection.receive_until(b"\r\n") == b"STARTTLS"
        await connection.send(b"go ahead")
        await connection.start_tls(TLS(cert=papers().cert))
        assert await connection.receive() == b"one"
        assert await connection.peek(1) == b"t"
        assert await connection.receive_exactly(3) == b"two"
        try:
            await connection.receive()
        except FramingError as error:
            reported.append(error.offset)
        assert await connection.receive_until(b"!") == b"fault"
        await connection.send(b"done")

    async def main():
        async with (
            serve(handler, "tcp://127.0.0.1:0", framing="netstring", engine=engine) as server,
            connect(server.addresses[0], engine=engine) as connection,
        ):
            await connection.send(b"STARTTLS\r\n")
            assert await connection.receive_exactly(11) == b"8:go ahead,"
            await connection.start_tls(TLS(ca=papers().ca))
            await connection.send(b"3:one,twofault!")
            assert await connection.receive_until(b",") == b"4:done"
            await connection.send_eof()
            with pytest.raises(EndOfStream):
                await connection.receive_exactly(1)

    engine.run(main())
    assert reported == [19]


def test_bytes_before_start_tls_are_an_injection():
    """A client that has peeked at bytes behind the answer refuses them all the same."""

    async def handler(connection):
        assert await connection.receive() == "STARTTLS"
        await connection.send_many(["go ahead", "injected"])
        async for _ in connection:
            pass

    with (
        serve(handler, "tcp://127.0.0.1:0", framing="lines", engine="epoll") as server,
        connect(server.addresses[0], framing="lines") as connection,
    ):
        connection.send("STARTTLS")
        assert connection.receive_until(b"\n") == b"go ahead"
        assert connection.peek(8) == b"injected"
        with pytest.raises(HandshakeError, match="9 bytes came in plain text before it"):
            connection.start_tls(TLS(ca=papers().ca))


def test_detached_stream_after_peek(engine):
    """A relay takes over after a look at the first bytes: what was read and not received is still there."""

    async def main():
        with talk(engine, "chunks") as (connection, far):
            far.sendall(b"GET / HTTP/1.1\r\n\r\nbody")
            assert await connection.peek(3) == b"GET"
            assert await connection.receive_until(b"\r\n") == b"GET / HTTP/1.1"
            stream = connection.internals.detach_stream()
            assert b"".join(connection.internals.unread_messages()) == b"\r\nbody"
            far.sendall(b"more")
            assert await stream.receive() == b"more"

    engine.run(main())


def test_descriptors_after_reframe(engine):
    """Descriptors stay with their message after a change of the framing."""

    async def main():
        with talk(engine, "lines", kind="unix") as (connection, far):
            far.sendall(b"one\n3:abc,")
            assert await connection.receive_descriptors() == ("one", ())
            connection.reframe("netstring")
            assert await connection.receive_descriptors() == (b"abc", ())
            read, write = os.pipe()
            socket.send_fds(far, [b"1:x,1:y,"], [write])
            os.close(write)
            assert await connection.receive_descriptors() == (b"x", ())
            message, (received,) = await connection.receive_descriptors()
            assert message == b"y"
            os.write(received, b"through it")
            assert os.read(read, 100) == b"through it"
            os.close(received)
            os.close(read)

    engine.run(main())


def test_the_page_is_true():
    """The example of docs/bytes.md runs."""
    page = (Path(__file__).parents[2] / "docs" / "bytes.md").read_text()
    (example,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", page, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr) == ("notes.txt: 12 bytes, 3 lines\nempty: 0 bytes, 0 lines\n", "")
