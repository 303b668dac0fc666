"""`send_timeout`, and `flush(timeout=...)`: how long a peer may take nothing, and what is true afterwards."""

from __future__ import annotations

import socket
import threading

import pytest

from socketkit import connect, framing, serve
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, DeadlineError, OptionError
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.running import Running

LARGE = 64 * 1024 * 1024
"""Bytes that fit into no socket's buffers."""


def sender(*, idle_timeout=None, send_timeout=None):
    """A sender to a peer in memory that holds 10 bytes, on a clock that runs by itself."""
    engine, clock = virtual_engine()
    near, far = memory_pair(engine, size=10)
    session = Session(framing.parse("chunks"))
    limits = {"idle_timeout": idle_timeout, "send_timeout": send_timeout}
    return engine, session, Sender(session, near, high_water=40, number=7, observer=None, **limits), far, clock


def test_stalled_peer():
    """At the limit exactly: the error has the peer, the limit and the count; so has every later send."""
    engine, session, outgoing, far, _ = sender(send_timeout=3.0)

    async def main():
        session.queue((b"x" * 25,), 1)
        began = engine.now()
        await outgoing.wait_empty()
        assert engine.now() - began == 3.0
        for call in (outgoing.check, lambda: session.queue((b"more",), 1)):
            with pytest.raises(DeadlineError, match=r"took nothing for 3 s \(send_timeout\), and 15 bytes are unsent"):
                call()
        with pytest.raises(TimeoutError):
            await outgoing.drain()
        assert await far.receive() == b"x" * 10

    engine.run(main())


def test_progress_restarts_the_time():
    """A peer that takes a byte within each limit takes as long as it likes."""
    engine, session, outgoing, far, _ = sender(send_timeout=3.0)

    async def read():
        for _ in range(4):
            await engine.sleep(2.0)
            await far.receive()

    async def main():
        session.queue((b"x" * 40,), 1)
        reading = Running(engine, read())
        await outgoing.wait_empty()
        outgoing.check()
        assert engine.now() >= 6.0
        await reading.result()

    engine.run(main())


@pytest.mark.parametrize(("silence", "limit"), [(2.0, None), (2.0, 3.0)])
def test_a_peer_that_takes_nothing_between_pings(silence, limit):
    """A stream with pings loses it; each byte that it takes is a sign of life. What was cut is followed by nothing."""
    engine, session, outgoing, far, _ = sender(send_timeout=limit)
    outgoing.limit_silence(silence)

    async def main():
        session.queue((b"x" * 45,), 1)
        outgoing.flush()
        for _ in range(3):
            await engine.sleep(1.5)
            assert outgoing.error is None
            await far.receive()
        await outgoing.wait_empty()
        assert engine.now() == 6.5
        with pytest.raises(
            BrokenError, match=r"nothing for 2 s \(ping_interval and ping_timeout\), and 5 bytes"
        ) as caught:
            outgoing.check()
        assert caught.value.close_code == 1006

    engine.run(main())


def test_a_longer_silence_changes_nothing():
    engine, session, outgoing, _, _ = sender(send_timeout=1.0)
    for seconds in (None, 5.0):
        outgoing.limit_silence(seconds)

    async def main():
        session.queue((b"x" * 25,), 1)
        await outgoing.wait_empty()
        with pytest.raises(DeadlineError, match=r"1 s \(send_timeout\)"):
            outgoing.check()

    engine.run(main())


@pytest.mark.parametrize(("idle", "limit", "kind"), [(2.0, 3.0, BrokenError), (3.0, 2.0, DeadlineError)])
def test_shorter_limit_decides(idle, limit, kind):
    """Of `idle_timeout` and `send_timeout` the shorter one counts, and the error is its own."""
    engine, session, outgoing, _, _ = sender(idle_timeout=idle, send_timeout=limit)

    async def main():
        session.queue((b"x" * 25,), 1)
        await outgoing.wait_empty()
        assert type(outgoing.error) is kind

    engine.run(main())


@pytest.fixture
def unread():
    """The address of a peer that accepts, says `hello`, and reads nothing."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"hello\n")
                ended.wait()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join()


def test_plain_code(unread):
    """Plain code does not wait for ever; afterwards it can receive, and not send; closing is quick."""
    connection = connect(unread, framing="lines:encoding=none", send_timeout="100ms").open()
    with pytest.raises(DeadlineError, match=rf"sending to {unread}: it took nothing for 0.1 s") as raised:
        connection.send_many([bytes(1024)] * (LARGE // 1024))
    assert connection.statistics().unsent_size > 0
    with pytest.raises(DeadlineError) as again:
        connection.send(b"more")
    assert again.value is raised.value
    with pytest.raises(DeadlineError):
        connection.flush()
    assert connection.receive() == b"hello"
    connection.close()


@pytest.mark.parametrize("engine", ["epoll", "select", "asyncio", "trio", "blocking"])
def test_each_engine(engine):
    """On every engine a handler's `send`, or the `flush` behind it, raises; its end event says why."""
    failed = []
    done = threading.Event()

    async def flood(connection):
        try:
            await connection.send(bytes(LARGE))
            await connection.flush()
        except DeadlineError as error:
            failed.append(str(error))
            with pytest.raises(DeadlineError):
                await connection.send(b"more")
            raise
        finally:
            done.set()

    with serve(flood, "tcp://127.0.0.1:0", engine=engine, send_timeout=0.1, observer=lambda event: None) as server:
        with socket.create_connection((server.addresses[0].host, server.addresses[0].port)):
            assert done.wait(20)
    assert len(failed) == 1
    assert "took nothing for 0.1 s (send_timeout)" in failed[0]


def test_flush_with_a_timeout():
    """`flush(timeout=...)` names the peer and the count, and takes nothing back: the rest is sent later."""
    import asyncio

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            async with connect(address) as connection:
                sock, _ = listener.accept()
                sending = connection.send(bytes(LARGE))
                with pytest.raises(DeadlineError, match=rf"flushing to {address}: \d+ bytes are unsent after .* s"):
                    await connection.flush(timeout=0.05)
                assert connection.statistics().unsent_size > 0

                def read():
                    with sock:
                        left = LARGE
                        while left:
                            left -= len(sock.recv(1 << 20))

                reading = asyncio.create_task(asyncio.to_thread(read))
                await sending
                await connection.flush(timeout=20)
                await reading

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["0", "-1s", "nan", "soon"])
def test_bad_limit(limit):
    with pytest.raises(OptionError, match="send_timeout"):
        connect("tcp://127.0.0.1:9", send_timeout=limit).open()
