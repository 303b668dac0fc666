"""The engine that waits here and now."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from socketkit.config.time_limits import CANCEL_TIMEOUT
from socketkit.engines import blocking
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


# Races of a wake-up, each with its order of steps forced.


def in_another_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_wake_up_is_not_taken_by_a_signal_handler() -> None:
    """A handler that waits interrupts a wait: both events are set while it waits, and both waits end."""
    engine = BlockingEngine()
    outer, inner = engine.event(), engine.event()
    is_inside = threading.Event()

    def handle(number: int, frame: object) -> None:
        is_inside.set()
        with pytest.raises(StopIteration):
            inner.wait().send(None)

    def interrupt() -> None:
        until_true(lambda: bool(outer._waiting))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert is_inside.wait(20)
        until_true(lambda: bool(inner._waiting))
        outer.set()
        inner.set()

    async def main() -> None:
        thread = threading.Thread(target=interrupt)
        thread.start()
        await outer.wait(deadline=engine.now() + 20)
        thread.join()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        engine.run(main())
    finally:
        signal.signal(signal.SIGUSR1, before)


def until_true(condition: Callable[[], bool]) -> None:
    last = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < last
        os.sched_yield()


def test_event_set_after_the_poll_has_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll found nothing by the deadline, then the event was set, then the waker is read: the event is seen."""
    engine = BlockingEngine()
    event = engine.event()

    def poll_then_set(*arguments: Any) -> bool:
        found = poll(*arguments)
        in_another_thread(event.set)
        return found

    poll = blocking._poll
    monkeypatch.setattr(blocking, "_poll", poll_then_set)
    engine.run(event.wait(deadline=engine.now()))
    assert event.is_set()


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="eventfd(2) is Linux's")
def test_event_set_while_the_waker_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second wake-up between the read of the eventfd and the end of `clear` writes nothing: its event is seen."""
    engine = BlockingEngine()
    first, second = engine.event(), engine.event()
    read = os.eventfd_read

    def read_then_set(number: int) -> int:
        value = read(number)
        in_another_thread(second.set)
        return value

    async def main() -> None:
        engine.start(wait_for_both())
        until_true(lambda: bool(second._waiting))
        monkeypatch.setattr(os, "eventfd_read", read_then_set)
        second._waiting[0].wake()  # for nothing: the thread looks again, and `second` is set meanwhile
        await first.wait(deadline=engine.now() + 20)

    async def wait_for_both() -> None:
        await second.wait(deadline=engine.now() + 20)
        first.set()

    engine.run(main())


def test_descriptor_closed_between_registration_and_poll(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number belongs to another socket by the time of the poll, which never becomes readable: the wait ends."""
    engine = BlockingEngine()
    near, far = socket.socketpair()
    number = near.fileno()
    reused: list[socket.socket] = []

    def close_then_poll(*arguments: Any) -> bool:
        if not reused:
            in_another_thread(close)
        return poll(*arguments)

    def close() -> None:
        engine.unregister(number)
        near.close()
        reused.append(pair[0].dup())

    poll = blocking._poll
    monkeypatch.setattr(blocking, "_poll", close_then_poll)
    engine.run(engine.wait(number, READ, engine.now() + 20))
    assert reused[0].fileno() == number
    for sock in (far, *reused):
        sock.close()
