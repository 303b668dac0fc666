"""SIGINT and SIGTERM become a call in the engine's own thread, and only while they are caught."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from socketkit.server.signals import STOP_SIGNALS, caught


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_signal_ends_wait_in_engine_thread(engine, number) -> None:
    """A signal ends a wait by a call in the engines thread."""
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


def test_non_main_thread_keeps_handlers(engine) -> None:
    """Elsewhere than in the main thread nothing changes."""
    handlers: list[object] = []

    async def main() -> None:
        with caught(engine, lambda number: None):
            handlers.extend(map(signal.getsignal, STOP_SIGNALS))

    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    thread = threading.Thread(target=lambda: engine.run(main()))
    thread.start()
    thread.join()
    assert handlers == before


def test_handlers_restored_after_error(engine) -> None:
    """What was set before is set again also after an error."""
    before = [signal.getsignal(each) for each in STOP_SIGNALS]

    async def main() -> None:
        with caught(engine, lambda number: None):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.run(main())
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before
