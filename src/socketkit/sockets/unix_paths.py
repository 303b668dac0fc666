"""The files of UNIX sockets: when they may be replaced or removed, and their modes.

A stale socket file is replaced; one with a listener, and any other file, is never touched. Servers that start at the
same time exclude each other by flock(2) on the folder, which leaves no file. Else one could take the file of the other,
bound but not yet listening, for stale.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from socketkit.config.address import Address
from socketkit.config.time_limits import LOCK_TIMEOUT
from socketkit.engines.engine import Engine
from socketkit.errors import ListenError

__all__ = ["identity_of", "locked_folder", "remove_file", "remove_stale_socket", "set_mode", "widen_mode"]

Identity = tuple[int, int, int]
"""Device and inode of a file, and the process that created it. A child of fork(2) has the same values, and is not the
process that may remove the file."""


@asynccontextmanager
async def locked_folder(engine: Engine, path: bytes) -> AsyncIterator[None]:
    """Hold the folder's lock, so that one server at a time checks a path in this folder and listens there."""
    try:
        import fcntl

        folder = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ImportError):
        yield  # no right to read it, or no folder: bind(2) will report it
        return
    try:
        deadline = engine.now() + LOCK_TIMEOUT
        while engine.now() < deadline:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await engine.sleep(0.002)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(folder)


def remove_stale_socket(address: Address, path: bytes) -> None:
    """Remove a socket file without a listener; refuse any other file at the path.

    Raises:
        ListenError: a socket with a listener, or a file that is no socket; it is left as it is.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return  # no file; or bind(2) will report what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(
            f"cannot listen at {address}: there is a file already, and it is not a socket; it is left as it is",
            address=str(address),
            errno=errno.EADDRINUSE,
        )
    if _has_listener(path):
        raise ListenError(
            f"cannot listen at {address}: another program listens there (EADDRINUSE)",
            address=str(address),
            errno=errno.EADDRINUSE,
        )
    remove_file(path, (found.st_dev, found.st_ino, os.getpid()))  # if that fails, bind(2) will report it


def _has_listener(path: bytes) -> bool:
    """Whether a process listens at this socket file: ECONNREFUSED means no. connect(2) to a UNIX socket never waits."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True  # a full queue, another type of socket, no permission: it is in use
    finally:
        probe.close()
    return True


def identity_of(path: bytes) -> Identity | None:
    """The identity of the file at the path, as created by this process; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, os.getpid()


def remove_file(path: bytes, identity: Identity | None) -> None:
    """Remove the file if it is still the same, and this process created it.

    A server does so before it closes its socket. While it listens, no other server takes its file for a stale one, so
    no other file can take its place between the comparison and the removal.
    """
    if identity is not None and identity_of(path) == identity:
        with suppress(OSError):
            os.unlink(path)


def set_mode(sock: socket.socket, mode: int) -> None:
    """Set the mode with which bind(2) creates the socket's file, less the umask, so that it is never wider.

    Linux does so (unix_bind_bsd in the kernel; unix(7) does not mention it).

    Raises:
        OSError: the system does not support it.
    """
    os.fchmod(sock.fileno(), mode)


def widen_mode(path: bytes, mode: int) -> None:
    """Set the bits that the umask removed, on the socket itself: a link that replaced it meanwhile is not followed.

    Raises:
        OSError: the mode cannot be changed.
    """
    if stat.S_IMODE(os.lstat(path).st_mode) == mode:
        return
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        if stat.S_ISSOCK(os.fstat(handle).st_mode):
            os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)
