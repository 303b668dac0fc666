"""Descriptors that the service manager has opened for us: LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID (sd_listen_fds(3)).

The variables are read once and taken away, so that no child believes they are meant for it. Opens and closes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import MutableMapping
from typing import Final

from socketkit.config.option_types import quote
from socketkit.values import Value

__all__ = ["Passed", "passed", "take_passed"]

FIRST: Final = 3
"""SD_LISTEN_FDS_START: the first after the standard ones."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class Passed(Value):
    """One descriptor: its number, and its name (FileDescriptorName= of the socket unit; else `unknown`)."""

    descriptor: int
    name: str


def take_passed(environment: MutableMapping[str, str], *, pid: int) -> tuple[Passed, ...]:
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
    return tuple(map(Passed, descriptors, named or ["unknown"] * int(count)))


_lock = threading.Lock()
_taken: tuple[Passed, ...] = ()


def passed() -> tuple[Passed, ...]:
    """What was passed to this process: the same each time, though the variables are gone after the first.

    Raises:
        ValueError: as `take_passed`.
    """
    global _taken
    with _lock:
        if "LISTEN_FDS" in os.environ:
            _taken = take_passed(os.environ, pid=os.getpid())
        return _taken
