"""Let callers in: what a door is, and what each error of accept(2) means.

The manual names errors that are one caller's misfortune (go on), errors that are the machine's (pause, and look again)
and errors that are ours (give up). Decides; the waiting is done by whoever accepts.
"""

from __future__ import annotations

import errno
from typing import Final

from socketkit.config.backoff import Backoff

__all__ = ["FIRST_PAUSE", "LAST_PAUSE", "is_peer_error", "is_resource_shortage", "shortage_backoff"]

FIRST_PAUSE: Final = 0.05
LAST_PAUSE: Final = 1.0


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# accept(2), "Error handling": pending network errors of the new socket are passed to accept; treat them like EAGAIN.
_CALLERS: Final = _numbers(
    "ECONNABORTED",
    "EPERM",
    "EPROTO",
    "ENOPROTOOPT",
    "ENETDOWN",
    "ENETUNREACH",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENONET",
    "EOPNOTSUPP",
    "ETIMEDOUT",
    "EINTR",
)
_SHORTAGES: Final = _numbers("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "WSAEMFILE")


def is_peer_error(error: OSError) -> bool:
    """Whether only the caller is gone: accept the next one at once."""
    return error.errno in _CALLERS


def is_resource_shortage(error: OSError) -> bool:
    """Whether the machine or the process is out of something: accept again after a pause."""
    return error.errno in _SHORTAGES


def shortage_backoff() -> Backoff:
    """Pauses before each next accept(2) during a shortage: short enough to end with it, long enough not to spin."""
    return Backoff(FIRST_PAUSE, LAST_PAUSE)
