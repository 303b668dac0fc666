"""The doors themselves: a listening socket, and a door through which exactly one caller comes, who is here already."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.endpoint import secure_address
from socketkit.engines.engine import READ, Engine
from socketkit.events import Observer, StoppedListening
from socketkit.server.stream_listener import StreamListener
from socketkit.sockets.calls import accept_nowait, reason_of
from socketkit.sockets.unix_paths import identity_of, remove_file
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.stream import Stream

__all__ = ["SingleStreamListener", "SocketListener"]


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
        borrowed_from: Address | None = None,
    ) -> None:
        """Args:
        engine: where it waits.
        sock: listens, and never waits; it is closed with the door.
        options: how to talk with callers.
        observer: is told when callers can come no more.
        path: of the file that is to be removed at the end; None: there is none, or it is not ours.
        borrowed_from: where the socket is, where others have opened it, so that it must not be shut down for them.
        """
        self.engine = engine
        self.socket = sock
        address = Address.from_socket_name(sock.family, sock.type, sock.getsockname())
        self.address = address if options.tls is False else secure_address(address)
        self._options = options
        self._observer = observer
        self._path = path
        self._identity = identity_of(path) if path is not None else None
        self._borrowed_from = borrowed_from
        self._closed = False

    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        await self.engine.wait(self.socket.fileno(), READ, deadline)

    def accept_nowait(self) -> Stream:
        sock, name = accept_nowait(self.socket)
        try:
            return stream_from_socket(self.engine, sock, self._options, peer=self._peer_of(name))
        except OSError as error:
            sock.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, f"the caller had gone: {reason_of(error)}") from None

    def _peer_of(self, name: Any) -> str | None:
        """Whom a caller with this socket name is to be called, where the name says little: callers of a UNIX socket
        mostly have none, and the place where we met says more. None: the socket itself says it best."""
        return str(self.address) if self.address.path and not name else None

    def pending(self) -> int:
        # Linux tells it for TCP: in a listener's TCP_INFO the field tcpi_unacked holds the length of the accept queue.
        if self.socket.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO"):
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
            return int.from_bytes(info[24:28], sys.byteorder)
        return _is_somebody_there(self.socket)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._path is not None:
            remove_file(self._path, self._identity)
        self.engine.unregister(self.socket.fileno())
        if self.engine.blocks and self._borrowed_from is None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits there
        self.socket.close()
        if self._observer is not None:
            self._observer(StoppedListening(str(self.address)))

    def give_away(self) -> None:
        """From now on the socket and its file are also another process's: closing leaves them to it."""
        self._path = None
        self._borrowed_from = self.address

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def place(self) -> Address:
        return self._borrowed_from or self.address

    def __repr__(self) -> str:
        return f"<ListeningSocket {self.address}, {'closed' if self._closed else 'listening'}>"


def _is_somebody_there(sock: socket.socket) -> int:
    import select

    if not hasattr(select, "poll"):  # pragma: no cover - Windows; could not be run on Linux
        return len(select.select([sock], [], [], 0)[0])
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return len(poller.poll(0))


class SingleStreamListener(StreamListener):
    """A door whose only caller stands in it: standard input and output, a connected descriptor, a child."""

    def __init__(self, engine: Engine, address: Address, stream: Stream) -> None:
        self.address = address
        self._stream: Stream | None = stream
        self._closing = engine.event()
        self._is_closed = False

    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        if self._stream is None:
            await self._closing.wait(deadline=deadline)

    def accept_nowait(self) -> Stream:
        stream, self._stream = self._stream, None
        if stream is None:
            raise BlockingIOError(errno.EAGAIN, "the only caller has come")
        return stream

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
