"""Tornado's TCPServer and IOStream."""

import asyncio
import socket
import sys

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer


class EchoLines(TCPServer):
    async def handle_stream(self, stream: IOStream, address: object) -> None:
        stream.set_nodelay(True)
        try:
            while True:
                await stream.write(await stream.read_until(b"\n", max_bytes=1024 * 1024))
        except StreamClosedError:
            pass


class EchoChunks(TCPServer):
    async def handle_stream(self, stream: IOStream, address: object) -> None:
        stream.set_nodelay(True)
        try:
            while True:
                await stream.write(await stream.read_bytes(256 * 1024, partial=True))
        except StreamClosedError:
            pass


async def main() -> None:
    server = {"lines": EchoLines, "chunks": EchoChunks}[sys.argv[1]]()
    listener = socket.create_server(("127.0.0.1", 0), backlog=65535)
    listener.setblocking(False)
    server.add_socket(listener)
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
