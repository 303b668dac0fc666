"""A program whose every marked line is a mistake, with the kind of message that each checker has for it."""

from __future__ import annotations

from socketkit import (
    TLS,
    BlockingConnection,
    Connection,
    Retry,
    broadcast,
    connect,
    framing,
    listen,
    open_datagrams,
    pair,
    serve,
)


def plain(address: str) -> None:
    connect(address, nodely=True)  # mypy: call-overload; pyright: reportCallIssue
    connect(address, nodelay="maybe")  # mypy: call-overload; pyright: reportArgumentType
    connect(address, connect_timeout=b"2s")  # mypy: call-overload; pyright: reportArgumentType
    connect(address, backlog=5)  # mypy: call-overload; pyright: reportCallIssue
    connect(address, engine="asynci")  # mypy: call-overload; pyright: reportArgumentType
    connect(address, send_proxy="v3")  # mypy: call-overload; pyright: reportArgumentType
    connect(address, framing=5)  # mypy: call-overload; pyright: reportArgumentType
    connect(5432)  # mypy: call-overload; pyright: reportArgumentType
    listen(address, overload="drop")  # mypy: call-overload; pyright: reportArgumentType
    listen(address, grace=5)  # mypy: call-overload; pyright: reportCallIssue
    pair(max_connections=5)  # mypy: call-overload; pyright: reportCallIssue
    open_datagrams(address, keepalive=True)  # mypy: call-overload; pyright: reportCallIssue
    with connect(address, framing="lines") as lines:
        lines.send(b"bytes")  # mypy: arg-type; pyright: reportArgumentType
        lines.send_many([1, 2])  # mypy: list-item; pyright: reportArgumentType
        number: int = lines.receive()  # mypy: assignment; pyright: reportAssignmentType
        lines.receive(timout=1)  # mypy: call-arg; pyright: reportCallIssue
        lines.receive(timeout=b"1s")  # mypy: arg-type; pyright: reportArgumentType
        lines.recieve()  # mypy: attr-defined; pyright: reportAttributeAccessIssue
        print(number)
    with connect(address, framing="chunks") as chunks:
        chunks.send("text")  # mypy: call-overload; pyright: reportArgumentType
        text: str = chunks.receive()  # mypy: assignment; pyright: reportAssignmentType
        print(text)
    with connect(address, framing=framing.Lines(encoding=None)) as raw:
        raw.send("text")  # mypy: call-overload; pyright: reportArgumentType
    with pair() as (left, right):
        left.send("text")  # mypy: call-overload; pyright: reportArgumentType
        broadcast([left, right], b"message", slow="skip")  # mypy: arg-type; pyright: reportArgumentType


async def asynchronous(address: str) -> None:
    async with connect(address, framing="lines") as lines:
        await lines.send(5)  # mypy: arg-type; pyright: reportArgumentType
        async for line in lines:
            line.decode()  # mypy: attr-defined; pyright: reportAttributeAccessIssue


async def echo(connection: Connection[str]) -> None:
    async for line in connection:
        await connection.send(line)


def forgets_async(connection: Connection[str]) -> None:
    connection.abort()


def plainly(connection: BlockingConnection[bytes]) -> None:
    connection.close()


def servers(address: str) -> None:
    serve(forgets_async, address, framing="lines").run()  # mypy: arg-type; pyright: reportArgumentType
    serve(plainly, address, framing=framing.Lines()).run()  # mypy: misc; pyright: reportArgumentType
    serve(echo, address, framing="lines", max_conections=5).run()  # mypy: call-overload; pyright: reportCallIssue
    serve(echo, address, framing="lines", happy_eyeballs_delay=1)  # mypy: call-overload; pyright: reportCallIssue


def settings() -> None:
    Retry(first=b"100ms")  # mypy: arg-type; pyright: reportArgumentType
    Retry(attempt=3)  # mypy: call-arg; pyright: reportCallIssue
    TLS(verify="maybe")  # mypy: arg-type; pyright: reportArgumentType
    TLS(minimum_version="1.1")  # mypy: arg-type; pyright: reportArgumentType
    TLS(cafile="ca.pem")  # mypy: call-arg; pyright: reportCallIssue
    framing.Lines(oversize="ignore")  # mypy: call-overload; pyright: reportArgumentType
    framing.Length(2, endian="le")  # mypy: call-arg; pyright: reportCallIssue
    framing.Lines(max_size=b"1MiB")  # mypy: call-overload; pyright: reportArgumentType
    framing.Delimited(b"\n", max_size=1.5)  # mypy: arg-type; pyright: reportArgumentType
    framing.Delimited(10)  # mypy: arg-type; pyright: reportArgumentType
    framing.Delimited((b"\n", 10))  # mypy: arg-type; pyright: reportArgumentType
    framing.Delimited(b"\n", oversize="drop")  # mypy: arg-type; pyright: reportArgumentType
    framing.Fixed(None)  # mypy: arg-type; pyright: reportArgumentType
    framing.Length(4, max_size=None)  # mypy: arg-type; pyright: reportArgumentType
    framing.Length(4, oversize="error")  # mypy: arg-type; pyright: reportArgumentType
    framing.Length(4, order="middle")  # mypy: arg-type; pyright: reportArgumentType
    framing.Length(4, includes="nothing")  # mypy: arg-type; pyright: reportArgumentType
    framing.Varint(oversize="cut")  # mypy: arg-type; pyright: reportArgumentType
    framing.Netstring(max_size=[1])  # mypy: arg-type; pyright: reportArgumentType
    framing.Octets(oversize="")  # mypy: arg-type; pyright: reportArgumentType
    framing.ContentLength(max_size=b"1")  # mypy: arg-type; pyright: reportArgumentType
    framing.Cobs(oversize=True)  # mypy: arg-type; pyright: reportArgumentType
    framing.Slip(max_size=0.5)  # mypy: arg-type; pyright: reportArgumentType
    framing.Json(oversize="truncate")  # mypy: arg-type; pyright: reportArgumentType
    framing.JsonStream(oversize="truncate")  # mypy: arg-type; pyright: reportArgumentType
    framing.Msgpack(oversize="truncate")  # mypy: arg-type; pyright: reportArgumentType
    size: str = framing.Netstring(max_size="1MiB").max_size  # mypy: assignment; pyright: reportAssignmentType
    print(size)
