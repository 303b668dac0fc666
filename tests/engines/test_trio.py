"""Inside a trio program: its scopes cut our waits, at every wait, and nothing of ours hangs or leaks by it."""

from __future__ import annotations

import pytest

trio = pytest.importorskip("trio")

from socketkit import BrokenError, EndOfStream, connect, engines, listen, pair, serve  # noqa: E402
from socketkit.engines.engine import READ  # noqa: E402
from support.streams import open_descriptors  # noqa: E402


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def test_engine_per_trio_run():
    """The engine is the one of the run for as long as it runs."""

    async def main():
        first, second = engines.running(), engines.running()
        assert first is second
        return first

    first, second = trio.run(main), trio.run(main)
    assert (first.name, second.name) == ("trio", "trio")
    assert first is not second
    assert engines.running() is None


def test_serve_and_connect_in_a_trio_program():
    async def main():
        async with serve(echo, "tcp://localhost:0", framing="lines") as server:
            async with connect(server.addresses[0], framing="lines") as connection:
                await connection.send("привет")
                await connection.send_eof()
                return [message async for message in connection]

    assert trio.run(main) == ["привет"]


def test_scope_timeout_loses_nothing():
    """A scope that is over cuts a receive and loses nothing."""

    async def main():
        async with pair(framing="lines") as (left, right):
            with trio.move_on_after(0.001) as scope:
                await right.receive()
            assert scope.cancelled_caught
            await left.send("late")
            with trio.fail_after(30):
                return await right.receive()

    assert trio.run(main) == "late"


def test_cancelled_multi_listener_accept():
    """A cancelled accept at several listeners ends."""

    async def main():
        async with listen("tcp://localhost:0") as listener:
            with trio.move_on_after(0.001) as scope:
                await listener.accept()
            assert scope.cancelled_caught
            with trio.fail_after(30):
                async with connect(listener.addresses[0]) as connection:
                    async with await listener.accept() as guest:
                        await connection.send(b"hello")
                        return await guest.receive()

    assert trio.run(main) == b"hello"


def test_cancelled_program_leaks_nothing():
    """A cancelled program leaves no descriptor."""

    async def main():
        with trio.move_on_after(0.02):
            async with serve(echo, "tcp://localhost:0") as server:
                async with connect(server.addresses[0]) as connection:
                    await connection.send(bytes(100_000))
                    await trio.sleep_forever()

    trio.run(main)
    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() <= before


def test_handler_awaits_trio_and_is_cancelled():
    """A handler may await trio and a stop cuts it."""
    story = []

    async def sleeper(connection):
        story.append(await connection.receive())
        try:
            await trio.sleep_forever()
        finally:
            story.append("cut")

    async def main():
        async with serve(sleeper, "tcp://localhost:0") as server:
            async with connect(server.addresses[0]) as connection:
                await connection.send(b"hello")
                while not story:
                    await trio.sleep(0)
                with trio.fail_after(30):
                    await server.close(grace=0)
                with pytest.raises((EndOfStream, BrokenError)):
                    await connection.receive()

    trio.run(main)
    assert story == [b"hello", "cut"]


def test_cancel_once_cleanup_may_wait():
    """A task of ours is reported once and its clean up may wait."""
    story = []

    async def main():
        engine = engines.running()
        ended = engine.event()

        async def live():
            try:
                await engine.event().wait()
            finally:
                await engine.sleep(0)
                story.append("cleaned up")
                ended.set()

        task = engine.start(live())
        await engine.sleep(0)
        task.cancel()
        await ended.wait()

    trio.run(main)
    assert story == ["cleaned up"]


def test_past_wait_still_looks():
    """A wait that is over before it begins still looks."""

    async def main():
        engine = engines.running()
        async with pair() as (left, right):
            await left.send(b"data")
            await left.flush()
            await engine.wait(right.socket.fileno(), READ, engine.now() - 1)
            return await right.receive()

    assert trio.run(main) == b"data"


def test_checkpoint_obeys_a_cancel_scope():
    """A task of trio that has work without end stops at a checkpoint when its scope is over."""

    async def main() -> bool:
        engine = engines.running()
        with trio.move_on_after(0) as scope:
            while True:
                await engine.checkpoint()
        return scope.cancelled_caught

    assert trio.run(main)
