"""An access log: a line of JSON for each conversation, when it has ended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

__all__ = ["AccessLog"]


class AccessLog:
    """A file that lines are added to, each by one write, so that several programs may share it, and whoever watches it
    never sees half a line."""

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        """Args:
            path: is made where it is not there, readable by its owner only.
            clock: gives the seconds since 1970.

        Raises:
            OSError: it cannot be opened for writing.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._clock = clock

    def write(self, **facts: Any) -> None:
        """Add a line: the moment (UTC), and these facts.

        Raises:
            OSError: the disk is full, say; the line is lost.
        """
        now = self._clock()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        os.write(self._descriptor, f"{json.dumps({'time': moment, **facts})}\n".encode())

    def close(self) -> None:
        """Close the file. Harmless twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
