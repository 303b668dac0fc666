"""What is left of a connection that has ended: nothing, at once, without the collector of cycles."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from socketkit import TLS, Connection, connect, serve
from support.programs import PATIENCE

ADDRESSES = ["tcp4://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0/"]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the collector of cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("dies", [False, True], ids=["ends", "dies"])
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.usefixtures("uncollected")
def test_connection_is_freed_at_once(address: str, dies: bool) -> None:
    """An error that was raised holds the frames that it passed: the connection must not hold the error."""
    seen: list[weakref.ref[Any]] = []

    async def handler(connection: Connection[Any]) -> None:
        seen.append(weakref.ref(connection))
        if type(stream := connection.internals.stream).__weakrefoffset__:
            seen.append(weakref.ref(stream))
        await connection.send(b"hello")
        async for _ in connection:
            pass

    async def main() -> None:
        options: dict[str, Any] = {"tls": TLS(self_signed=True)} if address.startswith("tls") else {}
        async with serve(handler, address, **options) as server:
            (real,) = server.addresses
            client: dict[str, Any] = {"tls": TLS(verify=False)} if options else {}
            async with connect(real, **client) as connection:
                assert await connection.receive() == b"hello"
                if dies:
                    raw = connection.socket
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.abort()
            async with asyncio.timeout(PATIENCE):
                await server.wait_idle()
                while any(each() is not None for each in seen):  # its task ends in the next turn
                    await asyncio.sleep(0)

    asyncio.run(main())
