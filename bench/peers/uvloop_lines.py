"""uvloop with a `Protocol` written by hand for lines: split what came, one message after the other, one write."""

from __future__ import annotations

import asyncio
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


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Lines, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    assert sys.argv[1] == "lines"
    uvloop.run(main())
