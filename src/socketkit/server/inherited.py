"""Listen at inherited descriptors: `fd:`, `systemd:`, `stdio:`; and at a child process, `exec:`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.errors import ListenError
from socketkit.events import Listening, Observer
from socketkit.server.socket_listener import SingleStreamListener, SocketListener
from socketkit.server.stream_listener import StreamListener, host_of
from socketkit.sockets.calls import reason_of
from socketkit.sockets.socket_options import backlog_of, prepare
from socketkit.streams.inherited import (
    HINTS,
    descriptors_of,
    duplicate_socket,
    is_listening,
    is_unconnected,
    open_stream,
    stream_at_descriptor,
)

__all__ = ["listeners_at_inherited"]


def listeners_at_inherited(
    engine: Engine,
    address: Address,
    options: Options,
    *,
    observer: Observer | None = None,
    datagrams: Callable[..., Any] | None = None,
) -> list[StreamListener]:
    """Return the listeners that an address of these schemes stands for: one for each socket that listens, or one that
    yields the stream of a connected descriptor.

    Raises:
        ListenError: the descriptor is not open, or cannot be served.
    """
    listeners: list[StreamListener] = []
    try:
        if address.scheme in ("stdio", "exec"):
            host = _host_at_standard_input() if address.scheme == "stdio" else ""
            return [SingleStreamListener(engine, address, open_stream(engine, address, options), host)]
        for entry in descriptors_of(address):
            listeners.append(_listener_at(engine, address, entry.descriptor, options, observer, datagrams))
    except OSError as error:
        for listener in listeners:
            listener.close()
        hint = HINTS.get((address.scheme, error.errno), "")
        raise ListenError(
            f"cannot serve {address}: {reason_of(error)}{hint}", address=str(address), errno=error.errno
        ) from None
    return listeners


def _host_at_standard_input() -> str:
    """The peer's host where standard input is a connected socket, as inetd(8) passes it: `allow` and `deny` judge it.
    Empty where it is none."""
    sock = duplicate_socket(0)
    if sock is None:
        return ""
    with sock:
        try:
            return host_of(Address.from_socket_name(sock.family, sock.type, sock.getpeername()))
        except OSError:
            return ""  # not connected, or the peer has gone: the first read reports that


def _listener_at(
    engine: Engine,
    address: Address,
    descriptor: int,
    options: Options,
    observer: Observer | None,
    datagrams: Callable[..., Any] | None,
) -> StreamListener:
    sock = duplicate_socket(descriptor, observer)
    if sock is None or not (is_listening(sock) or is_unconnected(sock)):
        if sock is not None:
            sock.close()
        return SingleStreamListener(engine, address, stream_at_descriptor(engine, address, descriptor, options))
    try:
        # The flag is shared with the service manager and other processes; it disturbs only a blocking accept(2).
        sock.setblocking(False)
        os.set_inheritable(descriptor, False)
        origin = Address("fd", path=str(descriptor), options=address.options)
        if is_listening(sock):
            prepare(sock, options)
            listener: StreamListener = SocketListener(engine, sock, options, observer=observer, inherited_from=origin)
        else:
            listener = _datagram_listener(engine, sock, origin, options, observer, datagrams)
    except BaseException:
        sock.close()
        raise
    if observer is not None:
        observer(Listening(str(listener.address), backlog_of(sock) if is_listening(sock) else 0))
    return listener


def _datagram_listener(
    engine: Engine,
    sock: socket.socket,
    origin: Address,
    options: Options,
    observer: Observer | None,
    make: Callable[..., Any] | None,
) -> StreamListener:
    from socketkit.sockets.datagram_setup import adopt_datagrams

    if make is None:
        from socketkit.server.datagram_listener import DatagramListener

        make = DatagramListener

    adopt_datagrams(sock, options)
    address = Address.from_socket_name(sock.family, sock.type, sock.getsockname())
    listener: StreamListener = make(engine, sock, options, address=address, observer=observer, inherited_from=origin)
    return listener
