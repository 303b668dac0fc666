"""Who is at the other end of a UNIX socket, as the kernel vouches for it."""

from __future__ import annotations

import socket
import struct

from socketkit.values import Value

__all__ = ["Credentials", "credentials_of"]


class Credentials(Value):
    """The peer's process, user and group, as they were when it connected; `pid` is None where nobody says it."""

    pid: int | None
    uid: int
    gid: int


def credentials_of(sock: socket.socket) -> Credentials | None:
    """The peer's credentials (unix(7), SO_PEERCRED); None for a socket, or a system, that has none to tell."""
    if sock.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return Credentials(pid or None, uid, gid)
