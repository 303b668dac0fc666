"""The system calls that wait for many descriptors at once, under one interface.

`select` (POSIX, everywhere), `poll` (POSIX), `epoll` (Linux), `kqueue` (BSD, macOS). `arm` sets what is
watched, `poll` returns what is ready; all are used level-triggered. The standard library's `selectors` does the same
at twice the price of the bare call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from typing import Final, Protocol
from weakref import WeakSet

from socketkit.engines import waker
from socketkit.engines.engine import READ, WRITE

__all__ = ["POLLERS", "Poller", "SelectPoller"]

IN: Final = 0x001
OUT: Final = 0x004
INVALID: Final = 0x020

MAX_EVENTS: Final = 512


class Poller(Protocol):
    """One system call that watches many descriptors.

    Attributes:
        descriptor: its own descriptor, readable when one that it watches is ready; None where it has none.
    """

    descriptor: int | None

    def arm(self, descriptor: int, before: int, after: int) -> None:
        """Change what is watched, from `before` to `after` (READ | WRITE; 0: not at all).

        Raises:
            OSError: the descriptor cannot be watched (EPERM: epoll takes no regular file; EMFILE: select takes no
                descriptor beyond FD_SETSIZE).
            ValueError: the descriptor is negative.
        """

    def check_capacity(self) -> None:
        """Check that the next descriptor that is opened can be watched.

        Raises:
            OSError: EMFILE: it cannot.
        """

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds (None: no limit), and return pairs of descriptor and readiness bits."""

    def close(self) -> None:
        """Release the system's resources."""


FD_SETSIZE: Final = 1024
"""Descriptors from this number on do not fit into the sets of select(2) on POSIX systems."""


def _too_high(descriptor: int) -> OSError:
    return OSError(
        errno.EMFILE,
        f"select cannot watch descriptor {descriptor}: it takes those below {FD_SETSIZE}; use --engine poll or epoll",
    )


class SelectPoller:
    """select(2): three sets, rebuilt by the kernel at each call. On Linux only descriptors below 1024."""

    descriptor: int | None = None

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def arm(self, descriptor: int, before: int, after: int) -> None:
        if after and descriptor < 0:  # closed meanwhile: the call would fail for all that are watched
            raise ValueError(f"select cannot watch descriptor {descriptor}: it is closed")
        if after and sys.platform != "win32" and descriptor >= FD_SETSIZE:  # beyond it select(2) is undefined
            raise _too_high(descriptor)
        (self._readers.add if after & READ else self._readers.discard)(descriptor)
        (self._writers.add if after & WRITE else self._writers.discard)(descriptor)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if sys.platform == "win32" and not self._readers and not self._writers:
            raise RuntimeError("select on Windows needs at least one socket")
        # Windows reports a refused connect in the third set only; elsewhere that set means out-of-band data.
        third = self._writers if sys.platform == "win32" else ()
        try:
            readable, writable, failed = select.select(self._readers, self._writers, third, timeout)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return self._closed_descriptors()
        ready = dict.fromkeys(readable, IN)
        for descriptor in (*writable, *failed):
            ready[descriptor] = ready.get(descriptor, 0) | OUT
        return list(ready.items())

    def _closed_descriptors(self) -> list[tuple[int, int]]:
        """The watched descriptors that were closed, as poll(2) reports them; select(2) fails as a whole for one."""
        return [(descriptor, INVALID) for descriptor in self._readers | self._writers if not _is_open(descriptor)]

    def check_capacity(self) -> None:
        if sys.platform == "win32":
            return
        probe = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # gets the lowest free number, as accept(2) does
        os.close(probe)
        if probe >= FD_SETSIZE:
            raise _too_high(probe)

    def close(self) -> None:
        self._readers.clear()
        self._writers.clear()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


if sys.platform != "win32":

    class PollPoller:
        """poll(2): a list without FD_SETSIZE, passed whole at each call."""

        descriptor: int | None = None

        def __init__(self) -> None:
            self._poll = select.poll()

        def arm(self, descriptor: int, before: int, after: int) -> None:
            if not after:
                self._poll.unregister(descriptor)
            else:
                self._poll.register(descriptor, (IN if after & READ else 0) | (OUT if after & WRITE else 0))

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            return self._poll.poll(None if timeout is None else timeout * 1000)  # milliseconds, which it rounds up

        def check_capacity(self) -> None:
            pass

        def close(self) -> None:
            pass


if sys.platform == "linux":

    class EpollPoller:
        """epoll(7): the kernel keeps the list, a call costs only what is ready.

        A child of fork(2) gets a list of its own: it shares the parent's otherwise, and removes what the parent
        watches by closing it.
        """

        def __init__(self) -> None:
            self._armed = bytearray()  # what is watched, by descriptor, for a child of fork(2)
            self._epoll = select.epoll()
            _epolls.add(self)
            self.epoll = self.descriptor = self._epoll.fileno()

        def arm(self, descriptor: int, before: int, after: int) -> None:
            if not after:
                self._note(descriptor, 0)
                self._epoll.unregister(descriptor)
            else:
                change = self._epoll.modify if before else self._epoll.register
                bits = (IN if after & READ else 0) | (OUT if after & WRITE else 0)
                change(descriptor, bits)
                self._note(descriptor, bits)

        def _note(self, descriptor: int, bits: int) -> None:
            armed = self._armed
            if descriptor >= len(armed):
                armed.extend(bytes(descriptor + 1 - len(armed)))
            armed[descriptor] = bits

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            return self._epoll.poll(timeout, MAX_EVENTS)

        def check_capacity(self) -> None:
            pass

        def close(self) -> None:
            self._epoll.close()

        def renew_in_child(self) -> None:
            """Replace the list by an empty one, under its number, in a child of fork(2)."""
            if not self._epoll.closed:
                with select.epoll() as fresh:
                    os.dup2(fresh.fileno(), self._epoll.fileno(), inheritable=False)

        def watch_again(self) -> None:
            """Watch in the new list what was watched in the old one."""
            for descriptor, bits in enumerate(self._armed) if not self._epoll.closed else ():
                if bits:
                    with contextlib.suppress(OSError):  # closed already
                        self._epoll.register(descriptor, bits)

    _epolls: WeakSet[EpollPoller] = WeakSet()

    def _renew_all() -> None:
        """Renew every list before one is filled, because an engine's list may hold another one (`DescriptorSet`)."""
        epolls = list(_epolls)
        for epoll in epolls:
            epoll.renew_in_child()
        for epoll in epolls:
            epoll.watch_again()

    assert waker  # its descriptors are renewed before they are watched: hooks run in the order of their registration
    os.register_at_fork(after_in_child=_renew_all)


if sys.platform != "linux" and sys.platform != "win32":  # pragma: no cover - could not be run on Linux

    class KqueuePoller:
        """kqueue(2): one filter a direction. Written from its manual; not run on this code's machines (Linux)."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.descriptor: int | None = self._kqueue.fileno()

        def arm(self, descriptor: int, before: int, after: int) -> None:
            changes = []
            for direction, event_filter in ((READ, select.KQ_FILTER_READ), (WRITE, select.KQ_FILTER_WRITE)):
                if (before ^ after) & direction:
                    flag = select.KQ_EV_ADD if after & direction else select.KQ_EV_DELETE
                    changes.append(select.kevent(descriptor, event_filter, flag))
            if changes:
                self._kqueue.control(changes, 0, 0)

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            ready: dict[int, int] = {}
            for event in self._kqueue.control(None, MAX_EVENTS, timeout):
                bit = IN if event.filter == select.KQ_FILTER_READ else OUT
                ready[event.ident] = ready.get(event.ident, 0) | bit
            return list(ready.items())

        def check_capacity(self) -> None:
            pass

        def close(self) -> None:
            self._kqueue.close()


def _offered() -> dict[str, type[Poller]]:
    classes = {"select": "SelectPoller", "poll": "PollPoller", "epoll": "EpollPoller", "kqueue": "KqueuePoller"}
    return {name: globals()[kind] for name, kind in classes.items() if kind in globals() and hasattr(select, name)}


POLLERS: Final = _offered()
