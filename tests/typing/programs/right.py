"""A program without a mistake: the checkers are silent, and see the types that it asserts."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, assert_type

from socketkit import (
    TLS,
    Address,
    BlockingConnection,
    Connection,
    Retry,
    broadcast,
    connect,
    copy_both,
    framing,
    listen,
    open_datagrams,
    pair,
    serve,
)


class Numbers:
    """A codec of a program's own, with numbers for messages."""

    def encode(self, messages: Iterable[int], /) -> bytes:
        return b"".join(message.to_bytes(4) for message in messages)

    def feed(self, data: bytes, /) -> list[int]:
        return list(data)

    def feed_eof(self) -> list[int]:
        return []


def plain(address: str, options: dict[str, Any]) -> None:
    with connect(address, framing="lines", nodelay=True, connect_timeout="2s", retry=Retry(first="100ms")) as lines:
        assert_type(lines, BlockingConnection[str])
        lines.send("text")
        lines.send_many(["one", "two"])
        assert_type(lines.receive(timeout=1), str)
        assert_type(lines.receive_many(timeout="250ms"), list[str])
        assert_type(lines.receive_exactly("1KiB", timeout="2s") + lines.peek(4, timeout="2s"), bytes)
        lines.flush(timeout="2s")
        assert_type(lines.receive_until(b"\n", max_size="64KiB"), bytes)
        for line in lines:
            assert_type(line, str)
        for batch in lines.batches():
            assert_type(batch, list[str])
    with connect(address, framing="chunks", keepalive="no", high_water="64KiB") as chunks:
        assert_type(chunks, BlockingConnection[bytes])
        chunks.send(bytearray(b"bytes"))
        chunks.send(memoryview(b"bytes"))
        chunks.send_many([b"one", bytearray(b"two")])
    with connect(address, framing="json", tls=TLS(cert=["a.pem"], verify="no"), **options) as values:
        assert_type(values, BlockingConnection[Any])
        values.send({"id": 1})
    with connect(address) as unknown:  # the address may name a framing
        assert_type(unknown, BlockingConnection[Any])
    with connect(address, framing=framing.Lines(crlf=True, max_size="64KiB", oversize="skip")) as crlf:
        assert_type(crlf, BlockingConnection[str])
    with connect(address, framing=framing.Lines(encoding=None)) as raw:
        assert_type(raw, BlockingConnection[bytes])
    with connect(address, framing=framing.Length(2)) as frames:
        assert_type(frames, BlockingConnection[bytes])
    with connect(address, framing=Numbers) as numbers:
        assert_type(numbers, BlockingConnection[int])
    for again in connect(address, framing="lines", retry=3):
        assert_type(again, BlockingConnection[str])
    with listen(address, framing="netstring", backlog=5, allow=["10.0.0.0/8"], overload="reject") as listener:
        assert_type(listener.accept(timeout="1s"), BlockingConnection[bytes])
    with pair() as (left, right):
        assert_type(left, BlockingConnection[bytes])
        there, back = copy_both(left, right)
        assert_type(there + back, int)
    with open_datagrams(Address.parse("udp://:0"), framing="lines", broadcast=True) as datagrams:
        datagrams.send_to("text", Address.parse("udp://localhost:9"), timeout="2s")


async def asynchronous(address: str) -> None:
    async with connect(address, framing="lines", engine="asyncio", tls=True) as lines:
        assert_type(lines, Connection[str])
        await lines.send("text")
        assert_type(await lines.receive(), str)
        async for line in lines:
            assert_type(line, str)
        async for batch in lines.batches():
            assert_type(batch, list[str])
    async with pair(framing="slip") as (left, right):
        assert_type(left, Connection[bytes])
        copied = await copy_both(left, right)
        assert_type(copied.a_to_b, int)
        await broadcast([left, right], b"message", slow="wait")
    async for again in connect(address, framing="chunks"):
        assert_type(again, Connection[bytes])
    async with listen(address, framing="cobs") as listener:
        assert_type(await listener.accept(), Connection[bytes])


async def echo_lines(connection: Connection[str]) -> None:
    async for line in connection:
        await connection.send(line.upper())


async def echo_anything(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message)


def echo_plainly(connection: BlockingConnection[bytes]) -> None:
    for message in connection:
        connection.send(message)


def servers(address: str) -> None:
    serve(echo_lines, address, framing="lines", engine="epoll", idle_timeout="30s").run(workers=2)
    serve(echo_lines, address, framing=framing.Lines()).run()
    serve(echo_anything, address, "unix:///run/echo.sock", grace=5).run()
    serve(echo_plainly, address, framing="length:2", max_connections=100, lame_duck="5s").run()
    serve(echo_plainly, address, framing=framing.Fixed(16)).run()
    serve(lambda connection: None, address, framing="lines").run()


def settings(context: ssl.SSLContext) -> tuple[Retry, TLS, TLS]:
    return (
        Retry(attempts=3, first="100ms", maximum=10, deadline="1m"),
        TLS(ca="ca.pem", alpn="h2,http/1.1", minimum_version="1.3", require_client_cert=True),
        TLS(context=context, pin="sha256:00"),
    )


SIZED = (
    framing.Lines(max_size="64KiB", oversize="truncate"),
    framing.Delimited((b"\r\n", r"\n"), max_size="1MiB", oversize="skip"),
    framing.Delimited(r"\0", 4096, "truncate"),
    framing.Fixed("1KiB"),
    framing.Length(2, "le", "header", before=2, beside=r"\x01\x02", max_size="1MiB", oversize="skip"),
    framing.Varint(before="1", max_size="1MiB", oversize="fail"),
    framing.Netstring("1MiB", "skip"),
    framing.Octets(max_size=100, oversize="truncate"),
    framing.ContentLength(max_size="1MB"),
    framing.Cobs(max_size="1KiB", oversize="skip"),
    framing.Slip(max_size="1KiB", oversize="skip"),
    framing.Json(max_size="1MiB", oversize="skip"),
    framing.JsonStream(max_size="1MiB", oversize="skip"),
    framing.Msgpack(max_size="1MiB", oversize="skip", other_keys=7),
)


def framings() -> list[int]:
    """Sizes and counts are given as numbers or as text, and are numbers."""
    assert_type(framing.Netstring(max_size="1MiB").max_size, int)
    assert_type(framing.Delimited(b"\0").delimiters, tuple[bytes, ...])
    return [one.max_size for one in SIZED]
