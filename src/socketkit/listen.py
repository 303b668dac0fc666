"""Bind to an address and listen there: the verb, and the files that UNIX sockets leave behind.

A name of several addresses is listened at on all of them, on one port. A dead socket file is replaced, a live one is
refused, anything else is never touched; at the end a file is removed only if it is still ours.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from socketkit.accept import Door
from socketkit.address import Address
from socketkit.engines.engine import READ, Engine
from socketkit.errors import ListenError
from socketkit.events import Bound, Listening, Observer, StoppedListening
from socketkit.options import Options
from socketkit.resolve import Candidate, resolve
from socketkit.streams.sockets import accept_now, bind_and_listen, new_socket, reason_of, wrap
from socketkit.streams.stream import Stream

__all__ = ["ListeningSocket", "listen_at"]

PORT_TRIES = 16
"""How often a free port is asked for anew when another family's half of it turns out to be taken."""


class ListeningSocket(Door):
    """One bound, listening socket."""

    def __init__(
        self,
        engine: Engine,
        sock: socket.socket,
        options: Options,
        *,
        observer: Observer | None = None,
        path: bytes | None = None,
    ) -> None:
        self.engine = engine
        self.socket = sock
        self.address = Address.from_socket_name(sock.family, sock.type, sock.getsockname())
        self._options = options
        self._observer = observer
        self._path = path
        self._identity = _identity(path) if path is not None else None
        self._closed = False

    async def wait_caller(self, *, deadline: float | None = None) -> None:
        await self.engine.wait(self.socket.fileno(), READ, deadline)

    def accept_now(self) -> Stream:
        sock, name = accept_now(self.socket)
        try:
            return wrap(self.engine, sock, self._options, peer=self._peer_of(name))
        except OSError as error:
            sock.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, f"the caller had gone: {reason_of(error)}") from None

    def _peer_of(self, name: Any) -> str | None:
        """Callers of a UNIX socket mostly have no name: the place where we met says more. None: the socket itself says
        it best."""
        return str(self.address) if self.address.path and not name else None

    def pending(self) -> int:
        """As promised.

        Linux tells it for TCP: in a listener's TCP_INFO the field tcpi_unacked holds the length of the accept queue.
        Elsewhere 1 stands for "at least one", as poll tells.
        """
        if self.socket.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO"):
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
            return int.from_bytes(info[24:28], sys.byteorder)
        return _is_somebody_there(self.socket)

    def close(self) -> None:
        """As promised; a file that is still ours is removed."""
        if self._closed:
            return
        self._closed = True
        self._remove_file()
        self.engine.forget(self.socket.fileno())
        if self.engine.blocks:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits there
        self.socket.close()
        if self._observer is not None:
            self._observer(StoppedListening(str(self.address)))

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _remove_file(self) -> None:
        if self._path is not None and self._identity is not None and _identity(self._path) == self._identity:
            with suppress(OSError):
                os.unlink(self._path)

    def __repr__(self) -> str:
        return f"<ListeningSocket {self.address}, {'closed' if self._closed else 'listening'}>"


async def listen_at(
    engine: Engine, address: Address, options: Options, *, observer: Observer | None = None
) -> list[Door]:
    """Listen at every socket address that this address stands for, all on one port.

    Raises:
        ResolveError: the name is unknown.
        ListenError: an address is in use, not ours, or not allowed; nothing is left open then.
        DeadlineError: the name was not resolved within `connect_timeout`.
    """
    deadline = engine.deadline(options.connect_timeout)
    candidates = await resolve(engine, address, passive=True, deadline=deadline, observer=observer)
    if address.path:
        return [_listen_at_path(engine, address, candidates[0], options, observer)]
    tries = PORT_TRIES if address.port == 0 and len(candidates) > 1 else 1
    while True:
        tries -= 1
        try:
            return [*_listen_at_all(engine, address, candidates, options, observer)]
        except ListenError as error:
            if error.errno != errno.EADDRINUSE or not tries:
                raise


def _listen_at_all(
    engine: Engine, address: Address, candidates: list[Candidate], options: Options, observer: Observer | None
) -> list[ListeningSocket]:
    """Bind the first, and the others to the same port. A family that this machine has not is left out, unless none
    is left."""
    listening: list[ListeningSocket] = []
    port = address.port
    absent: ListenError | None = None
    try:
        for candidate in candidates:
            name = (candidate.name[0], port, *candidate.name[2:])
            try:
                listening.append(_listen_on(engine, address, candidate, name, options, observer))
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
    *,
    before_bind: Callable[[socket.socket], None] | None = None,
) -> ListeningSocket:
    sock: socket.socket | None = None
    try:
        sock = new_socket(candidate.family, candidate.kind, candidate.protocol, observer=observer)
        if before_bind is not None:
            before_bind(sock)
        bind_and_listen(sock, name, options)
        path = name if address.is_local_path else None
        listening = ListeningSocket(engine, sock, options, observer=observer, path=path)
    except (OSError, OverflowError) as error:
        if sock is not None:
            sock.close()
        raise _listen_error(address, candidate, error) from None
    if observer is not None:
        observer(Bound(str(listening.address)))
        observer(Listening(str(listening.address), options.backlog or 0))
    return listening


def _listen_error(address: Address, candidate: Candidate, error: OSError | OverflowError) -> ListenError:
    number = getattr(error, "errno", None)
    where = f"{address}" if str(candidate) == str(address.without_options()) else f"{address} ({candidate})"
    hints = {
        errno.EADDRINUSE: "; another program listens there: stop it, or take another port (0: a free one)",
        errno.EACCES: "; ports below 1024 need the right CAP_NET_BIND_SERVICE: take one above"
        if not address.path
        else "; the folder does not let us create a file",
        errno.EADDRNOTAVAIL: "; it is not an address of this machine",
        errno.ENOENT: "; the folder does not exist",
    }
    hint = hints.get(number, "") if number is not None else ""
    return ListenError(f"cannot listen at {where}: {reason_of(error)}{hint}", address=str(address), errno=number)


# --- UNIX files ------------------------------------------------------------------------------------------------------


def _listen_at_path(
    engine: Engine, address: Address, candidate: Candidate, options: Options, observer: Observer | None
) -> ListeningSocket:
    path: bytes = candidate.name
    if address.is_local_path:
        _clear_the_way(address, path)
    mode = options.mode

    def narrow(sock: socket.socket) -> None:
        # On Linux a socket's own mode is the one its file is made with (less the umask): no window with a wider one.
        if mode is not None:
            os.fchmod(sock.fileno(), mode)

    listening = _listen_on(
        engine, address, candidate, path, options, observer, before_bind=narrow if mode is not None else None
    )
    if mode is not None and address.is_local_path:
        os.chmod(path, mode)  # what the umask took away
    return listening


def _clear_the_way(address: Address, path: bytes) -> None:
    """Remove a socket file that nobody listens at; refuse everything else that is in the way."""
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
    if _identity(path) == (found.st_dev, found.st_ino):
        with suppress(OSError):  # bind will say what is wrong
            os.unlink(path)


def _is_alive(path: bytes) -> bool:
    """Whether somebody listens at this socket file: only a refusal says no. Connecting to a UNIX socket never waits."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # a full queue, another kind of socket, no right to ask: somebody's
    finally:
        probe.close()
    return True


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_somebody_there(sock: socket.socket) -> int:
    import select

    if not hasattr(select, "poll"):  # pragma: no cover - Windows; could not be run on Linux
        return len(select.select([sock], [], [], 0)[0])
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return len(poller.poll(0))
