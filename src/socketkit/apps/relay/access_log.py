"""An access log: a line of JSON for each connection, written when it has ended."""

from __future__ import annotations

import errno
import json
import os
import select
import stat
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

__all__ = ["AccessLog"]

MAX_PENDING_SIZE: Final = 256 * 1024
"""Bytes of lines that are kept while the reader of a pipe does not read: some thousand lines."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that `close` waits for such a reader."""


class AccessLog:
    """A file to which whole lines are appended, each by one write, so several programs may share it.

    It never blocks. Where a pipe is full, lines are kept up to a bound. Where the bound or the disk is full, lines are
    left out; the next line that can be written is preceded by a record `{"time": …, "left_out": 3}`.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        """Args:
            path: created where it does not exist, readable by its owner only.
            clock: the seconds since 1970.

        Raises:
            OSError: it cannot be opened for writing.
        """
        self._descriptor = _open(path)
        self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._clock = clock
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self._left_out_count = 0

    def write(self, **facts: Any) -> None:
        """Append a line: the time (UTC), and these facts.

        Raises:
            OSError: the line is left out, because the disk is full, say, or the reader of a pipe has stopped reading.
        """
        try:
            self._flush()
            if self._left_out_count and not self._pending:
                count, self._left_out_count = self._left_out_count, 0
                try:
                    self._append(left_out=count)
                except OSError:
                    self._left_out_count = count  # of the record itself nothing is lost
                    raise
            self._append(**facts)
        except OSError:
            self._left_out_count += 1
            raise

    def close(self) -> int:
        """Close the file, after a wait for a reader that is slow; the number of lines that are missing at its end."""
        if self._descriptor < 0:
            return 0
        deadline = time.monotonic() + CLOSE_TIMEOUT
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        try:
            self._flush()
            while self._pending and (left := deadline - time.monotonic()) > 0:
                poll.poll(left * 1000)
                self._flush()
        except OSError:
            pass  # counted
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        return self._left_out_count + len(self._pending)

    def _append(self, **facts: Any) -> None:
        now = self._clock()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        line = f"{json.dumps({'time': moment, **facts})}\n".encode()
        if self._pending_size + len(line) > MAX_PENDING_SIZE:
            raise BlockingIOError(errno.EAGAIN, "its reader has stopped reading")
        self._pending.append(line)
        self._pending_size += len(line)
        self._flush(uncounted=1)

    def _flush(self, *, uncounted: int = 0) -> None:
        """Write what is pending, as far as the system takes it now.

        Args:
            uncounted: how many of the last pending lines the caller counts itself where they are left out.

        Raises:
            OSError: an error other than a full pipe; the pending lines are dropped, and counted.
        """
        try:
            while self._pending:
                line = self._pending[0]
                written = os.write(self._descriptor, line)
                self._pending_size -= written
                if written == len(line):
                    self._pending.popleft()
                    continue
                self._pending[0] = line[written:]
                if self._is_regular:  # the disk is full
                    self._take_back(written)
        except BlockingIOError:
            pass
        except OSError:
            self._left_out_count += max(0, len(self._pending) - uncounted)
            self._pending.clear()
            self._pending_size = 0
            raise

    def _take_back(self, size: int) -> None:
        """Remove the half line that was written last, unless another program has appended a line to it since.

        Raises:
            OSError: always: ENOSPC.
        """
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if os.fstat(self._descriptor).st_size == end:
            os.ftruncate(self._descriptor, end - size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _open(path: str | os.PathLike[str]) -> int:
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        is_pipe = False
    if is_pipe:  # opened for both ways it needs no reader yet, and outlives one that is started again (fifo(7))
        return os.open(path, flags | os.O_RDWR, 0o600)
    return os.open(path, flags | os.O_WRONLY, 0o600)
