"""A signal ends the wait of an engine in the main thread, also one that comes just before the wait."""

from __future__ import annotations

import signal
import threading

import pytest

from socketkit import engines
from support.connections import PATIENCE


@pytest.fixture(params=["epoll", "poll", "select", "kqueue"])
def readiness(request):
    if reason := engines.missing(request.param):
        pytest.skip(reason)
    return engines.make(request.param)


def wakeup_descriptor():
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    return descriptor


def test_wakeup_descriptor_while_running(readiness):
    """Python writes a byte for each signal to the engine's descriptor; at the end the earlier state is restored."""

    async def main():
        return wakeup_descriptor()

    assert readiness.run(main()) != -1
    assert wakeup_descriptor() == -1


def test_wakeup_descriptor_of_the_program_stays(readiness):
    """A descriptor that the program has set is left alone."""
    other = engines.make("select")
    own = other._waker.signal_fileno()

    async def main():
        return wakeup_descriptor()

    signal.set_wakeup_fd(own)
    try:
        assert readiness.run(main()) == own
        assert wakeup_descriptor() == own
    finally:
        signal.set_wakeup_fd(-1)


def test_no_wakeup_descriptor_in_another_thread(readiness):
    """Only the main thread receives signals."""
    runs, over = threading.Event(), threading.Event()

    async def main():
        runs.set()
        assert over.wait(PATIENCE)

    thread = threading.Thread(target=lambda: readiness.run(main()))
    thread.start()
    try:
        assert runs.wait(PATIENCE)
        assert wakeup_descriptor() == -1
    finally:
        over.set()
        thread.join()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1")
def test_more_signals_than_the_descriptor_holds(readiness):
    """Thousands of signals in one turn fill the descriptor; calls of handlers and threads arrive all the same."""
    count = 0

    async def main():
        done = readiness.event()

        def handler(number, frame):
            nonlocal count
            count += 1
            readiness.from_thread(lambda: done.set() if count == 5000 else None)

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            for _ in range(5000):
                signal.raise_signal(signal.SIGUSR1)
            await done.wait(deadline=readiness.deadline(PATIENCE))
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert await readiness.sleep(0) is None

    readiness.run(main())
    assert count == 5000
