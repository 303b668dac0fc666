"""Stream sockets, TCP and UNIX: the only callers of recv, send, accept, connect, bind, listen and shutdown.

Each verb is the same few lines: try the call; if it would block, wait; again. Errors of the system become ours here,
with what was being done and with whom.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

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
    "adopt",
    "begin_connect",
    "connect_socket",
    "finish_connect",
    "new_socket",
    "reason_of",
]


def new_socket(family: int, kind: int, protocol: int, *, observer: Observer | None = None) -> socket.socket:
    """A non-blocking socket that no child process inherits; one that tells its calls where the observer wants them."""
    if wants_calls(observer):
        from socketkit.sockets.traced_socket import TracedSocket

        made: socket.socket = TracedSocket.open(family, kind, protocol, observer)
    else:
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def adopt(descriptor: int, *, observer: Observer | None = None) -> socket.socket:
    """A socket of this descriptor, whose family and type the system is asked for; it owns the descriptor now. Whether
    it waits is left as it is.

    Raises:
        OSError: it is no socket; the descriptor is still the caller's then.
    """
    if not wants_calls(observer):
        return socket.socket(fileno=descriptor)
    from socketkit.sockets.traced_socket import TracedSocket

    return TracedSocket.adopt(descriptor, observer)


def reason_of(error: BaseException) -> str:
    """What went wrong, in the system's words, with the name of the number: `Connection refused (ECONNREFUSED)`."""
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError) or number is None or isinstance(error, SocketkitError):
        return str(error) or type(error).__name__
    name = errno.errorcode.get(number)
    return f"{error.strerror or os.strerror(number)} ({name})" if name else str(error)


def address_of(sock: socket.socket, name: Any) -> str:
    """A socket name, as the system gives it, as the text of an address."""
    return str(Address.from_socket_name(sock.family, sock.type, name))


# --- dialling --------------------------------------------------------------------------------------------------------


def begin_connect(sock: socket.socket, name: Any) -> bool:
    """connect(2) on a non-blocking socket. True: it is connected; False: it can be written when `finish_connect` knows.

    Raises:
        BlockingIOError: the queue of a UNIX listener is full, and no poller tells when it is not.
        OSError: the system's own error; the caller knows the address and says more.
    """
    try:
        sock.connect(name)
    except BlockingIOError as error:
        if error.errno == errno.EAGAIN:
            raise
        return False  # EINPROGRESS, connect(2): under way
    return True


def finish_connect(sock: socket.socket) -> None:
    """How it went, when the socket can be written.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
    """
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


async def connect_socket(engine: Engine, sock: socket.socket, name: Any, *, deadline: float | None = None) -> None:
    """Connect a non-blocking socket: begin, wait, then ask how it went.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
        DeadlineError: the moment came first.

    Cancellation: the socket is of no further use; the caller closes it.
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
    """A wait may have ended for nothing: while the call is under way there is no error, and no peer either."""
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True


async def _pause(engine: Engine, seconds: float, deadline: float | None) -> None:
    ahead = engine.now() + seconds
    if deadline is not None and deadline <= ahead:
        await engine.event().wait(deadline=deadline)  # raises DeadlineError when it comes
    await engine.sleep(seconds)


# --- listening -------------------------------------------------------------------------------------------------------


def bind_and_listen(sock: socket.socket, name: Any, options: Options) -> None:
    """bind(2) and listen(2) with the options that belong to them.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
    """
    prepare(sock, options)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        reuse = os.name == "posix" if options.reuse_address is None else options.reuse_address
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        # Mostly yes: the IPv4 half has a socket of its own, so that both are told apart and one port serves both.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options.v6only))
    sock.bind(name)
    sock.listen(backlog_asked(options))


def accept_nowait(listener: socket.socket) -> tuple[socket.socket, Any]:
    """accept(2): the next caller, non-blocking, and its socket name.

    Raises:
        BlockingIOError: nobody is there.
        OSError: the system's own error, by accept(2) sometimes the caller's and not ours.
    """
    sock, name = listener.accept()
    sock.setblocking(False)
    return sock, name


# --- the stream ------------------------------------------------------------------------------------------------------
