"""EasyNetwork's AsyncTCPNetworkServer with its line serializer."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator

from easynetwork.protocol import StreamProtocol
from easynetwork.serializers import StringLineSerializer
from easynetwork.servers import AsyncTCPNetworkServer
from easynetwork.servers.handlers import AsyncStreamClient, AsyncStreamRequestHandler


class Echo(AsyncStreamRequestHandler[str, str]):
    async def handle(self, client: AsyncStreamClient[str]) -> AsyncGenerator[None, str]:
        await client.send_packet((yield))


async def main() -> None:
    assert sys.argv[1] == "lines"
    logging.disable()
    protocol = StreamProtocol(StringLineSerializer())
    async with AsyncTCPNetworkServer("127.0.0.1", 0, protocol, Echo(), "asyncio", backlog=65535) as server:
        task = asyncio.create_task(server.serve_forever())
        while not server.get_addresses():
            await asyncio.sleep(0.01)
        print(server.get_addresses()[0].port, flush=True)
        await task


asyncio.run(main())
