"""A descriptor that becomes readable when somebody says so: how a thread or a signal interrupts a wait."""

from __future__ import annotations

import os
import socket

__all__ = ["Waker"]


class Waker:
    """One flag that a poller can watch. `wake` may be called from any thread and from a signal handler."""

    __slots__ = ("_awake", "_near", "_socket")

    def __init__(self) -> None:
        # eventfd(2) costs one descriptor; a pair of sockets is the portable form (Windows polls nothing but sockets).
        if hasattr(os, "eventfd"):
            self._near: int = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._socket: tuple[socket.socket, socket.socket] | None = None
        else:  # pragma: no cover - could not be run on Linux
            pair = socket.socketpair()
            for end in pair:
                end.setblocking(False)
            self._socket = pair
            self._near = pair[0].fileno()
        self._awake = False

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._near

    def wake(self) -> None:
        """Make it readable; harmless twice."""
        if self._awake:
            return
        self._awake = True
        try:
            if self._socket is None:
                os.eventfd_write(self._near, 1)
            else:  # pragma: no cover - could not be run on Linux
                self._socket[1].send(b"\0")
        except OSError:
            pass  # closed meanwhile: nobody waits any more

    def clear(self) -> None:
        """Make it unreadable again. Whoever clears looks afterwards for what it was woken for."""
        try:
            if self._socket is None:
                os.eventfd_read(self._near)
            else:  # pragma: no cover - could not be run on Linux
                self._socket[0].recv(64)
        except BlockingIOError:
            pass
        self._awake = False  # last: a wake between the two lines needs no new byte, we are about to look

    def close(self) -> None:
        """Give the descriptor back."""
        if self._near < 0:
            return
        near, self._near, self._awake = self._near, -1, True
        if self._socket is None:
            os.close(near)
        else:  # pragma: no cover - could not be run on Linux
            for end in self._socket:
                end.close()
