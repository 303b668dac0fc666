"""The engine that waits here and now."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from socketkit.config.time_limits import CANCEL_TIMEOUT
from socketkit.engines.blocking import BlockingEngine
from socketkit.engines.engine import READ, WRITE
from socketkit.engines.group import Group

Pair = tuple[socket.socket, socket.socket]


def test_coroutine_ends_in_one_step(pair: Pair) -> None:
    """A coroutine runs to its end in one step."""
    engine = BlockingEngine()

    async def main() -> bytes:
        await engine.sleep(0)
        pair[1].send(b"data")
        await engine.wait(pair[0].fileno(), READ, engine.now() + 60)
        await engine.wait(pair[0].fileno(), WRITE)
        return pair[0].recv(9)

    with pytest.raises(StopIteration) as caught:
        main().send(None)
    assert caught.value.value == b"data"


def test_many_threads_and_second_run(pair: Pair) -> None:
    """One engine serves many threads and runs again."""
    engine = BlockingEngine()
    results: list[bytes] = []

    async def read() -> bytes:
        await engine.wait(pair[0].fileno(), READ)
        return pair[0].recv(1)

    def work() -> None:
        with lock:
            results.append(engine.run(read()))

    lock = threading.Lock()
    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    pair[1].send(b"abcde")
    for thread in threads:
        thread.join()
    assert results == [b"a", b"b", b"c", b"d", b"e"]


def test_signal_handler_sets_event() -> None:
    """Wherever it comes in: no lock is held that it would need."""
    engine = BlockingEngine()

    async def main() -> None:
        for _ in range(50):
            event = engine.event()
            before = signal.signal(signal.SIGUSR1, lambda number, frame, event=event: event.set())
            thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
            thread.start()
            await event.wait()
            thread.join()
            signal.signal(signal.SIGUSR1, before)

    engine.run(main())


def test_run_leaves_stuck_thread() -> None:
    """It is stuck in a call of its own; as a daemon it does not hold up the end of the program."""
    engine = BlockingEngine()
    release, seen = threading.Event(), list[threading.Thread]()

    async def stuck() -> None:
        seen.append(threading.current_thread())
        release.wait()

    async def main() -> None:
        begun = engine.event()

        async def begin() -> None:
            begun.set()
            await stuck()

        engine.start(begin())
        await begun.wait()

    engine.run(main())
    assert CANCEL_TIMEOUT < 1
    assert all(thread.daemon for thread in seen)
    release.set()
    for thread in seen:
        thread.join()


def test_nested_run_leaves_its_own(pair: Pair) -> None:
    """What a run inside a run leaves is its own."""
    engine = BlockingEngine()
    story: list[str] = []

    async def wait(word: str, number: int) -> None:
        try:
            await engine.wait(pair[number].fileno(), READ)
        finally:
            story.append(word)

    async def inner() -> None:
        engine.start(wait("inner", 0))

    async def main() -> None:
        engine.start(wait("outer", 1))
        engine.run(inner())
        story.append("between")

    engine.run(main())
    assert story == ["inner", "between", "outer"]


def test_no_thread_is_reported_to_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the group does not wait for it."""
    engine = BlockingEngine()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def never() -> None:
        raise AssertionError

    async def main() -> None:
        async with Group(engine) as group:
            monkeypatch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                group.start(never())
            monkeypatch.undo()
            assert len(group) == 0

    engine.run(main())


def test_group_cancel_while_starting() -> None:
    """Whatever comes first, no task is left waiting."""
    engine = BlockingEngine()

    async def main() -> None:
        for _ in range(50):
            group = Group(engine)
            thread = threading.Thread(target=group.cancel)
            thread.start()
            for _ in range(3):
                group.start(engine.event().wait())
            thread.join()
            await group.join()

    engine.run(main())


def test_unregistered_descriptor_is_looked_at_again(pair: Pair) -> None:
    """It read the number before another thread closed it, and the number may belong to another file by now."""
    engine = BlockingEngine()
    ended = threading.Event()
    number = pair[0].fileno()

    async def late() -> None:
        await engine.wait(number, READ)  # for nothing: the call on it says so
        ended.set()
        await engine.wait(number, READ)  # for data
        assert pair[0].recv(9) == b"data"

    closer = threading.Thread(target=engine.unregister, args=(number,))
    closer.start()
    closer.join()
    waiter = threading.Thread(target=engine.run, args=(late(),))
    waiter.start()
    assert ended.wait(20)
    pair[1].send(b"data")
    waiter.join(20)
    assert not waiter.is_alive()
