"""Signals as calls in the engine's own thread, and what a service manager is sent for them (sd_notify(3))."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from socketkit.engines.engine import Engine
from socketkit.sockets.systemd import notify, notify_reloading

__all__ = ["STOP_SIGNALS", "handlers", "is_signal_thread", "reload_signal", "stop_signals"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_callbacks: dict[int, list[Callable[[int], object]]] = {}
_before: dict[int, Any] = {}  # the handlers of the program, which are set again at the end
_pid = os.getpid()


def is_signal_thread() -> bool:
    """Whether this is the main thread, which alone may set handlers (signal in Python's library)."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def handlers(callback: Callable[[int], object], signals: Iterable[int]) -> Iterator[None]:
    """While the block runs, these signals call back in the handler itself, which may interrupt any line.

    Several blocks may handle one signal, and end in any order: each is called. At the end of the last the earlier
    handler is set again. A signal that is ignored stays ignored, as after nohup(1). A child of fork(2) gets a signal as
    if there were no block.

    Concurrency: in the main thread.
    """
    added = [number for number in signals if _add(number, callback)]
    try:
        yield
    finally:
        for number in added:
            _remove(number, callback)


def _add(number: int, callback: Callable[[int], object]) -> bool:
    global _pid
    if _pid != os.getpid():
        _callbacks.clear()
        _before.clear()
        _pid = os.getpid()
    if number not in _before:
        if signal.getsignal(number) is signal.SIG_IGN:
            return False
        _before[number] = signal.signal(number, _deliver)
    _callbacks.setdefault(number, []).append(callback)
    return True


def _remove(number: int, callback: Callable[[int], object]) -> None:
    waiting = _callbacks.get(number, [])
    if callback in waiting:
        waiting.remove(callback)
    if not waiting:
        _restore(number)


def _restore(number: int) -> None:
    if number in _before:
        before = _before.pop(number)
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _deliver(number: int, frame: FrameType | None) -> None:
    if _pid != os.getpid():  # the engines and servers are the parent's
        _restore(number)
        os.kill(os.getpid(), number)
        return
    for callback in list(_callbacks.get(number, ())):
        callback(number)


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
    if not is_signal_thread():
        yield
        return

    def handler(number: int) -> None:
        try:
            engine.from_thread(lambda: callback(number))
        except RuntimeError:
            pass  # the engine has ended in another thread: there is nothing to stop or reload

    with handlers(handler, signals):
        yield
