"""What each error of accept(2) means.

accept(2) reports errors of the new connection (accept the next one), shortages of the system or the process (accept
again after a pause), and errors of the listening socket (give up). The waiting is done by the caller.
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
_PEER_ERRORS: Final = _numbers(
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
    """Whether only this connection has failed: accept the next one at once."""
    return error.errno in _PEER_ERRORS


def is_resource_shortage(error: OSError) -> bool:
    """Whether the system or the process has run out of descriptors or memory: accept again after a pause."""
    return error.errno in _SHORTAGES


def shortage_backoff() -> Backoff:
    """Pauses before each next accept(2) during a shortage: short enough to end with it, long enough not to spin."""
    return Backoff(FIRST_PAUSE, LAST_PAUSE)
