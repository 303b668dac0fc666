"""Bytes beside messages: the contract over sockets and TLS, in plain code, in memory, and over datagrams."""

from __future__ import annotations

import asyncio

import pytest

from contracts.bytes_contract import BytesContract
from socketkit import EndOfStream, StreamError, TruncatedFrameError, connect, pair, serve
from support.connections import talk


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
