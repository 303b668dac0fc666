"""A hub of lines: what one connection sends after the word PUBLISH goes to all the others, by `broadcast`."""

from __future__ import annotations

import sys

from socketkit import Connection, broadcast, engines, serve

members: set[Connection] = set()


async def talk(connection: Connection) -> None:
    """A first line PUBLISH makes the connection a publisher; any other one a reader."""
    if await connection.receive() == "PUBLISH":
        async for line in connection:
            broadcast(members, line, slow="drop")
        return
    members.add(connection)
    await connection.send("ready")
    try:
        async for _ in connection:
            pass
    finally:
        members.discard(connection)


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(talk, "tcp4://127.0.0.1:0", framing="lines", engine=engine, high_water="4MiB") as server:
        print(server.addresses[0].port, flush=True)
        await engine.event().wait()


engine = engines.make(sys.argv[1])
engine.run(main())
