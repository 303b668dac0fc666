"""The lock of threads that send, where the stream's own protocol answers too: a pong never cuts a frame in two.

The thread that receives must not wait for another one whose peer does not read: its answer is sent by the other thread
then, behind the message.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

__all__ = ["SendingLock"]


class SendingLock:
    """As `threading.Lock`; what was answered meanwhile is written when it is released.

    Args:
        write: appends bytes to what is sent, and sends.
    """

    __slots__ = ("_answers", "_lock", "_write")

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._lock = threading.Lock()
        self._answers: deque[bytes] = deque()
        self._write = write

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As of a lock."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """As of a lock."""
        self._lock.release()
        if self._answers:
            self._write_answers()

    def answer(self, data: bytes) -> None:
        """Write bytes of the protocol's own now, or have the thread that sends do so behind its message."""
        self._answers.append(data)
        self._write_answers()

    def _write_answers(self) -> None:
        # Whoever fails to get the lock leaves them to its owner, who looks after the release.
        while self._answers and self._lock.acquire(blocking=False):
            try:
                while self._answers:
                    self._write(self._answers.popleft())
            finally:
                self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
