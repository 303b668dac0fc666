"""Where guests come from."""

from __future__ import annotations

import re
from typing import Final

from socketkit.connection.connection import Connection

__all__ = ["source_of"]

_IPV4: Final = re.compile(r"(?:tcp|tls|ws|wss)://([0-9.]+):[0-9]+")


def source_of(connection: Connection) -> str:
    """What a ban keeps out: the machine that a guest connects from, or the user at a UNIX socket."""
    if usual := _IPV4.fullmatch(connection.internals.peer):
        return usual[1]  # without a look at the whole address: thousands may come at once
    peer = connection.peer
    if peer.host:
        return str(peer.host)
    credentials = connection.peer_credentials
    return "" if credentials is None else f"uid {credentials.uid}"
