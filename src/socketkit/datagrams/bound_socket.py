"""One bound datagram socket: receive what is queued, send one datagram. Waits for nothing."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from socketkit import _core
from socketkit._core import Datagram
from socketkit._core import datagram as one_by_one
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import Engine
from socketkit.events import Observer, StoppedListening
from socketkit.server.datagram_drops import DropCounter
from socketkit.sockets.kernel_drops import kernel_drops
from socketkit.sockets.unix_paths import identity_of, remove_file
from socketkit.streams.datagram_socket import ask_true_size, largest

__all__ = ["BoundSocket"]

MAX_SIZE: Final = 65536
"""No datagram of the internet is larger than its 16-bit length."""

_BATCHED: Final = {socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None)}


class BoundSocket:
    """A datagram socket that is bound; made by `listen_at`.

    Attributes:
        address: the real one, with the port that the system has chosen.
        max_size: bytes of the largest datagram that it can send.
        receive_size: bytes of the largest datagram that is received whole.
    """

    def __init__(
        self,
        engine: Engine,
        sock: socket.socket,
        options: Options,
        *,
        address: Address,
        observer: Observer | None = None,
        path: bytes | None = None,
        inherited_from: Address | None = None,
    ) -> None:
        self.engine = engine
        self.socket = sock
        self.address = address
        self.max_size = largest(sock)
        self.is_unix = sock.family == getattr(socket, "AF_UNIX", None)
        self.receive_size = options.receive_size if self.is_unix else min(options.receive_size, MAX_SIZE)
        self.descriptor = sock.fileno()
        self._observer = observer
        self._path = path
        self._identity = identity_of(path) if path is not None else None
        self._has_header = sock.type == socket.SOCK_RAW and sock.family == socket.AF_INET  # raw(7)
        # A traced socket has to see each call, and recvmmsg(2) knows the names of these families only.
        is_plain = type(sock) is socket.socket and sock.family in _BATCHED
        self._receive_batch = _core.receive_batch if is_plain else one_by_one.receive_batch
        self._send_batch = _core.send_batch if is_plain else one_by_one.send_batch
        self._pid = os.getpid()  # the file belongs to the process that bound it
        self._dropped: int | None = None  # by the kernel, at the end
        self._drops = DropCounter(sock, str(address), engine.now, observer=observer)

    def receive(self, limit: int) -> list[Datagram]:
        """Receive what is queued, at most `limit` datagrams; empty where nothing is.

        The last byte of a buffer only shows that a datagram was longer than `receive_size`.

        Raises:
            OSError: the socket cannot be received from. An error after the first datagram is left for the next call.
        """
        batch = self._receive_batch(self.socket, self.receive_size + 1, limit, ask_true_size)
        if self._has_header:
            return [(data[(data[0] & 15) * 4 :] if data else data, size, name) for data, size, name in batch]
        return batch

    def send(self, batch: list[tuple[bytes, Any]]) -> int:
        """Send datagrams, each to its name; return how many the system took; 0: it has no space.

        Raises:
            OSError: the first one was refused.
        """
        return self._send_batch(self.socket, batch)

    def address_of(self, name: Any) -> Address:
        """The address for a name that the system has given."""
        if self.address.scheme.startswith("ip"):
            return Address.from_socket_name(self.socket.family, socket.SOCK_RAW, name)
        return Address.from_socket_name(self.socket.family, self.socket.type, name)

    @property
    def kernel_drops(self) -> int | None:
        """Datagrams that the kernel dropped because the receive buffer was full; None where it does not say."""
        return self._dropped if self.descriptor < 0 else kernel_drops(self.socket)

    def report_drops(self) -> None:
        """Report what the kernel has dropped, once an episode: an event, or a warning in the log."""
        self._drops.check_kernel()

    def close(self) -> None:
        """Close it, and remove its file. A task that waits is resumed. Harmless twice."""
        if self.descriptor < 0:
            return
        self._dropped = kernel_drops(self.socket)
        self._drops.check_kernel(is_end=True)
        descriptor, self.descriptor = self.descriptor, -1
        self.engine.unregister(descriptor)
        self.socket.close()
        if self._path is not None and self._pid == os.getpid():
            remove_file(self._path, self._identity)
        if self._observer is not None:
            self._observer(StoppedListening(str(self.address)))
