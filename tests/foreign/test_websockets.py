"""WebSocket with two implementations that are not ours: websockets and aiohttp."""

from __future__ import annotations

import asyncio
import threading

import pytest

from socketkit import BrokenError, EndOfStream, connect, serve

ANY = "ws://127.0.0.1:0/chat"
MESSAGES = ["привет", b"\0\xff" * 10, "", "long " * 50_000, b"x" * 400_000]


async def echo(connection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_is_our_client(compression) -> None:
    client = pytest.importorskip("websockets.sync.client")
    exceptions = pytest.importorskip("websockets.exceptions")
    with serve(echo, ANY, engine="poll", subprotocols="v1") as server:
        with client.connect(str(server.addresses[0]), compression=compression, subprotocols=["v1"]) as peer:
            assert peer.subprotocol == "v1"
            for message in MESSAGES:
                peer.send(message)
                assert peer.recv(timeout=20) == message
            peer.send(["fragments ", "of ", "one"])
            assert peer.recv(timeout=20) == "fragments of one"
            assert peer.ping().wait(20)
        assert peer.close_code == 1000
        with pytest.raises(exceptions.InvalidStatus, match="404"):
            client.connect(str(server.addresses[0]) + "/no")


@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_websockets_is_our_server(compression) -> None:
    sync = pytest.importorskip("websockets.sync.server")

    def handler(peer) -> None:
        for message in peer:
            if message == "close":
                peer.close(1001, "away")
                return
            peer.send(message)

    with sync.serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}/", compression=compression) as connection:
            for message in MESSAGES:
                connection.send(message)
                assert connection.receive(timeout=20) == message
            connection.send("close")
            with pytest.raises(EndOfStream) as caught:
                connection.receive(timeout=20)
        assert (caught.value.close_code, caught.value.close_reason) == (1001, "away")
        server.shutdown()
        thread.join(20)


def test_aiohttp_is_our_client() -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def talk(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as peer:
            for message in MESSAGES:
                await (peer.send_str(message) if isinstance(message, str) else peer.send_bytes(message))
                assert (await peer.receive(20)).data == message
            await peer.ping()
            await peer.close(code=4000)
            assert peer.close_code == 4000

    with serve(echo, ANY, engine="poll") as server:
        asyncio.run(talk(str(server.addresses[0]).replace("ws:", "http:")))


def test_aiohttp_is_our_server() -> None:
    web = pytest.importorskip("aiohttp.web")

    async def handler(request):
        peer = web.WebSocketResponse()
        await peer.prepare(request)
        async for message in peer:
            await (peer.send_str(message.data) if isinstance(message.data, str) else peer.send_bytes(message.data))
        return peer

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/chat", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/chat") as connection:
            for message in MESSAGES:
                await connection.send(message)
                assert await connection.receive(timeout=20) == message
        await runner.cleanup()

    asyncio.run(run())


@pytest.mark.parametrize("is_plain", [False, True])
def test_websockets_gets_our_code(is_plain) -> None:
    """A code of the handler's own is what `websockets` reads, and its code is what we read."""
    client = pytest.importorskip("websockets.sync.client")
    exceptions = pytest.importorskip("websockets.exceptions")
    errors: list[BrokenError] = []

    async def handler(connection) -> None:
        if await connection.receive() == "you":
            await connection.close(code=4001, reason="ours")
        try:
            await connection.receive()
        except BrokenError as error:
            errors.append(error)

    def plain(connection) -> None:
        if connection.receive() == "you":
            connection.close(code=4001, reason="ours")
        try:
            connection.receive()
        except BrokenError as error:
            errors.append(error)

    with serve(plain if is_plain else handler, ANY) as server:
        with client.connect(str(server.addresses[0])) as peer:
            peer.send("you")
            with pytest.raises(exceptions.ConnectionClosedError):
                peer.recv(timeout=20)
        assert (peer.close_code, peer.close_reason) == (4001, "ours")
        with client.connect(str(server.addresses[0])) as peer:
            peer.send("I")
            peer.close(4002, "theirs")
        server.wait_idle(timeout=20)
    assert [(error.close_code, error.close_reason) for error in errors] == [(4002, "theirs")]
