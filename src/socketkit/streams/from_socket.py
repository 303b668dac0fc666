"""The stream for a connected socket, by its family and type."""

from __future__ import annotations

import socket

from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.sockets.calls import address_text, name_of_peer
from socketkit.sockets.socket_options import tune
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

__all__ = ["stream_from_socket"]


_local = ""


def _shared(local: str) -> str:
    """The text, as the object that was returned before where it is equal: a server's connections have one address."""
    global _local
    if local != _local:
        _local = local
    return _local


def stream_from_socket(engine: Engine, sock: socket.socket, options: Options, *, peer: str | None = None) -> Stream:
    """A stream over a connected, non-blocking socket, with the options of a connected socket set.

    Args:
        engine: the engine on which it waits.
        sock: the socket; the stream owns it from now on.
        options: the options to set.
        peer: the peer's address, where getpeername(2) would say less (for a UNIX client).

    Raises:
        OSError: the peer is gone already; the stream does not own the socket then.
    """
    family, kind = sock.family, sock.type
    if family in (socket.AF_INET, socket.AF_INET6):
        tune(sock, options)
    local = _shared(address_text(family, kind, sock.getsockname()))
    if peer is None:
        peer = address_text(family, kind, name_of_peer(sock))
    if kind == getattr(socket, "SOCK_SEQPACKET", None):
        from socketkit.streams.datagram_socket import DatagramSocket

        return DatagramSocket(engine, sock, local=local, peer=peer, receive_size=options.receive_size)
    made = SocketStream
    if engine.blocks:
        from socketkit.streams.blocking_socket_stream import BlockingSocketStream

        made = BlockingSocketStream
    return made(engine, sock, local=local, peer=peer, receive_size=options.receive_size)
