"""Inside asyncio: its time-outs, task groups and cancellation work on our awaits, and our engine is a good guest."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from socketkit import engines
from socketkit.engines.asyncio import AsyncioEngine, engine_of
from socketkit.engines.engine import READ, WRITE
from socketkit.engines.group import Group
from socketkit.errors import BusyError, DeadlineError
from support.engines import LOOPS

Pair = tuple[socket.socket, socket.socket]
Main = Callable[[AsyncioEngine], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs in a loop that is not ours: asyncio's own `Runner`, in debug mode, which checks what it can."""

    def run(main: Main) -> Any:
        def loop() -> asyncio.AbstractEventLoop:
            if request.param == "asyncio":
                return asyncio.new_event_loop()
            import uvloop

            return uvloop.new_event_loop()

        async def guest() -> Any:
            return await main(engine_of(asyncio.get_running_loop()))

        with asyncio.Runner(loop_factory=loop, debug=True) as runner:
            return runner.run(guest())

    return run


def test_there_is_one_engine_for_a_loop(run: Run) -> None:
    """So that registrations are shared; it knows its kind, and the front door finds it."""

    async def main(engine: AsyncioEngine) -> None:
        loop = asyncio.get_running_loop()
        assert engine_of(loop) is engine is engines.running()
        assert engine.name == ("uvloop" if "uvloop" in type(loop).__module__ else "asyncio")

    run(main)


def test_timeout_ends_a_wait(run: Run, pair: Pair) -> None:
    async def main(engine: AsyncioEngine) -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.001):
                await engine.wait(pair[0].fileno(), READ, engine.now() + 60)
        assert not isinstance(caught.value, DeadlineError)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        pair[1].send(b"data")
        async with asyncio.timeout(60):
            await engine.wait(pair[0].fileno(), READ)
        assert pair[0].recv(9) == b"data"

    run(main)


def test_timeout_ends_whatever_else_waits(run: Run) -> None:
    async def main(engine: AsyncioEngine) -> None:
        for awaitable in (engine.sleep(60), engine.event().wait(), engine.event().wait(deadline=engine.now() + 60)):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0):
                    await awaitable
            assert not isinstance(caught.value, DeadlineError)

    run(main)


def test_group_inside_timeout(run: Run) -> None:
    """A group inside a timeout leaves nothing behind."""

    async def main(engine: AsyncioEngine) -> None:
        ended: list[bool] = []

        async def wait() -> None:
            try:
                await engine.event().wait()
            finally:
                ended.append(True)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), Group(engine) as group:
                group.start(wait())
        assert ended == [True]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


def test_a_task_group_cancels_our_waits(run: Run, pair: Pair) -> None:
    story: list[str] = []

    async def main(engine: AsyncioEngine) -> None:
        async def wait(direction: int) -> None:
            try:
                await engine.wait(pair[0].fileno(), direction)
                await engine.event().wait()
            except asyncio.CancelledError:
                story.append("cancelled")
                raise

        async def fail() -> None:
            await asyncio.sleep(0)
            raise LookupError("mine")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait(READ))
                group.create_task(wait(WRITE))
                group.create_task(fail())
        assert caught.group_contains(LookupError)
        pair[1].send(b"data")
        await engine.wait(pair[0].fileno(), READ)

    run(main)
    assert story == ["cancelled", "cancelled"]


def test_cancel_message_and_count(run: Run, pair: Pair) -> None:
    """Cancel carries its message and counts."""

    async def main(engine: AsyncioEngine) -> None:
        async def wait() -> None:
            await engine.wait(pair[0].fileno(), READ)

        for word in ("please", None):
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            assert task.cancel(word)
            assert task.cancelling() == 1
            with pytest.raises(asyncio.CancelledError, match=word):
                await task
            assert task.cancelled()

    run(main)


def test_cancel_wins_over_readiness(run: Run, pair: Pair) -> None:
    """Nothing was read then, and the readiness is reported to the next wait."""

    async def main(engine: AsyncioEngine) -> None:
        async def read() -> bytes:
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        pair[1].send(b"data")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await read() == b"data"

    run(main)


def test_cancel_wins_over_deadline_unregister(run: Run, pair: Pair) -> None:
    """A cancellation wins over a deadline and forget."""

    async def main(engine: AsyncioEngine) -> None:
        async def read() -> None:
            await engine.wait(pair[0].fileno(), READ, engine.now())

        for order in (("cancel", "unregister"), ("unregister", "cancel")):
            task = asyncio.create_task(read())
            await asyncio.sleep(0)
            for verb in order:
                if verb == "cancel":
                    task.cancel()
                else:
                    engine.unregister(pair[0].fileno())
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


@pytest.mark.parametrize("wrap", [asyncio.wait_for, asyncio.shield, asyncio.ensure_future, asyncio.gather])
def test_a_wait_may_be_handed_to_asyncio(run: Run, pair: Pair, wrap: Callable[..., Any]) -> None:
    """It is an awaitable, and no future that other code may complete."""

    async def main(engine: AsyncioEngine) -> None:
        for _ in range(2):
            pair[1].send(b"data")
            wait = engine.wait(pair[0].fileno(), READ)
            assert not asyncio.isfuture(wait)
            await (wrap(wait, 60) if wrap is asyncio.wait_for else wrap(wait))
            assert pair[0].recv(9) == b"data"
        with pytest.raises(TimeoutError):
            while True:  # it may wake up early for nothing
                await asyncio.wait_for(engine.wait(pair[0].fileno(), READ), 0.001)
        pair[1].send(b"data")
        await engine.wait(pair[0].fileno(), READ)

    run(main)


def test_second_awaited_wait_refused(run: Run, pair: Pair) -> None:
    """Also when both were asked for before."""

    async def main(engine: AsyncioEngine) -> None:
        waits = [engine.wait(pair[0].fileno(), READ) for _ in range(2)]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pair[1].send(b"data")
        first, second = await asyncio.gather(*tasks, return_exceptions=True)
        assert first is None
        assert isinstance(second, BusyError)

    run(main)


def test_task_is_an_asyncio_task(run: Run) -> None:
    """A task that we start is one of asyncios."""

    async def main(engine: AsyncioEngine) -> None:
        async def live() -> None:
            seen.append(asyncio.current_task())
            await engine.event().wait()

        seen: list[object] = []
        task = engine.start(live())
        assert task in asyncio.all_tasks()
        await asyncio.sleep(0)
        assert seen == [task]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_asyncio_awaits_mix(run: Run, pair: Pair) -> None:
    """Asyncio awaits and ours mix in one task."""

    async def main(engine: AsyncioEngine) -> None:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        async def read() -> None:
            for _ in range(50):
                await engine.wait(pair[0].fileno(), READ)
                await queue.put(pair[0].recv(1))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            for count in range(50):
                loop.call_soon(pair[1].send, bytes([count]))
                assert await queue.get() == bytes([count])

    run(main)


def test_a_context_stays_with_its_task(run: Run, pair: Pair) -> None:
    """Though it is resumed by the loop's callback, which has another."""
    variable = contextvars.ContextVar("variable", default="nobody's")

    async def main(engine: AsyncioEngine) -> None:
        async def read(sock: socket.socket, word: str) -> None:
            variable.set(word)
            for _ in range(3):
                await engine.wait(sock.fileno(), READ)
                sock.recv(1)
                assert variable.get() == word

        async with asyncio.TaskGroup() as group:
            group.create_task(read(pair[0], "a"))
            group.create_task(read(pair[1], "b"))
            for _ in range(3):
                pair[0].send(b"x")
                pair[1].send(b"x")
                await asyncio.sleep(0.001)
        assert variable.get() == "nobody's"

    run(main)


def test_leftover_task_ended_by_its_loop(run: Run) -> None:
    """A task that was left in the loop of another is ended by it."""
    story: list[str] = []

    async def main(engine: AsyncioEngine) -> None:
        async def live() -> None:
            try:
                await engine.event().wait()
            finally:
                story.append("cleaned up")

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        engine.start(live())  # which is cancelled before its first line

    run(main)
    assert story == ["cleaned up"]


def test_uncaught_task_exception_is_reported(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """As asyncio tells it: through the loop's exception handler."""
    import gc

    async def main(engine: AsyncioEngine) -> None:
        async def fail() -> None:
            raise LookupError("mine")

        engine.start(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        run(main)
        gc.collect()
    assert "LookupError: mine" in caplog.text


@pytest.mark.parametrize("verb", ["sleep", "event", "wait"])
def test_no_deadline_comes_too_early(run: Run, pair: Pair, verb: str) -> None:
    """uvloop counts whole milliseconds, and its clock stands still within a turn."""

    async def main(engine: AsyncioEngine) -> None:
        for count in range(10):
            seconds = count * 0.0003
            deadline = engine.now() + seconds
            with pytest.raises(DeadlineError):
                if verb == "event":
                    await engine.event().wait(deadline=deadline)
                elif verb == "wait":
                    await engine.wait(pair[0].fileno(), READ, deadline)
                else:
                    await engine.sleep(seconds)
                    raise DeadlineError
            assert engine.now() >= deadline - (0.002 if verb == "sleep" else 0)

    run(main)


def test_wait_other_direction_after_reset(run: Run) -> None:
    """uvloop keeps the corpse of its handle after an error."""
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    far.bind(("127.0.0.1", 0))
    name = far.getsockname()
    far.close()
    near.connect(name)
    near.setblocking(False)

    async def main(engine: AsyncioEngine) -> None:
        near.send(b"?")
        await engine.wait(near.fileno(), READ)
        await asyncio.sleep(0)
        await engine.wait(near.fileno(), WRITE)
        engine.unregister(near.fileno())

    with near:
        run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_work(pair: Pair) -> None:
    """On asyncio's own loop: uvloop's does not take the factory in every Python."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        engine = engine_of(loop)
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]

        async def read() -> bytes:
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(read())
            async with Group(engine) as group:
                group.start(engine.sleep(0))
            pair[1].send(b"data")
        assert task.result() == b"data"

    asyncio.run(main())


def test_run_in_running_loop_refused(run: Run) -> None:
    """To run inside a running loop is refused."""

    async def main(engine: AsyncioEngine) -> None:
        async def nothing() -> None:
            pass

        with pytest.raises(RuntimeError, match="runs in this thread already"):
            engines.make(engine.name).run(nothing())

    run(main)


def test_unregister_after_loop_end(pair: Pair) -> None:
    """Forget after the end of the loop is harmless."""
    kept: list[AsyncioEngine] = []

    async def main() -> None:
        engine = engine_of(asyncio.get_running_loop())
        kept.append(engine)
        pair[1].send(b"data")
        await engine.wait(pair[0].fileno(), READ, engine.now() + 60)

    asyncio.run(main())
    kept[0].unregister(pair[0].fileno())


def test_a_descriptor_is_registered_once(pair: Pair) -> None:
    """And no more when the descriptor became ready while no task waited."""
    calls: list[str] = []

    class Loop(asyncio.SelectorEventLoop):
        def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
            if fd == pair[0].fileno():
                calls.append("add")
            return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

        def _remove_reader(self, fd: Any) -> Any:
            if fd == pair[0].fileno():
                calls.append("remove")
            return super()._remove_reader(fd)  # type: ignore[misc]

    async def main() -> None:
        engine = engine_of(asyncio.get_running_loop())
        for _ in range(20):
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            pair[0].recv(9)
        assert calls == ["add"]
        pair[1].send(b"data")
        for _ in range(10):
            await asyncio.sleep(0)
        assert calls == ["add", "remove"]
        await engine.wait(pair[0].fileno(), READ)
        assert calls == ["add", "remove", "add"]

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_task_resumed_in_reader_callback(run: Run, pair: Pair) -> None:
    """Without another turn of the loop: a callback that is queued behind the news finds the answer sent."""

    async def main(engine: AsyncioEngine) -> None:
        async def answer() -> None:
            await engine.wait(pair[0].fileno(), READ)
            pair[0].recv(9)
            engine.call_soon(lambda: pair[0].send(b"answer"))

        task = engine.start(answer())
        await asyncio.sleep(0)
        pair[1].send(b"data")
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pair[1].fileno(), lambda: heard.set_result(pair[1].recv(9)))
        assert await heard == b"answer"
        asyncio.get_running_loop().remove_reader(pair[1].fileno())
        await task

    run(main)


def test_standard_files_can_be_waited_for(run: Run) -> None:
    reader, writer = os.pipe()

    async def main(engine: AsyncioEngine) -> None:
        os.write(writer, b"data")
        await engine.wait(reader, READ)
        engine.unregister(reader)

    run(main)
    os.close(reader)
    os.close(writer)
