"""Count the datagrams that the kernel has dropped, because the receive buffer of the socket was full.

Linux has the count as the last number of SO_MEMINFO (sock_diag(7), SK_MEMINFO_DROPS). It costs one getsockopt(2) when
it is asked for, where SO_RXQ_OVFL would cost ancillary data with each datagram.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

__all__ = ["kernel_drops"]

_SO_MEMINFO: Final = 55 if os.path.exists("/proc/self") else None  # asm-generic/socket.h; Python has no name for it
_FIELDS: Final = struct.Struct("9I")


def kernel_drops(sock: socket.socket) -> int | None:
    """Return how many datagrams the kernel has dropped for this socket; None where the system does not say, and for
    UNIX sockets, whose senders wait instead."""
    if _SO_MEMINFO is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _FIELDS.size)
    except OSError:
        return None  # closed, or Linux before 4.12
    return int(_FIELDS.unpack(data)[-1]) if len(data) == _FIELDS.size else None
