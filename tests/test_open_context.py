"""Each block closes what it has opened, whoever else has entered the same object."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from socketkit import DeadlineError, connect, pair, serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def address():
    with serve(echo, "tcp://127.0.0.1:0") as server:
        yield server.addresses[0]


def test_two_tasks_enter_one(engine, address):
    """The first task leaves while the second is inside: it closes its own connection."""
    if engine.blocks:
        pytest.skip("threads have their own test")

    async def main():
        context = connect(address)
        second_in, first_out = engine.event(), engine.event()
        ended = engine.event()

        async def first():
            async with context as connection:
                await second_in.wait()
            assert connection.is_closed
            first_out.set()

        async def second():
            async with context as connection:
                second_in.set()
                await first_out.wait()
                await connection.send(b"x")
                assert await connection.receive() == b"x"
            assert connection.is_closed
            ended.set()

        engine.start(first())
        await engine.sleep(0.05)
        engine.start(second())
        await ended.wait(deadline=engine.now() + 20)

    engine.run(main())


def test_two_threads_enter_one(address):
    context = connect(address)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    found = []

    def first():
        with context as connection:
            first_in.set()
            second_in.wait(20)
        found.append(connection.is_closed)
        first_out.set()

    def second():
        first_in.wait(20)
        with context as connection:
            second_in.set()
            first_out.wait(20)
            connection.send(b"x")
            found.append(connection.receive())
        found.append(connection.is_closed)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [True, b"x", True]


def test_nested_blocks(address):
    """Within one task the inner block closes the inner connection; a task started inside has its own."""

    async def main():
        context = connect(address)
        async with context as outer:
            async with context as inner:

                async def child():
                    async with context as own:
                        pass
                    assert own.is_closed

                await asyncio.create_task(child())
                assert not inner.is_closed
            assert inner.is_closed
            assert not outer.is_closed
        assert outer.is_closed

    asyncio.run(main())


def test_left_in_another_context(address):
    """As the fixtures of a test framework do, which enter in one task and leave in another."""

    async def main():
        context = connect(address)
        connection = await asyncio.create_task(context.__aenter__())
        await asyncio.create_task(context.__aexit__(None, None, None))
        assert connection.is_closed

    asyncio.run(main())


def test_left_block_keeps_nothing_alive():
    """A copy of the context that a long task holds does not hold the connection."""
    context = pair()
    with context:
        copy = contextvars.copy_context()
    entries = [value for variable, value in copy.items() if variable.name == "socketkit.entries"]
    assert [(entry.owner, entry.opened) for value in entries for entry in value] == [(None, None)]


def test_pair_closes_both_ends():
    """Also where closing the first one fails, because the second has not read."""

    async def main():
        with pytest.raises(DeadlineError):
            async with pair(close_timeout="10ms") as (left, right):
                sending = asyncio.ensure_future(left.send(bytes(10_000_000)))
                await asyncio.sleep(0)
        sending.cancel()
        assert left.is_closed
        assert right.is_closed

    asyncio.run(main())
