"""One message to many connections: encoded once, in order, and none that is slow delays the others."""

from __future__ import annotations

import contextlib
import threading

import pytest

import socketkit
from socketkit.connection.broadcast import broadcast
from socketkit.errors import ClosedError, FramingError, OptionError
from support.connections import read_all, talk

SMALL = 2048
"""A high-water mark, and a message that fills the sockets' buffers in a few sends."""


@pytest.fixture
def run(engine):
    return lambda main: engine.run(main(engine))


@contextlib.contextmanager
def audience(engine, count, framing="lines", **options):
    """Connections with the sockets at their other ends."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(talk(engine, framing, **options)) for _ in range(count)]


async def fill(connection):
    """Send until the connection is over its high-water mark."""
    while connection.statistics().unsent_size < SMALL:
        connection.internals.sender.offer(b"x" * 65536) if connection.engine.blocks else connection.send("x" * 65536)
        connection.internals.sender.flush() if not connection.engine.blocks else None


def test_all_get_it_in_order(run):
    """Each gets every message, among those that were sent to it alone, in order."""

    async def main(engine):
        with audience(engine, 5) as pairs:
            connections = [connection for connection, _ in pairs]
            connections[0].send("alone")
            assert broadcast(connections, "one") == 5
            connections[1].send("aside")
            assert await broadcast(iter(connections), "two é") == 5
            for connection in connections:
                await connection.close()
            texts = [read_all(far).decode() for _, far in pairs]
            assert texts == ["alone\none\ntwo é\n", "one\naside\ntwo é\n", *["one\ntwo é\n"] * 3]
            assert connections[2].statistics().sent_count == 2

    run(main)


def test_large_message_is_taken_in_parts(run):
    """One that the system does not take at once arrives whole, in order, behind small ones and before others."""

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, the call itself waits until the peer has read")
        large = "é" * 100_000
        with audience(engine, 3, buffer=4096, high_water=2**20) as pairs:
            connections = [connection for connection, _ in pairs]
            connections[0].send("before")
            assert broadcast(connections, large) == 3
            assert broadcast(connections, "between") == 3
            assert broadcast(connections, large) == 3
            expected = f"{large}\nbetween\n{large}\n".encode()
            for (connection, far), first in zip(pairs, (b"before\n", b"", b""), strict=True):
                assert connection.statistics().sent_count == 3 + bool(first)
                received = bytearray()
                far.setblocking(False)
                while len(received) < len(first + expected):
                    with contextlib.suppress(BlockingIOError):
                        received += far.recv(2**20)
                    await engine.sleep(0)
                assert received == first + expected
                await connection.flush()
                assert connection.statistics().unsent_size == 0

    run(main)


def test_framings_differ(run):
    """Each gets it in its own framing."""

    async def main(engine):
        with audience(engine, 1) as first, audience(engine, 1, "lines:crlf") as second:
            connections = [first[0][0], second[0][0]]
            assert broadcast(connections, "one") == 2
            for connection in connections:
                await connection.close()
            assert (read_all(first[0][1]), read_all(second[0][1])) == (b"one\n", b"one\r\n")

    run(main)


def test_message_that_cannot_be_framed(run):
    """It is refused before anything is sent to anybody."""

    async def main(engine):
        with audience(engine, 2) as first, audience(engine, 1, "netstring") as second:
            connections = [connection for connection, _ in [*first, *second]]
            with pytest.raises(FramingError):
                broadcast(connections[:2], "one\ntwo")
            with pytest.raises(TypeError):
                broadcast(connections, "text")  # netstrings are bytes
            assert [connection.statistics().sent_count for connection in connections] == [0, 0, 0]
            with pytest.raises(OptionError, match="drop, close, wait"):
                broadcast(connections, "one", slow="later")

    run(main)


def test_closed_and_lost_take_nothing(run):
    """A connection that was closed is no error, and is not counted."""

    async def main(engine):
        with audience(engine, 3) as pairs:
            connections = [connection for connection, _ in pairs]
            connections[0].abort()
            await connections[1].send_eof()
            assert broadcast(connections, "one") == 1
            assert broadcast([], "one") == 0

    run(main)


@pytest.mark.parametrize("slow", ["drop", "close", "wait"])
def test_slow_one_by_policy(run, slow):
    """The others get the message at once; the slow one misses it, is closed with a reason, or gets it later."""

    async def main(engine):
        events = []
        with (
            audience(engine, 2) as pairs,
            talk(engine, high_water=SMALL, buffer=4096, observer=events.append) as (stuck, far),
        ):
            await fill(stuck)
            connections = [pairs[0][0], stuck, pairs[1][0]]
            if slow == "wait" and engine.blocks:
                pytest.skip("where the engine blocks, the call itself waits: see the test of plain code")
            delivered = broadcast(connections, "one", slow=slow)
            assert delivered == (3 if slow == "wait" else 2)
            for connection, socket in pairs:
                await connection.close()
                assert read_all(socket) == b"one\n"
            if slow == "close":
                with pytest.raises(ClosedError):
                    stuck.send("two")
                assert "does not read" in str(events[-1].error)
            if slow == "wait":
                received = bytearray()
                waiting = engine.start(wait(delivered))
                assert waiting is not None
                far.setblocking(False)
                while not received.endswith(b"one\n"):
                    with contextlib.suppress(BlockingIOError):
                        received += far.recv(2**20)
                    await engine.sleep(0)
            if slow == "drop":
                assert not stuck.is_closed

    async def wait(delivered):
        assert await delivered == 3

    run(main)


def test_plain_code():
    """Connections of plain code: the call waits for no peer, and its rest leaves with the next message."""
    here = threading.Event()
    connections = []

    def handler(connection):
        connections.append(connection)
        if len(connections) == 3:
            here.set()
        for _ in connection:
            pass

    with (
        socketkit.serve(handler, "tcp://127.0.0.1:0", framing="lines", high_water="64KiB") as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [
            stack.enter_context(socketkit.connect(server.addresses[0], framing="lines:max_size=4MiB")) for _ in range(3)
        ]
        assert here.wait(30)
        assert socketkit.broadcast(connections, "one") == 3
        assert [client.receive() for client in clients] == ["one"] * 3
        large = "x" * 2**19
        counts = [socketkit.broadcast(connections, large, slow="drop") for _ in range(40)]  # nobody reads
        assert counts[0] == 3
        assert counts[-1] == 0
        for client in clients:
            lines = [client.receive() for _ in range(1)]
            assert lines == [large]


def test_fan_out_is_one_encoding(run, monkeypatch):
    """A framing of one's own encodes a message once, not for each connection."""
    from socketkit.framing import Lines

    counted = []

    class Counting:
        def __init__(self):
            self._codec = Lines(oversize="skip").codec()
            self.feed, self.feed_eof = self._codec.feed, self._codec.feed_eof

        def encode(self, messages):
            counted.append(list(messages))
            return self._codec.encode(messages)

    async def main(engine):
        with audience(engine, 4, Counting) as pairs:
            assert broadcast([connection for connection, _ in pairs], "one") == 4
            assert counted == [["one"]]

    run(main)
