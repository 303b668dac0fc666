"""Signals as calls in the engine's own thread, and what a service manager is sent for them (sd_notify(3))."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from socketkit.engines.engine import Engine
from socketkit.sockets.systemd import notify, notify_reloading

__all__ = ["STOP_SIGNALS", "reload_signal", "stop_signals"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(engine: Engine, callback: Callable[[int], object]) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM call back with their number instead of ending the program.

    The service manager is sent `STOPPING=1` first. In a thread that is not the main one nothing changes: only the main
    thread may set handlers (signal in Python's library). At the end the earlier handlers are set again. A signal that
    is ignored stays ignored, as after nohup(1).
    """

    def stop(number: int) -> None:
        notify("STOPPING=1")
        callback(number)

    with _caught(engine, stop, STOP_SIGNALS):
        yield


@contextmanager
def reload_signal(engine: Engine, callback: Callable[[], object]) -> Iterator[None]:
    """While the block runs, SIGHUP calls back; the service manager is sent `RELOADING=1` before, `READY=1` after."""

    def reload(number: int) -> None:
        notify_reloading()
        try:
            callback()
        finally:
            notify("READY=1")

    with _caught(engine, reload, (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()):
        yield


@contextmanager
def _caught(engine: Engine, callback: Callable[[int], object], signals: Iterable[int]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        engine.from_thread(lambda: callback(number))

    caught = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in caught}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
