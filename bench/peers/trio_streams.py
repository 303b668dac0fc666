"""trio's SocketStream, with the line buffer that everybody writes by hand above it."""

import sys

import trio


async def echo_lines(stream: trio.SocketStream) -> None:
    buffer = bytearray()
    searched = 0
    async for data in stream:
        buffer += data
        while (end := buffer.find(b"\n", searched) + 1) > 0:
            line = bytes(buffer[:end])
            del buffer[:end]
            searched = 0
            await stream.send_all(line)
        searched = len(buffer)


async def echo_chunks(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def count(stream: trio.SocketStream) -> None:
    total = 0
    buffer = bytearray()
    async for data in stream:
        buffer += data
        while (end := buffer.find(b"\n") + 1) > 0:
            bytes(buffer[:end])
            del buffer[:end]
            total += 1
    await stream.send_all(b"%d\n" % total)


async def guarded(stream: trio.SocketStream) -> None:
    try:
        await {"lines": echo_lines, "chunks": echo_chunks, "count": count}[sys.argv[1]](stream)
    except trio.BrokenResourceError:
        pass


async def main() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=65535)
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(guarded, listeners)


trio.run(main)
