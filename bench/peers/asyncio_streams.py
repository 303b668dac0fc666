"""asyncio's streams, as its own documentation writes an echo server; on asyncio's loop or on uvloop's."""

import asyncio
import os
import ssl
import sys

loop, mode = sys.argv[1:]
LIMIT = 1024 * 1024


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def echo_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(256 * 1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    total = 0
    while await reader.readline():
        total += 1
    writer.write(b"%d\n" % total)
    await writer.drain()
    writer.close()


HANDLERS = {"lines": echo_lines, "chunks": echo_chunks, "count": count, "tls": echo_lines}


async def main() -> None:
    context = None
    if mode == "tls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["BENCH_CERT"])
    server = await asyncio.start_server(HANDLERS[mode], "127.0.0.1", 0, limit=LIMIT, backlog=65535, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if loop == "uvloop":
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
