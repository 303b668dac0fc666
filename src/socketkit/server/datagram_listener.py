"""Accept datagram peers: a session for each peer of one bound socket, so that one handler serves TCP and UDP.

The first datagram of a peer opens a session; later ones go into its queue. A session ends after `idle_timeout` without
a datagram in either direction, or when the table is full and it was idle longest. Everything is bounded; drops are
counted and reported. A UNIX socket is not read while a queue is full: the kernel blocks the senders, nothing is lost.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections import OrderedDict, deque
from typing import Any, Final

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.time_limits import CANCEL_TIMEOUT, DATAGRAM_SESSION_TIMEOUT, PLAIN_SESSION_TIMEOUT
from socketkit.engines.condition import Condition
from socketkit.engines.engine import READ, Engine
from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    closed_error,
    eof_sent_error,
)
from socketkit.events import Listening, Observer, StoppedListening
from socketkit.server.datagram_drops import DropCounter
from socketkit.server.stream_listener import OpenIncoming, StreamListener
from socketkit.sockets.accept_errors import is_resource_shortage
from socketkit.sockets.calls import address_of, reason_of
from socketkit.sockets.datagram_setup import IP_PKTINFO
from socketkit.sockets.unix_paths import identity_of, remove_file
from socketkit.streams.datagram_socket import (
    TURN_DATAGRAMS,
    SendBackoff,
    ask_true_size,
    largest,
    too_long_to_receive,
    why_not_sent,
)
from socketkit.streams.stream import DatagramStream

__all__ = ["DatagramListener", "PeerStream"]

ALL_QUEUES: Final = 64
"""How many full queues of bytes all peers may have together: ten thousand peers may not have as much each as one."""

MAX_PLAIN_SESSIONS: Final = 256
"""Sessions of one address where each has a thread. Twice as many threads may be busy while those of ended sessions
return."""

MAX_PENDING: Final = 1024
"""New peers that wait to be accepted, unless `backlog` says otherwise."""

Name = Any
"""A socket name, as the system gives it: a tuple for the internet, bytes or text for UNIX."""


class PeerStream(DatagramStream):
    """One peer's datagrams, out of a socket that serves many.

    The listener applies `idle_timeout` itself: a silent peer has ended, which is no error.
    """

    times_out_itself = True

    def __init__(
        self, listener: DatagramListener, key: Any, name: Name, *, local: str, peer: str, source: list[Any]
    ) -> None:
        self.engine = listener.engine
        self.local = local
        self.peer = peer
        self.max_size = listener.max_size
        self.is_connectionless = True
        self.dropped_count = 0
        self.key = key
        self.name = name
        self.source = source  # ancillary data: an answer leaves from the address that was asked
        self.last = listener.engine.now()
        self.received_count = 0
        self.has_left = False
        self.queue: deque[tuple[bytes | FrameTooLongError, int]] = deque()
        self.queued_size = 0
        self._listener = listener
        self._changed = Condition(listener.engine)
        self._backoff = SendBackoff(listener.engine)
        self._ended = False
        self._eof_sent = False
        self._closed = False

    @property
    def socket(self) -> socket.socket:
        """The socket that all peers of this address share."""
        return self._listener.socket

    async def receive(self, *, deadline: float | None = None) -> bytes:
        queue = self.queue
        if not queue:
            await self._changed.wait_until(lambda: bool(queue) or self._ended or self._closed, deadline=deadline)
        if self._closed:
            raise self._closed_error()
        if not queue:
            if self._listener.failure is not None:
                raise self._listener.failure.with_traceback(None)
            raise EndOfStream(f"{self.peer} was idle for too long, or its session was ended")
        return self._take()

    def receive_nowait(self) -> bytes | None:
        return self._take() if self.queue and not self._closed else None

    def _take(self) -> bytes:
        data = self._listener.take(self)
        self.received_count += 1
        if isinstance(data, FrameTooLongError):
            raise data.with_traceback(None)
        return data

    def send_datagram(self, data: bytes | memoryview) -> bool:
        if self._closed:
            raise self._closed_error()
        if self._eof_sent:
            raise eof_sent_error(self.peer)
        try:
            self._listener.send(self, data)
        except OSError as error:
            if (isinstance(error, BlockingIOError) or is_resource_shortage(error)) and self._backoff.refused(error):
                return False
            raise why_not_sent(error, self._listener.socket, self.peer, len(data)) from None
        if self._backoff.is_active:
            self._backoff.reset()
        return True

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        """As `DatagramStream`. No poller reports space in a UNIX peer's queue, so this waits with a growing pause."""
        if self._closed:
            raise self._closed_error()
        if self._backoff.is_active:
            await self._backoff.wait(deadline)
            if self._closed:
                raise self._closed_error()

    async def send_eof(self, *, deadline: float | None = None) -> None:
        if self._closed:
            raise self._closed_error()
        self._eof_sent = True

    def stop_receiving(self) -> None:
        if not self._closed and not self._ended:
            self._listener.forget(self)
            self.end()

    def end(self) -> None:
        """End the session: what is queued is still received, then the end of stream."""
        self._ended = True
        self._changed.notify()

    def notify(self) -> None:
        """A datagram was queued."""
        self._changed.notify()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._listener.leave(self, was_ended=self._ended)
            self._changed.notify()

    def abort(self) -> None:
        self.close()

    def _closed_error(self) -> ClosedError:
        return closed_error(self.peer)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<PeerStream {self.local} - {self.peer}, {state}>"


class DatagramListener(StreamListener):
    """One bound datagram socket and the sessions of its peers.

    Args:
        engine: where it waits; a task of its own receives (a thread, where the engine blocks).
        sock: bound and non-blocking; the listener owns it from now on.
        options: `max_connections`, `idle_timeout`, `backlog`, `receive_size`, `max_queued`, `max_queued_size`.
        address: the real one.
        observer: receives what is dropped.
        path: the file of a UNIX socket, removed by `close`.
        inherited_from: the address of an inherited descriptor, else None.
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
        self.failure: BrokenError | None = None
        self._drops = DropCounter(sock, str(address), engine.now, observer=observer)
        self._observer = observer
        self._inherited_from = inherited_from
        self._path = path
        self._identity = identity_of(path) if path is not None else None
        # A session on an engine that blocks has a thread: a silent peer keeps it for a short time only.
        usual = PLAIN_SESSION_TIMEOUT if engine.blocks else DATAGRAM_SESSION_TIMEOUT
        self._idle = usual if options.idle_timeout is None else options.idle_timeout
        self._max_peers = min(options.max_connections, MAX_PLAIN_SESSIONS) if engine.blocks else options.max_connections
        self._max_queued = options.max_queued
        self._max_peer_size = options.max_queued_size
        self._max_all_size = ALL_QUEUES * options.max_queued_size
        self._max_pending = MAX_PENDING if options.backlog is None else max(1, options.backlog)
        # No datagram of the internet is larger than its 16-bit length.
        is_internet = sock.family in (socket.AF_INET, socket.AF_INET6)
        self._size = min(options.receive_size, 65536) if is_internet else options.receive_size
        self._buffer = memoryview(bytearray(self._size))
        self._has_header = sock.type == socket.SOCK_RAW and sock.family == socket.AF_INET  # raw(7)
        self._is_any = is_internet and address.host in ("", "0.0.0.0", "::")
        self._is_unix = sock.family == getattr(socket, "AF_UNIX", None)
        self._stalled: PeerStream | None = None  # whose full queue keeps a UNIX socket from being read
        self._space = 64 if self._is_any else 0
        self._peers: OrderedDict[Any, PeerStream] = OrderedDict()  # idle longest first
        self._open: set[PeerStream] = set()
        self._pending: deque[PeerStream] = deque()
        self._queued_size = 0
        self._lock = threading.Lock()  # of the queues: handlers may be threads
        self._changed = Condition(engine)
        self._closed = False
        self._over = False  # the socket is closed
        self._received_all = threading.Event()  # where the engine blocks: the thread that receives has ended
        engine.start(self._receive())

    async def wait_incoming(self, *, deadline: float | None = None) -> None:
        await self._changed.wait_until(
            lambda: bool(self._pending) or self._closed or self.failure is not None, deadline=deadline
        )

    def accept_nowait(self) -> OpenIncoming:
        if not self._pending and self.failure is not None:
            raise OSError(self.failure.errno, str(self.failure))
        try:
            incoming = OpenIncoming(self._pending.popleft())
        except IndexError:
            raise BlockingIOError("no peer waits") from None
        if self._is_unix and len(self._pending) == self._max_pending - 1:
            self._changed.notify()  # the socket is read again
        return incoming

    @property
    def dropped_count(self) -> int:  # type: ignore[override]
        """Datagrams that were received and dropped."""
        return self._drops.count

    @property
    def kernel_dropped_count(self) -> int:  # type: ignore[override]
        """Datagrams that the kernel dropped, because the receive buffer was full."""
        return self._drops.kernel_count

    def pending(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        """As `StreamListener`; the socket stays open until the last session has ended."""
        if self._closed:
            return
        self._closed = True
        if self._path is not None:
            remove_file(self._path, self._identity)
        while self._pending:
            self._pending.popleft().close()
        self._changed.notify()
        if self._observer is not None:
            self._observer(StoppedListening(str(self.address)))
        self._end_if_empty()

    def reopen(self) -> bool:
        """Possible while a session is open: the socket is open then, and another one could not be bound."""
        with self._lock:
            if self._over or self._path is not None or self.failure is not None:
                return False
            self._closed = False
        if self._observer is not None:
            self._observer(Listening(str(self.address), 0))
        return True

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def origin(self) -> Address:
        return self._inherited_from or self.address

    def take(self, peer: PeerStream) -> bytes | FrameTooLongError:
        """The oldest datagram in the peer's queue."""
        with self._lock:
            data, size = peer.queue.popleft()
            peer.queued_size -= size
            self._queued_size -= size
            resumes = peer is self._stalled and self._has_space(peer)
            if resumes:
                self._stalled = None
        if resumes:
            self._changed.notify()
        return data

    def _has_space(self, peer: PeerStream) -> bool:
        """Whether half of the limits is free again: a reader resumes then, not at each datagram."""
        return (
            len(peer.queue) * 2 <= self._max_queued
            and peer.queued_size * 2 <= self._max_peer_size
            and (self._queued_size * 2 <= self._max_all_size or not peer.queue)
        )

    def send(self, peer: PeerStream, data: bytes | memoryview) -> None:
        """Hand one datagram to the system; raises as it does."""
        if not peer.name:
            raise OSError(errno.ENOTCONN, "the peer has no name")
        if peer.source:
            self.socket.sendmsg([data], peer.source, 0, peer.name)
        else:
            self.socket.sendto(data, peer.name)
        self._touch(peer)

    def forget(self, peer: PeerStream) -> None:
        """What this peer sends from now on begins a new session."""
        with self._lock:
            if self._peers.get(peer.key) is peer:
                del self._peers[peer.key]

    def leave(self, peer: PeerStream, *, was_ended: bool) -> None:
        """A session is over. What came for it and was not received begins a new one, if it received anything at all."""
        self.forget(peer)
        self._open.discard(peer)
        with self._lock:
            peer.has_left = True
            left = list(peer.queue)
            peer.queue.clear()
            self._queued_size -= peer.queued_size
            peer.queued_size = 0
            if self._stalled is peer:
                self._stalled = None
        if left and not self._closed and not was_ended and peer.received_count:
            for data, size in left:
                self._put(peer.key, peer.name, peer.source, data, size)
        else:
            for _, size in left:
                self._drop(peer.peer, size, "its session ended without receiving it")
        self._changed.notify()  # a stalled reader may go on
        self._end_if_empty()

    async def _receive(self) -> None:
        """Receive for all peers, until the socket is closed."""
        error: BaseException | None = None
        try:
            while not self._over:
                try:
                    if not self._is_stalled():
                        await self.engine.wait(self.socket.fileno(), READ, self._next_end())
                    else:
                        await self._changed.wait_until(
                            lambda: not self._is_stalled() or self._over, deadline=self._next_end()
                        )
                except DeadlineError:
                    pass
                self._end_idle()
                if not self._over and not self._is_stalled() and self._receive_some():
                    self._drops.check_kernel()
                    await self.engine.sleep(0)  # other tasks have their turn
        except OSError as reason:
            error = reason
        finally:
            if not self._over:
                self._fail(error)
            self._received_all.set()

    def _is_stalled(self) -> bool:
        """Whether a UNIX socket is not read, so that its senders wait: a queue is full, or that of new peers is."""
        return self._stalled is not None or (
            self._is_unix and not self._closed and len(self._pending) >= self._max_pending
        )

    def _receive_some(self) -> bool:
        """Receive what is there, and queue it for its peer; True: there may be more."""
        for _ in range(TURN_DATAGRAMS):
            try:
                size, ancillary, flags, name = self.socket.recvmsg_into([self._buffer], self._space, ask_true_size)
            except BlockingIOError:
                return False
            except (ConnectionError, TimeoutError):
                continue  # an ICMP error for a datagram that we sent: not an error of the socket
            except OSError as error:
                if self._over or not is_resource_shortage(error):
                    raise
                return False
            source, local = self._asked(ancillary) if self._is_any else ([], None)
            if self._is_own(name, local):
                self._drop(self._text(name), size, "its source is this socket: an answer would come back for ever")
                continue
            data: bytes | FrameTooLongError = bytes(self._buffer[:size])
            if flags & socket.MSG_TRUNC:
                data = too_long_to_receive(self._text(name), size, self._size)
            elif self._has_header and size:
                data = bytes(self._buffer[(self._buffer[0] & 15) * 4 : size])
            self._put((name, local), name, source, data, min(size, self._size))
            if self._is_stalled():
                return False
        return True

    def _is_own(self, name: Name, local: str | None) -> bool:
        """Whether a datagram claims to come from this very socket: its source was forged (RFC 2827)."""
        if not isinstance(name, tuple) or name[1] != self.address.port:
            return False
        return bool(name[0] == (local or self.address.host))

    def _put(self, key: Any, name: Name, source: list[Any], data: bytes | FrameTooLongError, size: int) -> None:
        """Queue one datagram for its peer, or for a new peer."""
        while True:
            peer = self._peers.get(key) or self._new_peer(key, name, source, size)
            if peer is None:
                return
            self._touch(peer)
            with self._lock:
                if peer.has_left:
                    continue  # by another thread, a moment ago
                refused = self._why_refused(peer, size)
                if refused is None:
                    peer.queue.append((data, size))
                    peer.queued_size += size
                    self._queued_size += size
                    if self._is_unix and (
                        len(peer.queue) >= self._max_queued
                        or peer.queued_size >= self._max_peer_size
                        or self._queued_size >= self._max_all_size
                    ):
                        self._stalled = peer
            break
        if refused is None:
            peer.notify()
        else:
            peer.dropped_count += 1
            self._drop(peer.peer, size, refused)

    def _why_refused(self, peer: PeerStream, size: int) -> str | None:
        if self._is_unix:
            return None  # the socket is not read while a queue is full
        if len(peer.queue) >= self._max_queued or (peer.queue and peer.queued_size + size > self._max_peer_size):
            return "its queue is full"
        if self._queued_size + size > self._max_all_size:
            return "the queues of all peers are full"
        return None

    def _new_peer(self, key: Any, name: Name, source: list[Any], size: int) -> PeerStream | None:
        if self._closed or len(self._pending) >= self._max_pending:
            reason = "the listener is closed" if self._closed else "too many new peers wait to be accepted"
            self._drop(self._text(name), size, reason)
            return None
        if self.engine.blocks and len(self._open) >= 2 * self._max_peers:
            reason = f"{len(self._open)} sessions have a thread each (max_connections={self._max_peers})"
            self._drop(self._text(name), size, reason)
            return None
        local = str(self.address.replace(host=key[1])) if key[1] else str(self.address)
        peer = PeerStream(self, key, name, local=local, peer=self._text(name), source=source)
        too_many: list[PeerStream] = []
        with self._lock:
            known = self._peers.get(key)
            if known is not None:
                return known  # another thread was faster
            while len(self._peers) >= self._max_peers:
                too_many.append(self._peers.popitem(last=False)[1])
            self._peers[key] = peer
        for oldest in too_many:
            oldest.end()
        self._open.add(peer)
        self._pending.append(peer)
        self._changed.notify()
        return peer

    def _touch(self, peer: PeerStream) -> None:
        peer.last = self.engine.now()
        with self._lock:
            if self._peers.get(peer.key) is peer:
                self._peers.move_to_end(peer.key)

    def _oldest(self) -> PeerStream | None:
        with self._lock:
            return next(iter(self._peers.values()), None)

    def _next_end(self) -> float | None:
        """When the next session will have been idle for too long."""
        oldest = self._oldest()
        return None if oldest is None else oldest.last + self._idle

    def _end_idle(self) -> None:
        now = self.engine.now()
        while (oldest := self._oldest()) is not None and oldest.last + self._idle <= now:
            self.forget(oldest)
            oldest.end()

    def _asked(self, ancillary: list[tuple[int, int, bytes]]) -> tuple[list[Any], str | None]:
        """Which of our addresses was asked, as what makes an answer leave from it, and as text."""
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:  # struct in_pktinfo: interface, ours, as sent to
                return [(level, kind, struct.pack("@i4s4x", 0, data[4:8]))], socket.inet_ntoa(data[4:8])
            if level == getattr(socket, "IPPROTO_IPV6", -1) and kind == getattr(socket, "IPV6_PKTINFO", -1):
                if data[0] == 0xFF:
                    return [], None  # a group: the system chooses the address of ours
                is_link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
                index = data[16:20] if is_link_local else bytes(4)
                text = socket.inet_ntop(socket.AF_INET6, data[:16])
                if is_link_local:
                    text += f"%{int.from_bytes(index, 'little' if struct.pack('@i', 1)[0] else 'big')}"
                return [(level, kind, data[:16] + index)], text
        return [], None

    def _text(self, name: Name) -> str:
        if self.address.scheme.startswith("ip"):
            return str(Address.from_socket_name(self.socket.family, socket.SOCK_RAW, name))
        return address_of(self.socket, name)

    def _drop(self, peer: str, size: int, reason: str) -> None:
        self._drops.add(peer, size, reason)

    def _end_if_empty(self) -> None:
        with self._lock:
            if not self._closed or self._open or self._over:
                return
            self._over = True
        self._drops.check_kernel(is_end=True)
        self.engine.unregister(self.socket.fileno())
        if self.engine.blocks:
            self._received_all.wait(CANCEL_TIMEOUT)  # a poll under way holds the socket, and with it the address
        self.socket.close()

    def _fail(self, error: BaseException | None) -> None:
        """Receiving has failed: end all sessions with the error."""
        told = "the engine ended" if error is None else reason_of(error)
        self.failure = BrokenError(f"receiving at {self.address}: {told}", errno=getattr(error, "errno", None))
        for peer in list(self._open):
            peer.end()
        self._changed.notify()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "listening"
        return f"<DatagramListener {self.address}, {state}, {len(self._open)} peers>"
