"""`copy_both` with a WebSocket at one side or at both, async and plain: messages, ends, resets, counts."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import threading

import pytest

from socketkit import connect, copy_both, serve
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, FramingError
from socketkit.events import Closed
from socketkit.websocket.frames import BINARY, CLOSE, FIN, PING, PONG, TEXT
from support.connections import PATIENCE
from support.recorder import Recorder
from support.streams import reset
from support.websockets import client_of

DATA = random.Random(5).randbytes(3_000_000)
WS = "ws://127.0.0.1:0/chat"
TCP = "tcp://127.0.0.1:0"


class Proxy:
    """A server that copies between each client and a target, in async or plain code; what came of it."""

    def __init__(self, listen: str, target: object, engine: str, **options) -> None:
        self.counts: list[tuple[int, int]] = []
        self.errors: list[BaseException] = []
        self.recorder = Recorder()
        self._target = str(target)
        chosen = {} if engine == "plain" else {"engine": engine}
        work = self._plain if engine == "plain" else self._async
        self._context = serve(work, listen, observer=self.recorder, **chosen, **options)

    async def _async(self, client) -> None:
        async with connect(self._target) as target:
            try:
                self.counts.append(tuple(await copy_both(client, target)))
            except Exception as error:
                self.errors.append(error)

    def _plain(self, client) -> None:
        with connect(self._target) as target:
            try:
                self.counts.append(tuple(copy_both(client, target)))
            except Exception as error:
                self.errors.append(error)

    def __enter__(self) -> Proxy:
        self._server = self._context.__enter__()
        self.address = self._server.addresses[0]
        return self

    def __exit__(self, *exception) -> None:
        if exception[0] is None:
            self._server.wait_idle(timeout=PATIENCE)
        self._context.__exit__(*exception)


async def digest(connection) -> None:
    """Answer the end with the digest of everything before it."""
    found, kinds = hashlib.sha256(), set()
    async for message in connection:
        kinds.add(type(message).__name__)
        found.update(message.encode() if isinstance(message, str) else message)
    await connection.send(found.digest())
    await connection.send(",".join(sorted(kinds)).encode())


ENGINES = pytest.mark.parametrize("engine", ["plain", "epoll", "select", "asyncio", "trio"])


@ENGINES
def test_stream_to_websocket(engine) -> None:
    """Bytes are binary messages; FIN is a close frame, behind which the answer still comes."""
    with serve(digest, WS) as target, Proxy(TCP, target.addresses[0], engine) as proxy:
        with connect(proxy.address) as client:
            client.send(DATA)
            client.send_eof()
            assert b"".join(client) == hashlib.sha256(DATA).digest() + b"bytes"
    assert proxy.counts == [(len(DATA), 37)]
    assert not proxy.errors


@ENGINES
def test_websocket_to_stream(engine) -> None:
    """The bytes of text and binary messages are a stream; a close frame is FIN."""
    parts = [DATA[start : start + 750_000] for start in range(0, len(DATA), 750_000)]
    with serve(digest, TCP) as target, Proxy(WS, target.addresses[0], engine) as proxy:
        with connect(proxy.address) as client:
            client.send_many(["привет", *parts, "", b"end"])
            client.send_eof()
            answers = list(client)
    sent = "привет".encode() + DATA + b"end"
    assert b"".join(answers) == hashlib.sha256(sent).digest() + b"bytes"
    assert proxy.counts == [(len(sent), 37)]


@ENGINES
def test_two_websockets(engine) -> None:
    """Messages stay messages and text stays text, also empty ones; the code and the reason of the end are passed on."""

    async def echo(connection) -> None:
        try:
            while True:
                await connection.send(await connection.receive())
        except EndOfStream as end:
            assert (end.close_code, end.close_reason) == (1001, "leaving")
        await connection.close(code=1000, reason="done")

    messages = ["привет", b"\0\xff", "", b"", "x" * 300_000, DATA[:500_000]]
    with serve(echo, WS) as target, Proxy(WS, target.addresses[0], engine) as proxy:
        with client_of(proxy.address, "/chat") as peer:
            for message in messages:
                is_text = isinstance(message, str)
                frame = FIN | (TEXT if is_text else BINARY), message.encode() if is_text else message
                peer.send(*frame)
                assert peer.receive() == frame
            peer.send(FIN | CLOSE, b"\x03\xe9leaving")
            assert peer.receive() == (FIN | CLOSE, b"\x03\xe8done")
            assert peer.at_end()
    size = sum(len(message.encode() if isinstance(message, str) else message) for message in messages)
    assert proxy.counts == [(size, size)]


@pytest.mark.parametrize("engine", ["plain", "epoll"])
def test_loss_of_a_stream_is_1014(engine) -> None:
    """What came before it arrives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Proxy(WS, url, engine) as proxy, client_of(proxy.address, "/chat") as peer:
            accepted = listener.accept()[0]
            accepted.sendall(b"last")
            assert peer.receive() == (FIN | BINARY, b"last")
            reset(accepted)
            first, payload = peer.receive()
            assert (first, payload[:2]) == (FIN | CLOSE, (1014).to_bytes(2, "big"))
    assert isinstance(proxy.errors[0], BrokenError)


@pytest.mark.parametrize("engine", ["plain", "epoll"])
@pytest.mark.parametrize(
    ("first", "payload", "kind"), [(CLOSE, b"\x0f\xa1no", BrokenError), (TEXT, b"\xff", FramingError)]
)
def test_an_error_of_a_websocket_resets_the_stream(engine, first, payload, kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Proxy(WS, url, engine) as proxy, client_of(proxy.address, "/chat") as peer:
            with listener.accept()[0] as accepted:
                accepted.settimeout(PATIENCE)
                peer.send(FIN | TEXT, b"last")
                assert accepted.recv(4, socket.MSG_WAITALL) == b"last"
                peer.send(FIN | first, payload)
                with pytest.raises(ConnectionResetError):
                    accepted.recv(1)
    assert isinstance(proxy.errors[0], kind)


@pytest.mark.parametrize("engine", ["plain", "epoll"])
def test_a_code_is_passed_on(engine) -> None:
    errors: list[BrokenError] = []

    async def handler(connection) -> None:
        try:
            await connection.receive()
        except BrokenError as error:
            errors.append(error)

    with serve(handler, WS) as target:
        with Proxy(WS, target.addresses[0], engine) as proxy, client_of(proxy.address, "/chat") as peer:
            peer.send(FIN | CLOSE, b"\x0f\xa1no such room")
            peer.receive()
        target.wait_idle(timeout=PATIENCE)
    assert [(error.close_code, error.close_reason) for error in errors] == [(4001, "no such room")]


def test_framing_and_read_ahead() -> None:
    """What was read and not received is copied as it came; after a cancellation the framing holds again."""

    async def main() -> None:
        asked = asyncio.Event()

        async def handler(client) -> None:
            assert await client.receive() == {"to": "target"}
            async with connect(target.addresses[0]) as far:
                copying = asyncio.create_task(copy_both(client, far))
                await asked.wait()
                copying.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await copying
                await client.send({"copied": False})
                assert await client.receive() == [2]
                await far.send(b"by hand")

        got: list[object] = []

        async def take(connection) -> None:
            async for message in connection:
                got.append(message)
                await connection.send("seen")

        async with serve(take, WS, engine="asyncio") as target:
            async with serve(handler, WS, framing="json", engine="asyncio") as server:
                async with connect(server.addresses[0]) as client:
                    await client.send_many(['{"to": "target"}', "[1, 2]", b"  3"])
                    assert [await client.receive(timeout=PATIENCE) for _ in range(2)] == ["seen", "seen"]
                    asked.set()
                    assert await client.receive(timeout=PATIENCE) == '{"copied":false}'
                    await client.send("[2]")
                    with pytest.raises(EndOfStream):
                        await client.receive(timeout=PATIENCE)
            await target.wait_idle(timeout=PATIENCE)
        assert got == ["[1, 2]", b"  3", b"by hand"]

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["plain", "asyncio"])
def test_idle_timeout(engine) -> None:
    """It is of both directions together, and not the WebSocket's own; in plain code both are aborted, by 1001."""
    with serve(digest, WS) as target, Proxy(WS, target.addresses[0], engine, idle_timeout=0.05) as proxy:
        with client_of(proxy.address, "/chat") as peer:
            code = (1001).to_bytes(2, "big") if engine == "plain" else (1000).to_bytes(2, "big")
            first, payload = peer.receive()
            assert (first, payload[:2]) == (FIN | CLOSE, code)
            peer.send(first, payload)
    (error,) = proxy.errors
    assert isinstance(error, DeadlineError)
    assert "nothing passed for 50ms (idle_timeout)" in str(error)
    assert proxy.recorder.of(Closed)[0].reason == ("timeout" if engine == "plain" else "closed")


def test_pongs_between_messages_of_another_thread() -> None:
    """In plain code one thread answers pings while another one sends: no frame is cut in two."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Proxy(WS, url, "plain", compression="none") as proxy, client_of(proxy.address, "/chat") as peer:
            with listener.accept()[0] as accepted:
                feeding = threading.Thread(target=accepted.sendall, args=(DATA,))
                feeding.start()
                for number in range(100):
                    peer.send(FIN | PING, b"%d" % number)
                came, pongs = b"", 0
                while len(came) < len(DATA) or pongs < 100:
                    first, payload = peer.receive()
                    pongs += first == FIN | PONG
                    came += payload if first == FIN | BINARY else b""
                assert came == DATA
                feeding.join(PATIENCE)
            peer.send(FIN | CLOSE, b"\x03\xe8")
            while peer.receive()[0] != FIN | CLOSE:
                pass
