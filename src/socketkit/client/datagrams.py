"""Dial a datagram address: a socket whose default peer is fixed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError
from socketkit.events import Observer
from socketkit.sockets.datagram_setup import AF_UNIX, bind_private_name, make_socket
from socketkit.sockets.multicast import is_for_many, scoped, set_datagram_options
from socketkit.sockets.resolver import Candidate
from socketkit.sockets.socket_options import bind_source, prepare
from socketkit.streams.datagram_socket import DatagramSocket

__all__ = ["dial_datagrams"]


def dial_datagrams(
    engine: Engine, candidate: Candidate, options: Options, *, observer: Observer | None = None
) -> DatagramSocket:
    """A socket whose peer is the candidate: connected to it, or, where that is a group, sending to it.

    Raises:
        OptionError: `protocol` or `interface` is wrong, or missing.
        OSError: there is no way to it, no such file, no right.
    """
    sock = make_socket(candidate, options, observer)
    at_end: Callable[[], None] | None = None
    try:
        prepare(sock, options)
        name, target, reconnect = candidate.name, None, None
        if sock.family == AF_UNIX:
            at_end = bind_private_name(sock)

            def reconnect() -> None:
                sock.connect(name)

        else:
            set_datagram_options(sock, name, options)
            bind_source(sock, options)
        if sock.family != AF_UNIX and is_for_many(sock, name, options):
            target = scoped(sock, name, options)
            if not sock.getsockname()[1]:
                sock.bind(("", 0) if sock.family == socket.AF_INET else ("::", 0))
        else:
            _connect(sock, candidate)
        return DatagramSocket(
            engine,
            sock,
            local=_text(candidate, sock.getsockname()),
            peer=str(candidate),
            receive_size=options.receive_size,
            target=target,
            reconnect=reconnect,
            at_end=at_end,
        )
    except BaseException:
        sock.close()
        if at_end is not None:
            at_end()
        raise


def _connect(sock: socket.socket, candidate: Candidate) -> None:
    try:
        sock.connect(candidate.name)
    except PermissionError as error:
        if sock.family == AF_UNIX:
            raise
        raise ConnectError(
            f"{os.strerror(errno.EACCES)} (EACCES): if this is a broadcast address, say so: broadcast=yes",
            address=str(candidate),
            errno=error.errno,
        ) from None


def _text(candidate: Candidate, name: Any) -> str:
    """Our own name, in the words of the peer's scheme (a ping socket is a datagram socket to the system)."""
    return str(Address.from_socket_name(candidate.family, candidate.kind, name))
