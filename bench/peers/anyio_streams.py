"""AnyIO's streams on asyncio, lines by its BufferedByteReceiveStream."""

import socket
import sys

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


async def echo_lines(stream: SocketStream) -> None:
    buffered = BufferedByteReceiveStream(stream)
    while True:
        line = await buffered.receive_until(b"\n", 1024 * 1024)
        await stream.send(line + b"\n")


async def echo_chunks(stream: SocketStream) -> None:
    async for data in stream:
        await stream.send(data)


async def handle(stream: SocketStream) -> None:
    stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with stream:
            await {"lines": echo_lines, "chunks": echo_chunks}[sys.argv[1]](stream)
    except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.EndOfStream):
        pass


async def main() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=65535)
    print(listener.extra(anyio.abc.SocketAttribute.local_port), flush=True)
    await listener.serve(handle)


anyio.run(main)
