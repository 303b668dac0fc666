"""Listeners over sockets that listen (accept(2)), and a listener that yields one stream that is open already."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.endpoint import spoken_address
from socketkit.engines.engine import READ, Engine
from socketkit.events import Observer, StoppedListening
from socketkit.server.stream_listener import UNIX, Incoming, OpenIncoming, StreamListener
from socketkit.sockets.calls import accept_nowait, address_of, reason_of
from socketkit.sockets.unix_paths import identity_of, remove_file
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.stream import Stream

__all__ = ["SingleStreamListener", "SocketListener"]


class _AcceptedSocket(Incoming):
    """A socket that accept(2) returned, and the socket name that came with it."""

    __slots__ = ("_listener", "_name", "_socket", "_stream")

    def __init__(self, listener: SocketListener, sock: socket.socket, name: Any) -> None:
        self._listener = listener
        self._socket = sock
        self._name = name
        self._stream: Stream | None = None

    @property
    def host(self) -> str:
        return self._name[0] if isinstance(self._name, tuple) else UNIX

    @property
    def peer(self) -> str:
        return self._listener.name_of_peer(self._name) or address_of(self._socket, self._name)

    def open(self) -> Stream:
        if self._stream is None:
            listener = self._listener
            try:
                peer = listener.name_of_peer(self._name)
                self._stream = stream_from_socket(listener.engine, self._socket, listener.options, peer=peer)
            except OSError as error:
                self._socket.close()
                raise ConnectionAbortedError(errno.ECONNABORTED, f"the peer had gone: {reason_of(error)}") from None
        return self._stream

    def abort(self) -> None:
        if self._stream is None:
            if self._socket.family in (socket.AF_INET, socket.AF_INET6):
                with suppress(OSError):
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.close()
        else:
            self._stream.abort()


_RESET = b"\1\0\0\0\0\0\0\0"
"""struct linger {1, 0}: close(2) sends a reset (socket(7))."""


class SocketListener(StreamListener):
    """One bound, listening socket."""

    def __init__(
        self,
        engine: Engine,
        sock: socket.socket,
        options: Options,
        *,
        observer: Observer | None = None,
        path: bytes | None = None,
        inherited_from: Address | None = None,
    ) -> None:
        """Args:
        engine: where it waits.
        sock: listens, and is non-blocking; it is closed with the listener.
        options: set on accepted sockets.
        observer: receives `StoppedListening`.
        path: the absolute path of the file that `close` removes; None: there is none, or another process owns it.
        inherited_from: the address of the inherited descriptor; other processes use the socket, so that it is never
            shut down.
        """
        self.engine = engine
        self.socket = sock
        self.options = options
        address = Address.from_socket_name(sock.family, sock.type, sock.getsockname())
        self.address = spoken_address(address, options)
        self._observer = observer
        self._path = path
        self._identity = identity_of(path) if path is not None else None
        self._inherited_from = inherited_from
        self._pid = os.getpid()
        self._closed = False

    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        await self.engine.wait(self.socket.fileno(), READ, deadline)

    def accept_nowait(self) -> Incoming:
        self.engine.check_capacity()
        return _AcceptedSocket(self, *accept_nowait(self.socket))

    def name_of_peer(self, name: Any) -> str | None:
        """The address of a peer with this socket name where the name says little: most peers of a UNIX socket have
        none, and are called by the listener's address. None: the socket name is the address."""
        return str(self.address) if self.address.path and not name else None

    def pending(self) -> int:
        # Linux: in a listener's TCP_INFO the field tcpi_unacked holds the length of the accept queue.
        if self.socket.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO"):
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
            return int.from_bytes(info[24:28], sys.byteorder)
        return _is_readable(self.socket)

    def close(self) -> None:
        """As promised. In a child of fork(2) only the descriptor is closed: file and socket are the parent's."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._pid:
            self.socket.close()
            return
        if self._path is not None:
            remove_file(self._path, self._identity)
        self.engine.unregister(self.socket.fileno())
        if self.engine.blocks and self._inherited_from is None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits there
        self.socket.close()
        if self._observer is not None:
            self._observer(StoppedListening(str(self.address)))

    def release(self) -> None:
        """Leave the socket and its file to another process: `close` closes the descriptor only."""
        self._path = None
        self._inherited_from = self.address

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def origin(self) -> Address:
        return self._inherited_from or self.address

    def __repr__(self) -> str:
        return f"<SocketListener {self.address}, {'closed' if self._closed else 'listening'}>"


def _is_readable(sock: socket.socket) -> int:
    import select

    if not hasattr(select, "poll"):  # pragma: no cover - Windows; could not be run on Linux
        return len(select.select([sock], [], [], 0)[0])
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return len(poller.poll(0))


class SingleStreamListener(StreamListener):
    """A listener that yields one stream, which is open already: standard input and output, a connected descriptor, a
    child process. `host` is the peer's where the stream's address does not have it."""

    def __init__(self, engine: Engine, address: Address, stream: Stream, host: str = "") -> None:
        self.address = address
        self._stream: Stream | None = stream
        self._host = host
        self._closing = engine.event()
        self._is_closed = False

    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        if self._stream is None:
            await self._closing.wait(deadline=deadline)

    def accept_nowait(self) -> Incoming:
        stream, self._stream = self._stream, None
        if stream is None:
            raise BlockingIOError(errno.EAGAIN, "the only stream was accepted already")
        return OpenIncoming(stream, self._host)

    def pending(self) -> int:
        return int(self._stream is not None)

    def close(self) -> None:
        self._is_closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._closing.set()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def is_exhausted(self) -> bool:
        return self._stream is None

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "exhausted" if self.is_exhausted else "open"
        return f"<SingleStreamListener {self.address}, {state}>"
