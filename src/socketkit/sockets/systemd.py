"""The service manager's protocol: inherited descriptors (sd_listen_fds(3)) and state notifications (sd_notify(3)).

LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID are read once and removed, so that no child takes them for its own. Opens and
closes no descriptor.
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
"""SD_LISTEN_FDS_START: the first descriptor after the standard ones."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class InheritedDescriptor(Value):
    """An inherited descriptor: its number, and its name (FileDescriptorName= of the socket unit; else `unknown`)."""

    descriptor: int
    name: str


def take_listen_fds(environment: MutableMapping[str, str], *, pid: int) -> tuple[InheritedDescriptor, ...]:
    """The descriptors that these variables name. The variables are removed, and no child inherits the descriptors.

    Variables for another process (by LISTEN_PID) are removed too, and name nothing here. LISTEN_PID may be missing: the
    program that starts this one may not know its number.

    Raises:
        ValueError: the variables are wrong; the message says how.
    """
    listen_pid, count, names = (environment.get(name) for name in _VARIABLES[:3])
    for name in _VARIABLES:
        environment.pop(name, None)
    if count is None or (listen_pid is not None and listen_pid.strip() != str(pid)):
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
    """The descriptors that this process inherited: the same each time, though the first call removes the variables.

    Raises:
        ValueError: as `take_listen_fds`.
    """
    global _taken
    with _lock:
        if "LISTEN_FDS" in os.environ:
            _taken = take_listen_fds(os.environ, pid=os.getpid())
        return _taken


def notify(state: str, *, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a state to the service manager; never waits, never raises.

    Args:
        state: assignments, one a line: `READY=1`, `STOPPING=1`, `STATUS=...`.
        environment: where NOTIFY_SOCKET is read: a path, or `@name` in Linux's abstract namespace.

    Returns:
        Whether the manager's socket has taken it.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False  # none, or of an unsupported kind (vsock:)
    name = b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)
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
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", environment=environment)
