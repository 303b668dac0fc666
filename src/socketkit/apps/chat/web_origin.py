"""A page of another site that the browser takes for one of this machine (DNS rebinding).

Such a site resolves its own name to 127.0.0.1 after it was loaded. Its Origin and Host agree then, but this machine has
no such name.
"""

from __future__ import annotations

import ipaddress
import socket

from socketkit.connection.connection import Connection

__all__ = ["is_rebound"]


def is_rebound(connection: Connection, origins: tuple[str, ...] | None) -> bool:
    """Whether a page has connected over the loopback under a name that is not this machine's.

    Args:
        connection: a WebSocket.
        origins: which were allowed by name; then they decide.
    """
    request = connection.request
    if origins is not None or request is None or request.header("origin") is None:
        return False
    host = (request.header("host") or "").strip().lower()
    return _is_loopback(connection.local.host) and not _is_of_this_machine(_without_port(host))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_of_this_machine(name: str) -> bool:
    own = socket.gethostname().lower()
    return (
        name in ("localhost", own, own.partition(".")[0])
        or name.endswith((".localhost", f".{own}"))
        or _is_address(name)  # a name alone can be resolved anew
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
