"""The process at the other end of a UNIX socket, as the kernel reports it."""

from __future__ import annotations

import socket
import struct
from typing import Final

from socketkit.values import Value

__all__ = ["Credentials", "credentials_of"]

_NO_ID: Final = -1
"""What Linux reports for a socket that has no credentials of its peer."""


class Credentials(Value):
    """The peer's process, user and group at the time of its connect(2); `pid` is None where it is not known."""

    pid: int | None
    uid: int
    gid: int


def credentials_of(sock: socket.socket) -> Credentials | None:
    """The peer's credentials (unix(7), SO_PEERCRED); None where the kernel does not know them: on other sockets and
    systems, and for UNIX datagrams, of which each may come from another process."""
    if sock.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid == _NO_ID:
        return None
    return Credentials(pid or None, uid, gid)
