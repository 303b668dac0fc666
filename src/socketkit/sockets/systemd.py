"""Descriptors that the service manager has opened for us: LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID (sd_listen_fds(3)).

The variables are read once and taken away, so that no child believes they are meant for it. Opens and closes nothing.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Final

from socketkit.config.quoting import quote
from socketkit.values import Value

__all__ = ["InheritedDescriptor", "inherited_descriptors", "notify", "take_listen_fds"]

FIRST: Final = 3
"""SD_LISTEN_FDS_START: the first after the standard ones."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class InheritedDescriptor(Value):
    """One descriptor: its number, and its name (FileDescriptorName= of the socket unit; else `unknown`)."""

    descriptor: int
    name: str


def take_listen_fds(environment: MutableMapping[str, str], *, pid: int) -> tuple[InheritedDescriptor, ...]:
    """The descriptors that these variables name; afterwards the variables are gone, and no child inherits any.

    Variables that are meant for another process (LISTEN_PID says which) are taken away too, and name nothing here.
    A helper that cannot know our number may leave LISTEN_PID out.

    Raises:
        ValueError: they are garbled; the message says what is wrong.
    """
    meant, count, names = (environment.get(name) for name in _VARIABLES[:3])
    for name in _VARIABLES:
        environment.pop(name, None)
    if count is None or (meant is not None and meant.strip() != str(pid)):
        return ()
    if not (count.isascii() and count.isdecimal() and len(count) < 7):
        raise ValueError(f"LISTEN_FDS is {quote(count)}, which is no count")
    named = names.split(":") if names else []
    if named and len(named) != int(count):
        raise ValueError(f"LISTEN_FDNAMES holds {len(named)} names, LISTEN_FDS says {count}")
    descriptors = range(FIRST, FIRST + int(count))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            raise ValueError(f"LISTEN_FDS is {quote(count)}, but descriptor {descriptor} is not open") from None
    return tuple(map(InheritedDescriptor, descriptors, named or ["unknown"] * int(count)))


_lock = threading.Lock()
_taken: tuple[InheritedDescriptor, ...] = ()


def inherited_descriptors() -> tuple[InheritedDescriptor, ...]:
    """What was passed to this process: the same each time, though the variables are gone after the first.

    Raises:
        ValueError: as `take_listen_fds`.
    """
    global _taken
    with _lock:
        if "LISTEN_FDS" in os.environ:
            _taken = take_listen_fds(os.environ, pid=os.getpid())
        return _taken


def notify(state: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell a state; never waits, never raises.

    Args:
        state: assignments, one a line: `READY=1`, `STOPPING=1`, `STATUS=...`.
        environment: where NOTIFY_SOCKET is looked up: a path, or `@name` in Linux's abstract namespace.

    Returns:
        Whether the manager's socket has taken it.
    """
    place = environment.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False  # none, or one of a kind that is not spoken here (vsock:)
    name = b"\0" + os.fsencode(place[1:]) if place.startswith("@") else os.fsencode(place)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), name)
    except OSError:
        return False
    return True


def notify_reloading(*, environment: Mapping[str, str] = os.environ) -> bool:
    """Report that the configuration is being read again; `notify("READY=1")` must follow when that is done.

    Type=notify-reload needs the moment by CLOCK_MONOTONIC in microseconds beside it (sd_notify(3)). A state of a stop
    must never be sent for it: after STOPPING=1 systemd ends the service.

    Returns:
        Whether the manager's socket has taken it.
    """
    return notify(
        f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", environment=environment
    )
