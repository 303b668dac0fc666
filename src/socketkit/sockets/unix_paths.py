"""The files that UNIX sockets leave behind: whose they are, and when they may be replaced or removed.

A dead one is replaced, a live one refused, anything else never touched. Servers that start at once exclude each other
by a lock on the folder (flock(2)), which leaves nothing behind: else each could take the other's file, bound and not
yet listened at, for a dead one.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from socketkit.config.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import ListenError

__all__ = ["identity_of", "locked_folder", "remove_file", "remove_stale_socket", "set_mode", "widen_mode"]

LOCK_TIMEOUT: Final = 1.0
"""Seconds for which the folder's lock is waited for. Servers hold it for microseconds; who holds it longer has other
business with it, and must not keep us from serving."""

Identity = tuple[int, int, int]
"""Device and inode of a file, and the process that created it. A child of fork(2) has the same values, and is not the
process that may remove the file."""


@asynccontextmanager
async def locked_folder(engine: Engine, path: bytes) -> AsyncIterator[None]:
    """While the block runs, no other server of ours is between looking at a path in this folder and listening there."""
    try:
        import fcntl

        folder = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ImportError):
        yield  # no right to read it, or no folder: bind will say what is wrong
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
    """Remove a socket file that nobody listens at; refuse everything else that is in the way.

    Raises:
        ListenError: a live socket, or a file that is no socket; it is left as it is.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return  # nothing there; or bind will say what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(
            f"cannot listen at {address}: there is a file already, and it is not a socket; it is left as it is",
            address=str(address),
            errno=errno.EADDRINUSE,
        )
    if _is_alive(path):
        raise ListenError(
            f"cannot listen at {address}: another program listens there (EADDRINUSE)",
            address=str(address),
            errno=errno.EADDRINUSE,
        )
    remove_file(path, (found.st_dev, found.st_ino, os.getpid()))  # if that fails, bind will say what is wrong


def _is_alive(path: bytes) -> bool:
    """Whether somebody listens at this socket file: only a refusal says no. Connecting to a UNIX socket never waits."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True  # a full queue, another kind of socket, no right to ask: somebody's
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


# --- modes -----------------------------------------------------------------------------------------------------------


def set_mode(sock: socket.socket, mode: int) -> None:
    """Give a socket the mode that its file is to be made with, less the umask: before bind, so that there is no moment
    in which it is wider. So it is on Linux (unix(7) is silent, the kernel's unix_bind_bsd is not).

    Raises:
        OSError: this system cannot.
    """
    os.fchmod(sock.fileno(), mode)


def widen_mode(path: bytes, mode: int) -> None:
    """Give back what the umask took away, to the socket itself: no link that stands there meanwhile is followed.

    Raises:
        OSError: the file is not ours to change.
    """
    if stat.S_IMODE(os.lstat(path).st_mode) == mode:
        return
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        if stat.S_ISSOCK(os.fstat(handle).st_mode):
            os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)
