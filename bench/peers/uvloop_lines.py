"""A line `Protocol` as an expert writes it: split what came, one message after the other, one write; with flow control.

On uvloop's own transports, or on aiofastnet's (Cython) under uvloop's loop.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import Any

import uvloop


class Lines(asyncio.Protocol):
    """Echoes each line as text, as a handler of messages does, and writes what a call has gathered once."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        if self.tail:
            data = self.tail + data
        *lines, self.tail = data.split(b"\n")
        answers = []
        for line in lines:
            message = line.decode()
            answers.append(message.encode() + b"\n")
        if answers:
            self.transport.write(b"".join(answers))

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Count(asyncio.Protocol):
    """Counts the lines, each of them as text; tells how many at the peer's end."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.tail = b""
        self.total = 0

    def data_received(self, data: bytes) -> None:
        if self.tail:
            data = self.tail + data
        *lines, self.tail = data.split(b"\n")
        for line in lines:
            line.decode()
            self.total += 1

    def eof_received(self) -> None:
        self.transport.write(b"%d\n" % self.total)


async def main(transports: str, mode: str) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    factory = Count if mode == "count" else Lines
    context = None
    if mode == "tls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["BENCH_CERT"])
    if transports == "aiofastnet":
        import aiofastnet

        server = await aiofastnet.create_server(loop, factory, "127.0.0.1", 0, backlog=65535, ssl=context)
    else:
        server = await loop.create_server(factory, "127.0.0.1", 0, backlog=65535, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
