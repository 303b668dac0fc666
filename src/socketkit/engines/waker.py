"""A descriptor that becomes readable when somebody says so: how a thread or a signal interrupts a wait."""

from __future__ import annotations

import os
import socket
import threading

__all__ = ["Waker"]


class Waker:
    """One flag that a poller can watch. `wake` may be called from any thread and from a signal handler."""

    __slots__ = ("_awake", "_lock", "_near", "_socket")

    def __init__(self) -> None:
        self._near = -1
        self._socket: tuple[socket.socket, socket.socket] | None = None
        self._awake = False
        # Held while the descriptor is written or closed: a byte must not go to a stranger who was given the same
        # number meanwhile. It lets its own thread in twice, because a signal handler interrupts that thread anywhere.
        self._lock = threading.RLock()
        # eventfd(2) costs one descriptor; a pair of sockets is the portable form (Windows polls nothing but sockets).
        if hasattr(os, "eventfd"):
            self._near = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:  # pragma: no cover - could not be run on Linux
            self._socket = pair = socket.socketpair()
            for end in pair:
                end.setblocking(False)
            self._near = pair[0].fileno()

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._near

    def wake(self) -> None:
        """Make it readable; harmless twice, and after the end."""
        with self._lock:
            if self._awake or self._near < 0:
                return
            self._awake = True
            if self._socket is None:
                os.eventfd_write(self._near, 1)
            else:  # pragma: no cover - could not be run on Linux
                self._socket[1].send(b"\0")

    def clear(self) -> bool:
        """Make it unreadable again; whether it was readable. Whoever clears looks afterwards what it was woken for."""
        try:
            if self._socket is None:
                os.eventfd_read(self._near)
            else:  # pragma: no cover - could not be run on Linux
                self._socket[0].recv(64)
        except BlockingIOError:
            return False
        finally:
            self._awake = False  # last: a wake between the two lines needs no new byte, we are about to look
        return True

    def close(self) -> None:
        """Give the descriptor back. Harmless twice."""
        with self._lock:
            near, self._near = self._near, -1
            if self._socket is not None:  # pragma: no cover - could not be run on Linux
                for end in self._socket:
                    end.close()
            elif near >= 0:
                os.close(near)

    def __del__(self) -> None:
        self.close()  # an engine that was made and never run, a thread that has ended
