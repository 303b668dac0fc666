"""One message to many WebSockets: framed once, compressed once, masked for each, and right for all of them."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Iterator

import pytest

from socketkit import _core, broadcast, connect, engines, serve
from socketkit.connection.connection import Connection
from socketkit.websocket import deflate, protocol
from socketkit.websocket.deflate import Deflate, DeflateParameters
from socketkit.websocket.frames import BINARY, FIN, RSV1, TEXT
from support.engines import engine_name  # noqa: F401
from support.websockets import Peer, client_of

LONG = "the same words, the same words, the same words: " * 5
OFFER = "permessage-deflate; client_max_window_bits"


@contextlib.contextmanager
def hub(engine_name: str, **options: object) -> Iterator[tuple[object, list[object]]]:  # noqa: F811
    """A server, and what to broadcast: `all X` sends X to everybody, and any other message is echoed."""
    members: list[object] = []
    there = threading.Condition()

    def join(connection) -> None:
        with there:
            members.append(connection)
            there.notify_all()

    def wait_for(count: int) -> list[object]:
        with there:
            assert there.wait_for(lambda: len(members) == count, 20)
        return members

    def answer(connection, message):
        if isinstance(message, str) and message.startswith("all "):
            broadcast(members, message[4:])
            return None
        return message

    async def handler(connection) -> None:
        join(connection)
        async for message in connection:
            if (reply := answer(connection, message)) is not None:
                await connection.send(reply)

    def plain_handler(connection) -> None:
        join(connection)
        for message in connection:
            if (reply := answer(connection, message)) is not None:
                connection.send(reply)

    blocks = engine_name == "blocking"
    chosen = plain_handler if blocks else handler
    with serve(chosen, "ws://127.0.0.1:0", engine=None if blocks else engine_name, **options) as server:
        yield server.addresses[0], wait_for


def count_calls(monkeypatch, module, name: str) -> list[int]:
    calls: list[int] = []
    original = getattr(module, name)

    def counted(*arguments, **options):
        calls.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, counted)
    return calls


def test_framed_once_for_all(engine_name, monkeypatch) -> None:  # noqa: F811
    """Ten peers get the same frame; the core copies it, and in Python it is made once."""
    with hub(engine_name, compression="none") as (address, wait_for), contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client_of(address)) for _ in range(10)]
        wait_for(10)
        framed = count_calls(monkeypatch, protocol, "encode_frame")
        pushed = count_calls(monkeypatch, Connection, "_send_encoded")
        peers[0].send(FIN | TEXT, b"all one")
        assert [peer.receive() for peer in peers] == [(FIN | TEXT, b"one")] * 10
        peers[0].send(FIN | TEXT, "all две".encode())
        assert [peer.receive() for peer in peers] == [(FIN | TEXT, "две".encode())] * 10
        assert len(framed) <= 2
        if _core.native and engine_name not in ("blocking",):
            assert (framed, pushed) == ([], [])


def receive(peer: Peer, inflate: Deflate) -> tuple[int, str]:
    """A message, and whether it came compressed."""
    first, payload = peer.receive()
    if first & RSV1:
        payload = inflate.decompress(payload, 10_000, True)
    return first, payload.decode()


def test_compressed_once_for_each_window(engine_name, monkeypatch) -> None:  # noqa: F811
    """Peers that keep their context, peers that do not, a smaller window, and none: two compressions a message. What
    each gets alone before and behind it, it can read too."""
    offers = [OFFER, OFFER, OFFER + "; server_no_context_takeover", OFFER + "; server_max_window_bits=10", None]
    bits = [15, 15, 15, 10, 15]
    with hub(engine_name) as (address, wait_for), contextlib.ExitStack() as stack:
        peers = [stack.enter_context(client_of(address, sec_websocket_extensions=offer)) for offer in offers]
        wait_for(len(peers))
        sides = [Deflate(DeflateParameters(server_max_window_bits=each), is_server=False) for each in bits]
        several = list(zip(peers, sides, offers, strict=True))
        for peer, side, offer in several:
            peer.send(FIN | TEXT, LONG.encode())
            assert receive(peer, side) == (FIN | TEXT | (RSV1 if offer else 0), LONG)
        made = count_calls(monkeypatch, zlib, "compressobj")
        assert deflate.zlib is zlib
        for number in range(3):
            made.clear()
            peers[-1].send(FIN | TEXT, f"all {number} {LONG}".encode())
            assert {receive(peer, side)[1] for peer, side, _ in several} == {f"{number} {LONG}"}
            assert len(made) == 2
            for peer, side, _ in several:
                peer.send(FIN | TEXT, f"{number} {LONG}".encode())
                assert receive(peer, side)[1] == f"{number} {LONG}"
        peers[-1].send(FIN | TEXT, b"all short")
        assert [peer.receive() for peer in peers] == [(FIN | TEXT, b"short")] * len(peers)


def test_framings_and_kinds_of_connections_mix() -> None:
    """WebSockets beside lines over TCP, and WebSockets whose messages are framed."""
    members: list[object] = []
    here = threading.Semaphore(0)

    async def handler(connection) -> None:
        members.append(connection)
        here.release()
        async for message in connection:
            broadcast(members, message)

    with (
        serve(handler, "ws://127.0.0.1:0", "tcp://127.0.0.1:0", engine="poll", framing="lines") as server,
        client_of(server.addresses[0]) as peer,
        connect(server.addresses[1], framing="lines") as line,
    ):
        assert here.acquire(timeout=20)
        assert here.acquire(timeout=20)
        line.send("hello")
        assert peer.receive() == (FIN | TEXT, b"hello")
        assert line.receive(timeout=20) == "hello"


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_clients_mask_each_frame_by_itself(compression: str) -> None:
    """A program that is the client of many servers: one payload, a mask for each frame."""
    received: list[object] = []
    all_there = threading.Event()

    async def handler(connection) -> None:
        async for message in connection:
            received.append(message)
            if len(received) == 8:
                all_there.set()

    async def main(address) -> None:
        async with contextlib.AsyncExitStack() as stack:
            several = [await stack.enter_async_context(connect(address, compression=compression)) for _ in range(4)]
            assert broadcast(several, LONG) == 4
            assert broadcast(several, b"\0") == 4
            for connection in several:
                await connection.flush()
            while not all_there.is_set():
                await several[0].engine.sleep(0.001)

    with serve(handler, "ws://127.0.0.1:0", engine="poll") as server:
        engines.make("poll").run(main(server.addresses[0]))
    assert sorted(map(str, received)) == sorted(map(str, [LONG, b"\0"] * 4))


def test_what_cannot_be_framed_is_sent_to_nobody() -> None:
    """The error comes before anything is sent; a binary message goes to all."""
    done = threading.Event()

    async def handler(connection) -> None:
        with pytest.raises(TypeError):
            broadcast([connection], 7)
        assert connection.statistics().sent_count == 0
        assert broadcast([connection], b"right") == 1
        done.set()
        async for _ in connection:
            pass

    with serve(handler, "ws://127.0.0.1:0", engine="poll") as server, client_of(server.addresses[0]) as peer:
        assert peer.receive() == (FIN | BINARY, b"right")
        assert done.wait(20)
