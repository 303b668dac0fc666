"""SIGINT and SIGTERM become a call in the engine's own thread, and only while they are caught."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from socketkit.server.signals import STOP_SIGNALS, caught


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_wait_by_a_call_in_the_engines_thread(engine, number) -> None:
    told: list[tuple[int, threading.Thread]] = []
    before = [signal.getsignal(each) for each in STOP_SIGNALS]

    async def main() -> None:
        came = engine.event()

        def callback(which: int) -> None:
            told.append((which, threading.current_thread()))
            came.set()

        with caught(engine, callback):
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
            await came.wait(deadline=engine.now() + 20)

    engine.run(main())
    assert told == [(number, threading.main_thread())]
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


def test_elsewhere_than_in_the_main_thread_nothing_changes(engine) -> None:
    handlers: list[object] = []

    async def main() -> None:
        with caught(engine, lambda number: None):
            handlers.extend(map(signal.getsignal, STOP_SIGNALS))

    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    thread = threading.Thread(target=lambda: engine.run(main()))
    thread.start()
    thread.join()
    assert handlers == before


def test_what_was_set_before_is_set_again_also_after_an_error(engine) -> None:
    before = [signal.getsignal(each) for each in STOP_SIGNALS]

    async def main() -> None:
        with caught(engine, lambda number: None):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.run(main())
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before
