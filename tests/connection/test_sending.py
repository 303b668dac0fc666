"""What `send` returns is a coroutine, done or not: tasks, groups and nurseries accept it as any other."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import warnings

import pytest

from socketkit import pair
from socketkit.engines.engine import DONE

SIZES = [3, 1_000_000]
"""Sent at once; and over the high-water mark."""


async def read(connection, size: int) -> int:
    got = 0
    while got < size:
        got += len(await connection.receive())
    return got


async def start_task(sending) -> None:
    await asyncio.create_task(sending)


async def start_in_group(sending) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(sending)


async def start_from_thread(sending) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(sending, loop).result(20))


async def gather(sending) -> None:
    await asyncio.gather(sending)


async def wait_for(sending) -> None:
    await asyncio.wait_for(sending, 20)


async def just_await(sending) -> None:
    await sending


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
@pytest.mark.parametrize("use", [start_task, start_in_group, start_from_thread, gather, wait_for, just_await])
def test_asyncio_accepts_what_send_returns(use, many: bool, size: int) -> None:
    async def main() -> None:
        async with pair() as (near, far):
            reading = asyncio.create_task(read(far, size))
            sending = near.send_many([bytes(size)]) if many else near.send(bytes(size))
            assert asyncio.iscoroutine(sending)
            assert isinstance(sending, collections.abc.Coroutine)
            assert inspect.isawaitable(sending)
            await use(sending)
            assert await reading == size

    asyncio.run(main())


@pytest.mark.parametrize("size", SIZES)
def test_trio_nursery_accepts_send(size: int) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with pair() as (near, far), trio.open_nursery() as nursery:
            nursery.start_soon(near.send, bytes(size))
            nursery.start_soon(near.send_many, [bytes(size)])
            assert await read(far, 2 * size) == 2 * size

    trio.run(main)


def test_ignored_send_does_not_warn() -> None:
    async def main() -> None:
        async with pair() as (near, far):
            near.send(bytes(1_000_000))
            near.send(b"x")
            assert await read(far, 1_000_001) == 1_000_001

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_cancelled_task_of_a_send_has_sent() -> None:
    """The message was queued by the call: cancelling the task before it runs takes nothing back."""

    async def main() -> None:
        async with pair() as (near, far):
            task = asyncio.create_task(near.send(b"kept"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            waiting = asyncio.create_task(near.send(bytes(1_000_000)))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await read(far, 1_000_004) == 1_000_004

    asyncio.run(main())


def test_done_can_be_driven_by_hand() -> None:
    """The shared result that is done has the methods of a coroutine, again and again."""
    for _ in range(2):
        with pytest.raises(StopIteration):
            DONE.send(None)
        with pytest.raises(KeyError):
            DONE.throw(KeyError("x"))
        DONE.close()
        assert list(DONE.__await__()) == []
