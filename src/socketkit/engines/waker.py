"""A descriptor that becomes readable when another thread or a signal handler asks for it: it interrupts a wait."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from weakref import WeakSet

__all__ = ["Waker"]

_wakers: WeakSet[Waker] = WeakSet()


class Waker:
    """One flag that a poller can watch. `wake` may be called from any thread and from a signal handler.

    A child of fork(2) gets flags of its own, under the same numbers: an eventfd that it shares with the parent would
    wake the parent, and take the parent's wake-ups.

    Args:
        takes_signals: `signal_fileno` may be set as Python's wake-up descriptor; costs a second descriptor.
    """

    __slots__ = ("__weakref__", "_awake", "_lock", "_near", "_socket")

    def __init__(self, *, takes_signals: bool = False) -> None:
        self._near = -1
        self._socket: tuple[socket.socket, socket.socket] | None = None
        self._awake = False
        # Held while the descriptor is written or closed: the byte must not go to another file that was opened under the
        # same number meanwhile. Reentrant, because a signal handler interrupts its own thread anywhere.
        self._lock = threading.RLock()
        # eventfd(2) costs one descriptor; a pair of sockets is the portable form (Windows polls nothing but sockets).
        # Python writes a single byte for a signal, which an eventfd does not take.
        if hasattr(os, "eventfd") and not takes_signals:
            self._near = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._socket = pair = socket.socketpair()
            for end in pair:
                end.setblocking(False)
            self._near = pair[0].fileno()
        _wakers.add(self)

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._near

    def signal_fileno(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`: a signal makes `fileno` readable then.

        Without it a signal that comes just before a wait in the system is handled only after that wait: Python's
        handlers run between two instructions of Python.
        """
        assert self._socket is not None, "made without takes_signals"
        return self._socket[1].fileno()

    def wake(self) -> None:
        """Make it readable; harmless twice, and after the end."""
        with self._lock:
            if self._awake or self._near < 0:
                return
            self._awake = True
            if self._socket is None:
                os.eventfd_write(self._near, 1)
            else:
                with suppress(BlockingIOError):  # full of signals: it is readable
                    self._socket[1].send(b"\0")

    def clear(self) -> bool:
        """Make it unreadable again; return whether it was readable. Check afterwards what the wake-up was for."""
        try:
            if self._socket is None:
                os.eventfd_read(self._near)
            else:
                self._socket[0].recv(64)
        except BlockingIOError:
            return False
        finally:
            self._awake = False  # last: a wake between the two lines needs no new byte, we are about to look
        return True

    def close(self) -> None:
        """Close the descriptor. Harmless twice."""
        with self._lock:
            near, self._near = self._near, -1
            if self._socket is not None:
                for end in self._socket:
                    end.close()
            elif near >= 0:
                os.close(near)

    def renew_in_child(self) -> None:
        """Replace the descriptor, under its number, in a child of fork(2)."""
        self._lock = threading.RLock()  # another thread of the parent may have held it
        self._awake = False
        if self._near < 0:
            return
        if self._socket is None:
            fresh = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            os.dup2(fresh, self._near, inheritable=False)
            os.close(fresh)
        else:
            for end, new in zip(self._socket, socket.socketpair(), strict=True):
                new.setblocking(False)
                os.dup2(new.fileno(), end.fileno(), inheritable=False)
                new.close()

    def __del__(self) -> None:
        self.close()  # an engine that was made and never run, a thread that has ended


def _renew_all() -> None:
    for waker in list(_wakers):
        waker.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
