"""Signals that ask a program to stop, turned into a call in the engine's own thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from socketkit.engines.engine import Engine
from socketkit.sockets.systemd import notify

__all__ = ["STOP_SIGNALS", "caught"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def caught(
    engine: Engine, callback: Callable[[int], object], *, signals: Iterable[int] = STOP_SIGNALS
) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM (or others) call back, with their number, instead of ending the program.

    In a thread that is not the main one nothing changes: only the main thread may set handlers (signal(7), Python).
    A service manager that wants to know is told first. What was set before is set again at the end. A signal that is
    ignored stays so, as after nohup(1).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        engine.from_thread(lambda: told(number))

    def told(number: int) -> None:
        notify("STOPPING=1")
        callback(number)

    heard = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
