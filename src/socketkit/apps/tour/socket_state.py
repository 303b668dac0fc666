"""Facts of the system about sockets: TCP states, limits, counts; empty where it does not report them."""

from __future__ import annotations

import os
import socket
from typing import Final

__all__ = ["backlog_limit", "open_descriptor_count", "state_of", "state_of_ports"]

_STATES: Final = (
    "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING",
)  # fmt: skip
"""By number, as in Linux's include/net/tcp_states.h."""


def state_of(descriptor: int) -> str:
    """The state of a TCP socket, in RFC 9293's words; on Linux the first byte of TCP_INFO (tcp(7))."""
    if not hasattr(socket, "TCP_INFO"):
        return ""
    sock = socket.socket(fileno=descriptor)
    try:
        return _STATES[sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]]
    except (OSError, IndexError):
        return ""
    finally:
        sock.detach()


def state_of_ports(local: int, peer: int) -> str:
    """The state of a connection over IPv4 that has no descriptor any more (proc(5), /proc/net/tcp)."""
    try:
        with open("/proc/net/tcp") as table:
            rows = [row.split() for row in table][1:]
        for _, ours, theirs, state, *_ in rows:
            if (_port(ours), _port(theirs)) == (local, peer):
                return _STATES[int(state, 16)]
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def backlog_limit() -> int | None:
    """The most connections that may wait at one listening socket (listen(2), somaxconn)."""
    try:
        with open("/proc/sys/net/core/somaxconn") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def open_descriptor_count() -> int | None:
    """How many descriptors this process has open."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # without the folder itself, which is open while it is read
    except OSError:
        return None
