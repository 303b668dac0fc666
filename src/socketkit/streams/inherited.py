"""Streams that need no resolving or connecting: inherited descriptors, standard input and output, child processes.

The system is asked what a descriptor is: its family, its type, whether it listens, which directions it has. A listening
one is served without bind(2). It belongs to the process that opened it: it is never shut down, nor its file removed.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Final

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.schemes import split_command
from socketkit.engines.engine import Engine
from socketkit.errors import Attempt, ConnectError
from socketkit.events import Connecting, Failed, Observer
from socketkit.sockets.calls import address_of, adopt, reason_of
from socketkit.sockets.socket_options import prepare
from socketkit.sockets.systemd import InheritedDescriptor, inherited_descriptors
from socketkit.streams.pipes import PipeStream, stdio
from socketkit.streams.process import start_child
from socketkit.streams.stream import Stream

__all__ = [
    "HINTS",
    "descriptors_of",
    "duplicate_socket",
    "is_listening",
    "is_unconnected",
    "open_local_stream",
    "open_stream",
    "stream_at_descriptor",
]


def open_local_stream(
    engine: Engine, address: Address, options: Options, *, observer: Observer | None = None
) -> Stream:
    """The stream of an address of these schemes (`fd:`, `systemd:`, `stdio:`, `exec:`).

    Raises:
        ConnectError: it does not exist, or is no stream.
    """
    if observer is not None:
        observer(Connecting(str(address), str(address.without_options())))
    try:
        return open_stream(engine, address, options)
    except OSError as error:
        if observer is not None:
            observer(Failed(str(address), str(address.without_options()), error))
        where = str(address.without_options())
        hint = HINTS.get((address.scheme, error.errno), "")
        reason = f"{reason_of(error)}{hint}"
        doing = "run" if address.scheme == "exec" else "connect to"
        raise ConnectError(
            f"cannot {doing} {address}: {reason}",
            address=where,
            errno=error.errno,
            attempts=(Attempt(where, reason, error.errno),),
        ) from None


HINTS: dict[tuple[str, int | None], str] = {
    ("exec", errno.ENOENT): ": there is no such program in PATH",
    ("exec", errno.EACCES): ": the file is not executable, or this user has no right to run it",
    ("fd", errno.EBADF): ": the descriptor is not open; the program that starts this one has to pass it",
}


def open_stream(engine: Engine, address: Address, options: Options) -> Stream:
    """The stream of an address of these schemes.

    Raises:
        OSError: it is not there, or cannot be used.
    """
    if address.scheme == "stdio":
        return stdio(engine, replaces=True)
    if address.scheme == "exec":
        return start_child(engine, split_command(address.path), address=str(address.without_options()))
    descriptors = descriptors_of(address)
    if len(descriptors) > 1:
        raise OSError(errno.EINVAL, f"{len(descriptors)} descriptors were passed; allowed is one")
    return stream_at_descriptor(engine, address, descriptors[0].descriptor, options)


def descriptors_of(address: Address) -> list[InheritedDescriptor]:
    """The inherited descriptors that an `fd:` or `systemd:` address names.

    Raises:
        OSError: there are none.
    """
    if address.scheme == "fd":
        return [InheritedDescriptor(int(address.path), "")]
    try:
        everything = inherited_descriptors()
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    if not everything:
        raise OSError(errno.ENOENT, "no socket was passed to this process (LISTEN_FDS, LISTEN_PID)")
    wanted = [entry for entry in everything if address.path in ("", entry.name)]
    if not wanted:
        names = ", ".join(sorted({entry.name for entry in everything}))
        raise OSError(errno.ENOENT, f"no socket of this name was passed; there are: {names}")
    return wanted


def duplicate_socket(descriptor: int, observer: Observer | None = None) -> socket.socket | None:
    """A duplicate of the descriptor as a socket, which no child inherits; None where it is no socket.

    Raises:
        OSError: it is not open.
    """
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return None
    return adopt(os.dup(descriptor), observer=observer)


def stream_at_descriptor(engine: Engine, address: Address, descriptor: int, options: Options) -> Stream:
    """A stream over a connected socket, a pipe, a terminal or a file; it owns the descriptor from now on."""
    sock = duplicate_socket(descriptor)
    if sock is not None:
        with sock:
            if is_listening(sock) or is_unconnected(sock):
                raise OSError(errno.EINVAL, "it is a listening or unconnected socket: serve it instead")
            local, peer = address_of(sock, sock.getsockname()), address_of(sock, sock.getpeername())
            keeps_boundaries = sock.type in DATAGRAM_TYPES
        if keeps_boundaries:
            return _datagrams_over(engine, descriptor, options, local=local, peer=peer)
        source: int | None = descriptor
        sink: int | None = descriptor
    else:
        local = peer = str(address.without_options())
        source, sink = _directions_of(descriptor)
    os.set_inheritable(descriptor, False)
    return PipeStream(engine, source, sink, local=local, peer=peer)


def _datagrams_over(engine: Engine, descriptor: int, options: Options, *, local: str, peer: str) -> Stream:
    from socketkit.streams.datagram_socket import DatagramSocket

    sock = adopt(descriptor)
    os.set_inheritable(descriptor, False)
    sock.setblocking(False)
    prepare(sock, options)
    return DatagramSocket(engine, sock, local=local, peer=peer, receive_size=options.receive_size)


DATAGRAM_TYPES: Final = (socket.SOCK_DGRAM, socket.SOCK_RAW, getattr(socket, "SOCK_SEQPACKET", None))


def is_listening(sock: socket.socket) -> bool:
    """Whether the socket listens (SO_ACCEPTCONN)."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def is_unconnected(sock: socket.socket) -> bool:
    """Whether it is a datagram socket without a peer, which receives datagrams from anywhere."""
    if sock.type not in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        return False
    try:
        sock.getpeername()
    except OSError:
        return True
    return False


def _directions_of(descriptor: int) -> tuple[int | None, int | None]:
    """The descriptor to read and the one to write. A pipe has one direction: opening it again for the other one would
    make this process its writer, and it would never end."""
    access = _access_of(descriptor) & os.O_ACCMODE
    return (None if access == os.O_WRONLY else descriptor), (None if access == os.O_RDONLY else descriptor)


def _access_of(descriptor: int) -> int:
    import fcntl

    get: Callable[[int, int], int] = fcntl.fcntl
    return get(descriptor, fcntl.F_GETFL)
