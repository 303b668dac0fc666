"""SIGINT and SIGTERM become a call in the engine's own thread, and only while a block runs; what systemd is sent."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from socketkit.server.signals import STOP_SIGNALS, reload_signal, stop_signals


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

        with stop_signals(engine, callback):
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
            await came.wait(deadline=engine.now() + 20)

    engine.run(main())
    assert told == [(number, threading.main_thread())]
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


def test_non_main_thread_keeps_handlers(engine) -> None:
    """Elsewhere than in the main thread nothing changes."""
    handlers: list[object] = []

    async def main() -> None:
        with stop_signals(engine, lambda number: None):
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
        with stop_signals(engine, lambda number: None):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.run(main())
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A service manager's socket (NOTIFY_SOCKET)."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield sock


def test_reload_signal_notifies_reloading(engine, manager):
    """SIGHUP sends RELOADING=1 with its moment, then READY=1 after the reload, and never STOPPING=1."""
    received = []

    async def main() -> None:
        came = engine.event()

        def reload() -> None:
            received.append(manager.recv(1000))
            came.set()

        with reload_signal(engine, reload):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGHUP)).start()
            await came.wait(deadline=engine.now() + 20)

    engine.run(main())
    received.append(manager.recv(1000))
    first, moment = received[0].split(b"\n")
    assert (first, received[1]) == (b"RELOADING=1", b"READY=1")
    assert moment.startswith(b"MONOTONIC_USEC=") and int(moment.partition(b"=")[2]) > 0


def test_stop_signal_notifies_stopping(engine, manager):
    """SIGTERM sends STOPPING=1."""

    async def main() -> None:
        came = engine.event()
        with stop_signals(engine, lambda number: came.set()):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
            await came.wait(deadline=engine.now() + 20)

    engine.run(main())
    assert manager.recv(1000) == b"STOPPING=1"
