"""Tell the service manager how we stand: READY=1, STOPPING=1 (sd_notify(3)).

One datagram to the socket that NOTIFY_SOCKET names; nothing where it names none. That nobody hears it is no failure of
ours: the manager has time-outs of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

__all__ = ["notify"]


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
