"""Pumps on every kind of stream and every engine: all bytes, once, in order, and the end behind them."""

from __future__ import annotations

import os
import random

import pytest

from socketkit import Address, Options
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, EndOfStream
from socketkit.streams import copy as pump_room
from socketkit.streams.copy import PORTION, Pipes, UntakenError, pump, untaken_size, wait_taken
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.stream import Stream
from support.datagrams import ends
from support.running import Running, until
from support.streams import SOCKETS, descriptor_count, kind, stream_pair

__all__ = ["kind"]

DATA = random.Random(1).randbytes(5_000_000)


async def read_all(stream: Stream) -> bytes:
    came = bytearray()
    try:
        while True:
            came += await stream.receive()
    except EndOfStream:
        return bytes(came)


class Told:
    """Remembers what passed; asks for no pause."""

    def __init__(self) -> None:
        self.size = 0
        self.seen = 0

    def __call__(self, size: int, data: bytes | None) -> float:
        self.size += size
        self.seen += len(data or b"")
        return 0.0


@pytest.mark.parametrize("size", [0, 1, 100_000, len(DATA)])
def test_copy_everything_then_eof(engine: Engine, kind: str, size: int) -> None:
    """Everything goes over and the end behind it."""

    async def main() -> None:
        before, source = stream_pair(engine, kind)
        sink, behind = stream_pair(engine, kind)
        told = Told()
        pumping = Running(engine, pump(source, sink, on_copied=told, pipes=Pipes()))
        reading = Running(engine, read_all(behind))
        await before.send(DATA[:size])
        await before.send_eof()
        assert await reading.result() == DATA[:size]
        await pumping.result()
        assert told.size == size
        if kind != "memory" and size == len(DATA) and hasattr(os, "splice"):
            assert told.seen < size, "the most of it went through a pipe"
        for stream in (before, source, sink, behind):
            stream.close()

    engine.run(main())


def test_without_pipes_every_byte_is_seen(engine: Engine) -> None:
    async def main() -> None:
        before, source = stream_pair(engine, "tcp4")
        sink, behind = stream_pair(engine, "unix")
        for pipes in (None, Pipes(0)):
            told = Told()
            pumping = Running(engine, pump(source, sink, on_copied=told, pipes=pipes))
            reading = Running(engine, read_all(behind))
            await before.send(DATA)
            await before.send_eof()
            assert await reading.result() == DATA
            await pumping.result()
            assert told.size == len(DATA)
            assert pipes is not None or told.seen == len(DATA)
            for stream in (before, source, sink, behind):
                stream.close()
            before, source = stream_pair(engine, "tcp4")
            sink, behind = stream_pair(engine, "unix")
        for stream in (before, source, sink, behind):
            stream.close()

    engine.run(main())


def test_small_portions_to_a_slow_sink(engine: Engine) -> None:
    """What the sink does not take at once follows, in order; small portions pass through no pipe."""

    async def main() -> None:
        before, source = stream_pair(engine, "tcp4")
        sink, behind = stream_pair(engine, "tcp4", buffer=4096)
        told = Told()
        pumping = Running(engine, pump(source, sink, on_copied=told, pipes=Pipes()))
        sent = b""
        received = bytearray()
        for size in (1, 5000, 60_000, 3, 60_000):
            portion = random.Random(size).randbytes(size)
            sent += portion
            await before.send(portion)
            while len(received) < len(sent):
                received += await behind.receive()
        assert bytes(received) == sent
        await before.send_eof()
        with pytest.raises(EndOfStream):
            await behind.receive()
        await pumping.result()
        assert told.size == len(sent)
        for stream in (before, source, sink, behind):
            stream.close()

    engine.run(main())


def test_source_and_sink_loss_differ(engine: Engine) -> None:
    """A lost source and a lost sink are reported apart."""

    async def main() -> None:
        for lost in ("source", "sink"):
            before, source = stream_pair(engine, "tcp4")
            sink, behind = stream_pair(engine, "tcp4")
            pumping = Running(engine, pump(source, sink, on_copied=Told(), pipes=Pipes()))
            pouring = Running(engine, before.send(DATA + DATA + DATA))
            await behind.receive()
            (before if lost == "source" else behind).abort()
            reading = Running(engine, read_all(behind))  # while nobody takes anything, the source's loss is not met
            outcome = await pumping.outcome()
            assert isinstance(outcome, BrokenError)
            assert isinstance(outcome, UntakenError) == (lost == "sink")
            before.abort()
            await pouring.outcome()
            for stream in (source, sink, behind):
                stream.close()
            await reading.outcome()

    engine.run(main())


def test_pipes_always_closed(engine: Engine) -> None:
    """Pipes are given back whatever happens."""
    pipes = Pipes(1)

    async def main() -> None:
        for _ in range(3):
            before, source = stream_pair(engine, "unix")
            sink, behind = stream_pair(engine, "unix")
            pumping = Running(engine, pump(source, sink, on_copied=Told(), pipes=pipes))
            pouring = Running(engine, before.send(DATA))
            count = 0
            while count < 2_000_000:
                count += len(await behind.receive())
            pumping.cancel()
            await pumping.outcome()
            before.abort()
            await pouring.outcome()
            for stream in (source, sink, behind):
                stream.close()
        taken = pipes.take()
        assert taken is not None, "the only one is there again"
        assert pipes.take() is None, "and there is no second"
        pipes.give_back(taken)

    if not hasattr(os, "splice"):
        pytest.skip("this system has no splice")
    engine.run(main())


def test_idle_copy_releases_pipe(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    """A transfer that falls silent gives its pipe back."""
    if not hasattr(os, "splice"):
        pytest.skip("this system has no splice")
    monkeypatch.setattr(pump_room, "BULK_IDLE_TIMEOUT", 0.02)

    async def main() -> None:
        before, source = stream_pair(engine, "tcp4")
        sink, behind = stream_pair(engine, "tcp4")
        pipes = Pipes(1)
        pumping = Running(engine, pump(source, sink, on_copied=Told(), pipes=pipes))
        for _ in range(2):
            sending = Running(engine, before.send(DATA))
            count = 0
            while count < len(DATA):
                count += len(await behind.receive())
            await sending.result()
            while (pipe := pipes.take()) is None:
                await engine.sleep(0.01)
            pipes.give_back(pipe)
        await before.send_eof()
        with pytest.raises(EndOfStream):
            await behind.receive()
        await pumping.result()
        for stream in (before, source, sink, behind):
            stream.close()

    engine.run(main())


def test_unspliceable_sockets_are_copied(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    """As another system's, or under a sandbox."""
    if not hasattr(os, "splice"):
        pytest.skip("this system has no splice")

    refused = []

    def refuse(*arguments: object, **keywords: object) -> int:
        refused.append(arguments)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "splice", refuse)

    async def main() -> None:
        before, source = stream_pair(engine, "tcp4")
        sink, behind = stream_pair(engine, "tcp4")
        told = Told()
        pumping = Running(engine, pump(source, sink, on_copied=told, pipes=Pipes()))
        reading = Running(engine, read_all(behind))
        await before.send(DATA)
        await before.send_eof()
        assert await reading.result() == DATA
        await pumping.result()
        assert told.size == len(DATA)
        assert len(refused) == 1
        for stream in (before, source, sink, behind):
            stream.close()

    engine.run(main())


def test_no_descriptor_is_left(engine: Engine) -> None:
    async def main() -> None:
        counts = []
        for _ in range(2):
            before, source = stream_pair(engine, "tcp4")
            sink, behind = stream_pair(engine, "tcp4")
            pumping = Running(engine, pump(source, sink, on_copied=Told(), pipes=Pipes()))
            reading = Running(engine, read_all(behind))
            await before.send(DATA)
            await before.send_eof()
            await reading.result()
            await pumping.result()
            for stream in (before, source, sink, behind):
                stream.close()
            counts.append(descriptor_count())
        await until(engine, lambda: descriptor_count() <= counts[0])  # a thread's own may be closed a moment later

    engine.run(main())


def test_drain_waits_or_deadline(engine: Engine) -> None:
    """What was handed over is waited for until it is taken or the moment has come."""

    async def main() -> None:
        near, far = SOCKETS["tcp4"](8192)
        for sock in (near, far):
            sock.setblocking(False)
        left, right = stream_from_socket(engine, near, Options()), stream_from_socket(engine, far, Options())
        while left.send_now(bytes(4096)):
            pass
        assert untaken_size(left) > 0
        await wait_taken(left, deadline=engine.now() + 0.05)
        assert untaken_size(left) > 0, "nobody reads: the moment has come"
        reading = Running(engine, read_all(right))
        await wait_taken(left, deadline=engine.now() + 20)
        assert untaken_size(left) == 0
        await left.send_eof()
        await reading.result()
        left.close()
        right.close()

    engine.run(main())


def test_pipe_size_within_user_limit() -> None:
    """A portion is what any user may have in a pipe."""
    try:
        with open("/proc/sys/fs/pipe-max-size") as file:
            limit = int(file.read())
    except OSError:
        pytest.skip("this system does not say")
    assert limit >= PORTION


@pytest.mark.parametrize("kind_of_datagrams", ["unixgram", "unixpacket"])
def test_empty_datagram_waits_for_room(engine: Engine, kind_of_datagrams: str, tmp_path: object) -> None:
    """An empty datagram waits for space as others do."""

    async def main() -> None:
        places = [Address.parse(f"{kind_of_datagrams}:{tmp_path}/{name}") for name in ("source", "sink")]
        async with ends(engine, places[0]) as (before, source), ends(engine, places[1]) as (sink, behind):
            filled = 0
            while sink.send_datagram(b"x" * 100):
                filled += 1
            before.send_datagram(b"")
            before.send_datagram(b"last")
            told = Told()
            pumping = Running(engine, pump(source, sink, on_copied=told))
            assert [await behind.receive() for _ in range(filled)] == [b"x" * 100] * filled
            assert [await behind.receive(), await behind.receive()] == [b"", b"last"]
            source.stop_receiving()
            await pumping.result()
            assert told.size == len(b"last")

    engine.run(main())


def test_oversized_bytes_split_into_datagrams(engine: Engine) -> None:
    """Bytes that are too many for a datagram go in several."""

    async def main() -> None:
        before, source = stream_pair(engine, "memory" if not engine.blocks else "tcp4")
        options = Options.make(receive_buffer=1024 * 1024)
        async with ends(engine, Address.parse("udp4://127.0.0.1:0"), options) as (sink, behind):
            pumping = Running(engine, pump(source, sink, on_copied=Told()))
            await before.send(DATA[:150_000])
            await before.send_eof()
            came = [await behind.receive()]
            while sum(map(len, came)) < 150_000:
                came.append(await behind.receive())
            assert b"".join(came) == DATA[:150_000]
            assert len(came) > 2 and max(map(len, came)) <= sink.max_size
            await pumping.result()
        before.close()
        source.close()

    engine.run(main())
