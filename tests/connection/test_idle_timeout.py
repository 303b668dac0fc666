"""How long a peer may let us wait: exact moments of a clock that never ran, then real sockets."""

from __future__ import annotations

import threading

import pytest

from socketkit import serve
from socketkit.connection.idle_timeout import IdleTimer
from socketkit.errors import BrokenError, DeadlineError, EndOfStream
from socketkit.events import Closed
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.connections import ask, call, talk
from support.recorder import Recorder


def silence(limit=10.0, taken=lambda: 0):
    engine, clock = virtual_engine()
    near, far = memory_pair(engine)
    return engine, clock, IdleTimer(near, limit, taken), far


def test_idle_after_the_whole_timeout():
    """A peer is silent when the whole time is over."""
    engine, clock, waits, _ = silence()

    async def story():
        with pytest.raises(DeadlineError, match=r"silent for 10 s \(idle_timeout\)"):
            await waits.receive(None)
        assert clock.moment == pytest.approx(10)
        assert waits.is_over

    engine.run(story())


def test_each_byte_begins_the_time_anew():
    engine, clock, waits, far = silence()

    async def speak():
        for _ in range(3):
            await engine.sleep(9)
            await far.send(b"x")

    async def story():
        engine.start(speak())
        for _ in range(3):
            assert await waits.receive(None) == b"x"
        with pytest.raises(DeadlineError):
            await waits.receive(None)
        assert clock.moment == pytest.approx(37)

    engine.run(story())


def test_only_the_time_that_is_waited_counts():
    engine, clock, waits, _ = silence()

    async def story():
        for _ in range(3):
            with pytest.raises(DeadlineError):
                await waits.receive(engine.now() + 3)
            assert not waits.is_over
            await engine.sleep(100)  # busy with something else
        with pytest.raises(DeadlineError, match="idle_timeout"):
            await waits.receive(engine.now() + 3)
        assert clock.moment == pytest.approx(310)

    engine.run(story())


def test_accepted_bytes_reset_idle_timer():
    """What the peer takes is a sign of life."""
    taken = [0]
    engine, clock, waits, _ = silence(taken=lambda: taken[0])

    async def take():
        await engine.sleep(5)
        taken[0] += 1

    async def story():
        engine.start(take())
        with pytest.raises(DeadlineError):
            await waits.receive(None)
        assert clock.moment == pytest.approx(20)

    engine.run(story())


def test_idle_peer_closed_active_kept(engine_name):
    """Who is silent is closed and who speaks is not."""
    recorder = Recorder()

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    with serve(
        echo, "tcp://127.0.0.1:0", framing="lines", engine=engine_name, observer=recorder, idle_timeout="300ms"
    ) as server:
        with call(server.addresses[0]) as silent, call(server.addresses[0]) as lively:
            silent.settimeout(0.05)
            ended = False
            while not ended:
                assert ask(lively, b"hello") == b"hello"
                try:
                    ended = silent.recv(1) == b""
                except TimeoutError:
                    pass
            assert ask(lively, b"still here") == b"still here"
    (error,) = [event.error for event in recorder.of(Closed) if event.error]
    assert isinstance(error, DeadlineError)
    assert "idle_timeout" in str(error)


def test_receiving_says_so_from_then_on(engine):
    async def story():
        with talk(engine, idle_timeout=0.05) as (connection, _):
            for _ in range(2):
                with pytest.raises(DeadlineError, match="idle_timeout"):
                    await connection.receive()

    engine.run(story())


def test_stalled_peer_ends_sending(engine):
    """A peer that takes nothing ends the sending too."""

    async def story():
        with talk(engine, "chunks", buffer=4096, idle_timeout=0.1) as (connection, _):
            with pytest.raises(BrokenError, match=r"took nothing for 0.1 s \(idle_timeout\), and \d+ bytes are unsent"):
                await connection.send(b"x" * 4_000_000)
                await connection.flush()

    engine.run(story())


def test_slow_reader_is_not_idle(engine):
    """It says nothing for much longer than the limit, but it takes what waits for it."""
    size = 240_000  # of which the buffers let through a few KiB at a time

    async def story():
        with talk(engine, "chunks", buffer=4096, idle_timeout=0.4) as (connection, peer):
            read = []

            def read_slowly():
                left = size
                while left:
                    data = peer.recv(min(left, size // 40))
                    left -= len(data)
                    threading.Event().wait(0.02)
                read.append(True)
                peer.sendall(b"done")

            reader = threading.Thread(target=read_slowly)
            reader.start()
            connection.send(b"x" * size)
            assert await connection.receive() == b"done"
            reader.join()

    engine.run(story())


def test_endless_sender_back_pressure(engine):
    """Nobody receives: what it may send is what the system holds, and no memory of ours."""

    async def story():
        with talk(engine, "chunks", buffer=8192) as (connection, peer):
            peer.setblocking(False)
            sent = 0
            for _ in range(1000):
                try:
                    sent += peer.send(b"x" * 65536)
                except BlockingIOError:
                    await engine.sleep(0)
            assert connection.statistics().received_size == 0
            assert sent < 1_000_000
            peer.close()
            received = 0
            try:
                while True:
                    received += len(await connection.receive())
            except EndOfStream:
                pass
            assert received == sent

    engine.run(story())


def test_no_idle_timeout_by_default(engine):
    """No one is closed where no one asked for it."""

    async def story():
        with talk(engine) as (connection, peer):
            with pytest.raises(DeadlineError, match="no message within"):
                await connection.receive(timeout=0.02)
            peer.sendall(b"hello\n")
            assert await connection.receive() == "hello"

    engine.run(story())
