"""Bind to an address and listen there.

A name with several addresses is listened at on all of them, on one port. The files of UNIX sockets are handled in
`sockets/unix_paths`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.endpoint import is_secure
from socketkit.engines.engine import Engine
from socketkit.errors import ListenError, OpenError
from socketkit.events import Bound, Listening, Observer
from socketkit.server.socket_listener import SocketListener
from socketkit.server.stream_listener import StreamListener
from socketkit.sockets.calls import adopt, bind_and_listen, new_socket, reason_of
from socketkit.sockets.resolver import Candidate, deadline_of_name, resolve
from socketkit.sockets.socket_options import backlog_asked, backlog_of
from socketkit.sockets.unix_paths import locked_folder, remove_stale_socket, set_mode, widen_mode
from socketkit.values import replace

__all__ = ["listen_at", "listen_over"]

PORT_TRIES = 16
"""How often a free port is requested again when it turns out to be in use in another address family."""

# EADDRINUSE does not say by what: TIME-WAIT (RFC 9293, 3.3.2) and ports of clients cause it too.
_IN_USE = (
    "; a listener uses the port, or a connection that is open or was closed a moment ago (see `ss -tuan`): take "
    "another port (0: a free one)"
)
_IN_USE_PATH = "; another socket is bound to this name"


async def listen_at(
    engine: Engine,
    address: Address,
    options: Options,
    *,
    observer: Observer | None = None,
    datagrams: Callable[..., Any] | None = None,
) -> list[StreamListener]:
    """Listen at every socket address that this address stands for, all on one port.

    Args:
        datagrams: makes what is returned for a bound datagram socket, from the arguments of `DatagramListener`; None:
            a `DatagramListener`, with a session for each peer.

    Raises:
        ResolveError: the name is unknown.
        ListenError: an address is in use, not of this machine, or not allowed; nothing is left open then.
        DeadlineError: the name was not resolved within `connect_timeout`.
    """
    if is_secure(address, options) and options.tls is False:
        options = replace(options, tls=True)
    if address.is_given:
        from socketkit.server.inherited import listeners_at_inherited  # loaded only where it is needed

        return listeners_at_inherited(engine, address, options, observer=observer, datagrams=datagrams)
    deadline = deadline_of_name(engine, options.connect_timeout)
    candidates = await resolve(engine, address, passive=True, deadline=deadline, observer=observer)
    if address.path:
        return [await _listen_at_path(engine, address, candidates[0], options, observer, datagrams)]
    if not options.v6only and not address.host:  # the IPv6 socket accepts both families then
        candidates = [each for each in candidates if each.family == socket.AF_INET6] or candidates
    tries = PORT_TRIES if address.port == 0 and len(candidates) > 1 else 1
    while True:
        tries -= 1
        try:
            return [*_listen_at_all(engine, address, candidates, options, observer, datagrams)]
        except ListenError as error:
            if error.errno != errno.EADDRINUSE or not tries:
                raise


async def listen_over(
    engine: Engine, descriptors: list[int], address: Address, options: Options, *, observer: Observer | None = None
) -> list[StreamListener]:
    """Return listeners over sockets that another process has bound to this address, and that are ours from now on, with
    their files.

    Raises:
        ResolveError, ListenError: one of them does not listen, or listens elsewhere; all are closed then.
    """
    path = _absolute(address.socket_path) if address.is_local_path else None
    listeners: list[StreamListener] = []
    left = list(descriptors)
    try:
        candidates = await resolve(engine, address, passive=True, deadline=engine.deadline(options.connect_timeout))
        while left:
            sock = adopt(left.pop(0), observer=observer)
            try:
                _check_listens(sock, candidates)
                sock.setblocking(False)
                listeners.append(SocketListener(engine, sock, options, observer=observer, path=path))
            except BaseException:
                sock.close()
                raise
    except BaseException as error:
        for listener in listeners:
            if isinstance(listener, SocketListener):
                listener.release()
            listener.close()
        for descriptor in left:
            os.close(descriptor)
        if not isinstance(error, OSError) or isinstance(error, OpenError):
            raise
        raise ListenError(f"cannot take over {address}: {reason_of(error)}", address=str(address)) from None
    return listeners


def _check_listens(sock: socket.socket, candidates: list[Candidate]) -> None:
    """Check that a socket which another process has passed listens at one of these.

    Raises:
        OSError: it does not.
    """
    name = sock.getsockname()
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise OSError(errno.EINVAL, f"the socket that was passed is bound to {name!r}, and does not listen")
    if not any((sock.family, sock.type) == (one.family, one.kind) and _is_bound_to(name, one) for one in candidates):
        raise OSError(errno.EINVAL, f"the socket that was passed listens at {name!r}")


def _is_bound_to(name: Any, candidate: Candidate) -> bool:
    expected = candidate.name
    if not isinstance(expected, tuple):
        paths = [os.fsencode(path) for path in (name, expected)]
        return paths[0] == paths[1] or (all(paths) and os.path.abspath(paths[0]) == os.path.abspath(paths[1]))
    return bool(name[0] == expected[0] and expected[1] in (0, name[1]))


def _absolute(path: bytes) -> bytes:
    """The path of a file that may have to be removed after the working directory has changed."""
    return os.path.abspath(path)


def _listen_at_all(
    engine: Engine,
    address: Address,
    candidates: list[Candidate],
    options: Options,
    observer: Observer | None,
    datagrams: Callable[..., Any] | None,
) -> list[StreamListener]:
    """Bind the first, and the others to the same port. A family that this machine lacks is left out, unless none is
    left."""
    listening: list[StreamListener] = []
    port = address.port
    absent: ListenError | None = None
    try:
        for candidate in candidates:
            name = candidate.name if port is None else (candidate.name[0], port, *candidate.name[2:])
            try:
                listening.append(_listen_on(engine, address, candidate, name, options, observer, datagrams))
            except ListenError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = absent or error
                continue
            port = listening[-1].address.port
    except BaseException:
        for done in listening:
            done.close()
        raise
    if not listening and absent is not None:
        raise absent
    return listening


def _listen_on(
    engine: Engine,
    address: Address,
    candidate: Candidate,
    name: Any,
    options: Options,
    observer: Observer | None,
    datagrams: Callable[..., Any] | None,
) -> StreamListener:
    is_datagrams = candidate.kind in (socket.SOCK_DGRAM, socket.SOCK_RAW)
    path = _absolute(name) if address.is_local_path else None
    sock: socket.socket | None = None
    try:
        sock = _make_socket(candidate, options, observer)
        if path is not None and options.mode is not None:
            set_mode(sock, options.mode)
        if is_datagrams:
            listener = _bind_datagrams(engine, sock, candidate, name, options, observer, path, datagrams)
        else:
            bind_and_listen(sock, name, options)
            listener = SocketListener(engine, sock, options, observer=observer, path=path)
        if path is not None and options.mode is not None:
            widen_mode(path, options.mode)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if not isinstance(error, (OSError, OverflowError)):
            raise
        raise _listen_error(address, candidate, error) from None
    if observer is not None:
        observer(Bound(str(listener.address)))
        observer(Listening(str(listener.address), 0 if is_datagrams else backlog_of(sock, backlog_asked(options))))
    return listener


def _make_socket(candidate: Candidate, options: Options, observer: Observer | None) -> socket.socket:
    if candidate.kind != socket.SOCK_RAW:
        return new_socket(candidate.family, candidate.kind, candidate.protocol, observer=observer)
    from socketkit.sockets.datagram_setup import make_socket

    return make_socket(candidate, options, observer)


def _bind_datagrams(
    engine: Engine,
    sock: socket.socket,
    candidate: Candidate,
    name: Any,
    options: Options,
    observer: Observer | None,
    path: bytes | None,
    make: Callable[..., Any] | None,
) -> StreamListener:
    from socketkit.sockets.datagram_setup import bind_datagrams

    if make is None:
        from socketkit.server.datagram_listener import DatagramListener

        make = DatagramListener

    bind_datagrams(sock, name, options)
    address = Address.from_socket_name(candidate.family, candidate.kind, sock.getsockname())
    listener: StreamListener = make(engine, sock, options, address=address, observer=observer, path=path)
    return listener


def _listen_error(address: Address, candidate: Candidate, error: OSError | OverflowError) -> ListenError:
    number = getattr(error, "errno", None)
    where = f"{address}" if str(candidate) == str(address.without_options()) else f"{address} ({candidate})"
    hints = {
        errno.EADDRINUSE: _IN_USE_PATH if address.path else _IN_USE,
        errno.EACCES: "; ports below 1024 need the right CAP_NET_BIND_SERVICE: take one above"
        if not address.path
        else "; the folder does not let us create a file",
        errno.EADDRNOTAVAIL: "; it is not an address of this machine",
        errno.ENOENT: "; the folder does not exist",
    }
    hint = hints.get(number, "") if number is not None else ""
    return ListenError(f"cannot listen at {where}: {reason_of(error)}{hint}", address=str(address), errno=number)


async def _listen_at_path(
    engine: Engine,
    address: Address,
    candidate: Candidate,
    options: Options,
    observer: Observer | None,
    datagrams: Callable[..., Any] | None,
) -> StreamListener:
    path: bytes = candidate.name
    if not address.is_local_path:
        return _listen_on(engine, address, candidate, path, options, observer, datagrams)
    async with locked_folder(engine, path):
        remove_stale_socket(address, path)
        return _listen_on(engine, address, candidate, path, options, observer, datagrams)
