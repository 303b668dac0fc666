"""A WebSocket echo on `websockets`, on uvloop."""

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    async with serve(echo, "127.0.0.1", 0, compression=None, backlog=65535) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


assert sys.argv[1:] == ["websocket"]
uvloop.run(main())
