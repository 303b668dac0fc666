"""socketkit, on the engine that is named first (`threads`: a plain function, a thread a connection)."""

import os
import signal
import sys
from typing import Any

from socketkit import BlockingConnection, Connection, engines, serve

engine, mode = sys.argv[1:]


async def echo(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message)


async def echo_batches(connection: Connection) -> None:
    async for messages in connection.batches():
        await connection.send_many(messages)


async def count(connection: Connection) -> None:
    total = 0
    async for _ in connection:
        total += 1
    await connection.send(str(total))


async def count_batches(connection: Connection) -> None:
    total = 0
    async for messages in connection.batches():
        total += len(messages)
    await connection.send(str(total))


def plain_echo(connection: BlockingConnection) -> None:
    for message in connection:
        connection.send(message)


def plain_count(connection: BlockingConnection) -> None:
    total = 0
    for _ in connection:
        total += 1
    connection.send(str(total))


ASYNC: dict[str, Any] = {
    "lines": echo,
    "chunks": echo,
    "batches": echo_batches,
    "count": count,
    "count-batches": count_batches,
    "tls": echo,
    "tls-batches": echo_batches,
    "websocket": echo,
    "websocket-batches": echo_batches,
}
PLAIN: dict[str, Any] = {"lines": plain_echo, "chunks": plain_echo, "count": plain_count}

handler = (PLAIN if engine == "threads" else ASYNC)[mode]
has_chunks = mode == "chunks" or mode.startswith("websocket")
options: dict[str, Any] = {"framing": "chunks" if has_chunks else "lines", "max_connections": 1_000_000}
if mode.startswith("websocket"):
    recipe = serve(handler, "ws://127.0.0.1:0", **options)
elif mode.startswith("tls"):
    recipe = serve(handler, "tls://127.0.0.1:0", cert=os.environ["BENCH_CERT"], **options)
else:
    recipe = serve(handler, "tcp://127.0.0.1:0", **options)


async def main() -> None:
    async with recipe as server:
        print(server.addresses[0].port, flush=True)
        await server.wait_closed()


if engine == "threads":
    with recipe as server:
        print(server.addresses[0].port, flush=True)
        signal.pause()
else:
    engines.make(engine).run(main())
