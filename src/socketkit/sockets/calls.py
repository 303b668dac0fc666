"""System calls on sockets that streams and listeners share: socket, connect, bind, listen, accept, and error texts."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from socketkit.config.address import Address
from socketkit.config.backoff import polling_backoff
from socketkit.config.options import Options
from socketkit.engines.engine import WRITE, Engine
from socketkit.errors import SocketkitError
from socketkit.events import Observer, wants_calls
from socketkit.sockets.socket_options import backlog_asked, prepare

__all__ = [
    "accept_nowait",
    "address_of",
    "address_text",
    "adopt",
    "begin_connect",
    "connect_socket",
    "finish_connect",
    "name_of_peer",
    "new_socket",
    "reason_of",
]


def new_socket(family: int, kind: int, protocol: int, *, observer: Observer | None = None) -> socket.socket:
    """A non-blocking socket that no child process inherits; a `TracedSocket` where the observer wants calls."""
    if wants_calls(observer):
        from socketkit.sockets.traced_socket import TracedSocket

        made: socket.socket = TracedSocket.open(family, kind, protocol, observer)
    else:
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def adopt(descriptor: int, *, observer: Observer | None = None) -> socket.socket:
    """A socket that owns this descriptor, with the family and type that the system reports.

    Whether it blocks stays as it is.

    Raises:
        OSError: it is no socket; then the descriptor is not owned.
    """
    if not wants_calls(observer):
        return socket.socket(fileno=descriptor)
    from socketkit.sockets.traced_socket import TracedSocket

    return TracedSocket.adopt(descriptor, observer)


def reason_of(error: BaseException) -> str:
    """The system's text for an error, with the name of its number: `Connection refused (ECONNREFUSED)`."""
    if not isinstance(error, OSError) or error.errno is None or isinstance(error, SocketkitError):
        return str(error) or type(error).__name__
    number = error.errno
    name = errno.errorcode.get(number)
    return f"{error.strerror or os.strerror(number)} ({name})" if name else str(error)


def address_of(sock: socket.socket, name: Any) -> str:
    """The text of an address for a socket name, as the system returns it."""
    return address_text(sock.family, sock.type, name)


_IPV4_SCHEMES: Final[dict[int, str]] = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}


def address_text(family: Any, kind: Any, name: Any) -> str:
    """As `str(Address.from_socket_name(...))`, which takes 11 calls: the numbers of IPv4 are written at once.

    An accepted connection needs it for both ends: it takes 227 Python calls in all, and 271 by way of `Address`.
    """
    if family == socket.AF_INET and kind in _IPV4_SCHEMES:
        return f"{_IPV4_SCHEMES[kind]}://{name[0]}:{name[1]}"
    return str(Address.from_socket_name(family, kind, name))


def begin_connect(sock: socket.socket, name: Any) -> bool:
    """connect(2) on a non-blocking socket. True: it is connected. False: call `finish_connect` when it is writable.

    Raises:
        BlockingIOError: the queue of a UNIX listener is full, and no poller reports when it is not.
        OSError: the system's error, without the address.
    """
    try:
        sock.connect(name)
    except BlockingIOError as error:
        if error.errno == errno.EAGAIN:
            raise
        return False  # EINPROGRESS, connect(2)
    return True


def finish_connect(sock: socket.socket) -> None:
    """Check the result of connect(2), when the socket is writable.

    Raises:
        OSError: the system's error, without the address.
    """
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


async def connect_socket(engine: Engine, sock: socket.socket, name: Any, *, deadline: float | None = None) -> None:
    """Connect a non-blocking socket: begin, wait, then check the result.

    Raises:
        OSError: the system's error, without the address.
        DeadlineError: the deadline came first.

    Cancellation: the socket can only be closed then.
    """
    backoff = polling_backoff()
    while True:
        try:
            if begin_connect(sock, name):
                return
            break
        except BlockingIOError:
            await _pause(engine, backoff.next(), deadline)
    is_connected = False
    while not is_connected:
        await engine.wait(sock.fileno(), WRITE, deadline)
        finish_connect(sock)
        is_connected = _has_peer(sock)


def _has_peer(sock: socket.socket) -> bool:
    """Whether connect(2) is done: a wait may end early, while there is neither an error nor a peer."""
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True


def name_of_peer(sock: socket.socket) -> Any:
    """Return what getpeername(2) gives of a socket that was connected a moment ago.

    Raises:
        ConnectionResetError: the peer has reset the connection since; getpeername(2) has no error for that.
    """
    try:
        return sock.getpeername()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None


async def _pause(engine: Engine, seconds: float, deadline: float | None) -> None:
    ahead = engine.now() + seconds
    if deadline is not None and deadline <= ahead:
        await engine.event().wait(deadline=deadline)  # raises DeadlineError when it comes
    await engine.sleep(seconds)


def bind_and_listen(sock: socket.socket, name: Any, options: Options) -> None:
    """bind(2) and listen(2) with their options.

    Raises:
        OSError: the system's error, without the address.
    """
    prepare(sock, options)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        reuse = os.name == "posix" if options.reuse_address is None else options.reuse_address
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        # Usually yes: IPv4 has a socket of its own, so that both families are distinguished on one port.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options.v6only))
    sock.bind(name)
    sock.listen(backlog_asked(options))


def accept_nowait(listener: socket.socket) -> tuple[socket.socket, Any]:
    """accept(2): the next connection as a non-blocking socket, and its peer's socket name.

    Raises:
        BlockingIOError: no connection is waiting.
        OSError: the system's error; `accept_errors` tells errors of the connection from those of the listener.
    """
    sock, name = listener.accept()
    sock.setblocking(False)
    return sock, name
