"""A WebSocket through our proxies: the handshake begins behind the last of them."""

from __future__ import annotations

import pytest

from socketkit import Connection, connect, serve
from support.programs import socketkit

pytest.importorskip("h11", reason="the extra ws is not installed")


async def echo(connection: Connection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("protocol", ["socks5", "http"])
def test_websocket(protocol: str) -> None:
    with (
        serve(echo, "ws://127.0.0.1:0/chat", engine="poll") as server,
        socketkit("relay", "tcp://127.0.0.1:0", "--dynamic", protocol) as proxy,
    ):
        to = f"ws://localhost:{server.addresses[0].port}/chat"
        with connect(to, proxy=f"{protocol}://127.0.0.1:{proxy.address().port}") as connection:
            connection.send("hello")
            assert connection.receive() == "hello"
