"""Where guests come from."""

from __future__ import annotations

from socketkit.connection.connection import Connection

__all__ = ["source_of"]


def source_of(connection: Connection) -> str:
    """What a ban keeps out: the machine that a guest connects from, or the user at a UNIX socket."""
    peer = connection.peer
    if peer.host:
        return str(peer.host)
    credentials = connection.peer_credentials
    return "" if credentials is None else f"uid {credentials.uid}"
