"""Sockets that keep boundaries, as streams: UDP, UNIX datagrams and packets, raw and ping sockets.

One call receives one datagram, one call sends one. An error that the system reports for an earlier datagram is raised
once, and the socket goes on. A datagram larger than the buffer is never cut silently: it is an error with both sizes.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from socketkit.config.backoff import polling_backoff
from socketkit.config.time_limits import NO_BUFFERS_TIMEOUT
from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import (
    BrokenError,
    ClosedError,
    EndOfStream,
    FrameTooLongError,
    closed_error,
    end_of_stream,
    eof_sent_error,
)
from socketkit.sockets.calls import reason_of
from socketkit.streams.socket_stream import DISCARD_SIZE
from socketkit.streams.stream import DatagramStream

__all__ = ["DatagramSocket", "SendBackoff", "ask_true_size", "largest", "too_long_to_receive", "why_not_sent"]

TURN_DATAGRAMS: Final = 64
"""Datagrams that are received without a wait before other tasks run."""

ask_true_size: Final = socket.MSG_TRUNC if hasattr(socket, "MSG_TRUNC") and os.path.exists("/proc/self") else 0
"""The flag with which Linux's recvmsg(2) returns the size of the whole datagram, also when it did not fit."""

AF_UNIX: Final = getattr(socket, "AF_UNIX", None)

_HINTS: Final = {
    errno.ECONNREFUSED: "nobody receives there, and an earlier datagram was refused",
    errno.EACCES: "to send to a broadcast address, give broadcast=yes",
    errno.ENETUNREACH: "there is no route; for a group, give interface=",
    errno.ENOENT: "the peer's socket is gone",
    errno.ENOTCONN: "the peer has no name to be answered at, or is gone",
    errno.ENOBUFS: f"the system had no buffer space for it for {NO_BUFFERS_TIMEOUT:g} s: send slower",
}


def largest(sock: socket.socket) -> int:
    """Bytes of the largest datagram that this socket can send, as far as its kind says: a 16-bit length, less the
    headers (RFC 768, RFC 791, RFC 8200); for UNIX sockets SO_SNDBUF, of which the system keeps a little for itself."""
    if sock.family == AF_UNIX:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    header = 0 if sock.type == socket.SOCK_RAW else 8
    return 65535 - header - (20 if sock.family == socket.AF_INET else 0)


def too_long_to_receive(peer: str, size: int, space: int) -> FrameTooLongError:
    """The error for a datagram that did not fit: the system has discarded the rest, so nothing of it is returned."""
    actual = f"{size} bytes" if size > space else f"more than {space} bytes"
    return FrameTooLongError(
        f"receiving from {peer}: a datagram of {actual} came, and the buffer holds {space}: raise receive_size",
        framing="datagram",
        size=max(size, space + 1),
        max_size=space,
    )


def why_not_sent(error: OSError, sock: socket.socket, peer: str, size: int) -> BrokenError | FrameTooLongError:
    """The error to raise for an error of send(2)."""
    if error.errno == errno.EMSGSIZE:
        limit = _limit(sock, size)
        return FrameTooLongError(
            f"sending to {peer}: a datagram of {size} bytes is too long, {limit} go into one here (EMSGSIZE): send "
            "less at a time, or use a stream (tcp, unix)",
            framing="datagram",
            size=size,
            max_size=limit,
        )
    hint = _HINTS.get(error.errno or 0)
    return BrokenError(f"sending to {peer}: {reason_of(error)}{': ' + hint if hint else ''}", errno=error.errno)


def _limit(sock: socket.socket, size: int) -> int:
    limit = largest(sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6) and size <= limit:
        # The path's MTU (ip(7), IP_MTU; ipv6(7), IPV6_MTU) less the headers: it is smaller than the socket's limit.
        level, name, header = (0, 14, 28) if sock.family == socket.AF_INET else (41, 24, 48)
        try:
            limit = sock.getsockopt(level, name) - header
        except OSError:
            pass  # not connected, or not Linux
    return min(limit, size - 1)


class SendBackoff:
    """Growing waits for the case in which no poller reports space: ENOBUFS, and a UNIX peer's full queue."""

    __slots__ = ("_backoff", "_engine", "_pause", "_since")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._backoff = polling_backoff()
        self._pause = 0.0
        self._since = 0.0

    @property
    def is_active(self) -> bool:
        """Whether the last send found no space."""
        return self._pause > 0

    def refused(self, error: OSError) -> bool:
        """Record that there was no space. False: it has lasted too long, and the error is to be raised."""
        if not self._pause:
            self._since = self._engine.now()
        self._pause = self._backoff.next()
        if error.errno == errno.ENOBUFS and self._engine.now() > self._since + NO_BUFFERS_TIMEOUT:
            self.reset()
            return False
        return True

    def reset(self) -> None:
        """Record that there was space."""
        if self._pause:
            self._pause = 0.0
            self._backoff.reset()

    async def wait(self, deadline: float | None) -> None:
        """Wait, longer each time.

        Raises:
            DeadlineError: the deadline came first.
        """
        pause = self._pause
        if deadline is not None and deadline <= self._engine.now() + pause:
            await self._engine.event().wait(deadline=deadline)  # raises when it comes
        await self._engine.sleep(pause)


Socket = socket.socket


class DatagramSocket(DatagramStream):
    """A datagram or packet socket and its one peer (or the group that it sends to).

    Args:
        engine: the engine on which it waits.
        sock: non-blocking; the stream owns it from now on.
        local, peer: the addresses, as text.
        receive_size: bytes of the largest datagram that is received whole.
        target: the socket address that each datagram is sent to where the socket is not connected: a group, whose
            members answer from their own addresses.
        reconnect: connects a UNIX datagram socket again after its peer was gone.
        at_end: is called after the socket is closed, to remove the file of a private name.
    """

    __slots__ = (
        "_at_end",
        "_backoff",
        "_buffer",
        "_descriptor",
        "_ended",
        "_eof_sent",
        "_has_header",
        "_has_lost_peer",
        "_loss",
        "_marks_empty",
        "_more",
        "_reconnect",
        "_size",
        "_space",
        "_stopped",
        "_streak",
        "_target",
        "_wait",
        "dropped_count",
        "engine",
        "is_connectionless",
        "local",
        "max_size",
        "peer",
        "socket",
    )

    socket: Socket

    def __init__(
        self,
        engine: Engine,
        sock: Socket,
        *,
        local: str,
        peer: str,
        receive_size: int = 256 * 1024,
        target: Any = None,
        reconnect: Callable[[], None] | None = None,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.engine = engine
        self.socket = sock
        self.local = local
        self.peer = peer
        self.max_size = largest(sock)
        self.is_connectionless = sock.type != socket.SOCK_SEQPACKET
        self.dropped_count = 0
        self._descriptor = sock.fileno()
        self._wait = engine.wait
        self._target = target
        self._reconnect = reconnect
        self._has_lost_peer = False
        self._at_end = at_end
        # No datagram of the internet is larger than its 16-bit length.
        self._size = receive_size if sock.family == AF_UNIX else min(receive_size, 65536)
        self._buffer = memoryview(b"")  # allocated by the first receive: many sockets only send
        self._has_header = sock.type == socket.SOCK_RAW and sock.family == socket.AF_INET  # raw(7)
        self._marks_empty = self._ask_credentials()
        self._space = 64 if self._marks_empty else 0
        self._more = False
        self._streak = 0
        self._backoff = SendBackoff(engine)
        self._loss: BrokenError | None = None
        self._stopped = False
        self._ended = False
        self._eof_sent = False

    def _ask_credentials(self) -> bool:
        """Tell an empty packet from the end of stream: recv(2) returns 0 for both. On Linux credentials (unix(7),
        SO_PASSCRED) come with every packet, and never with the end."""
        if self.is_connectionless or not hasattr(socket, "SO_PASSCRED"):
            return False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return True

    async def receive(self, *, deadline: float | None = None) -> bytes:
        if self._ended:
            raise self._end()
        if not self._more:
            if not self._stopped:
                await self._wait(self._descriptor, READ, deadline)
        else:
            self._streak += 1
            if self._streak % TURN_DATAGRAMS == 0:
                await self.engine.sleep(0)
        while True:
            try:
                return self._receive_now()
            except BlockingIOError:
                self._more = False
                if self._stopped:
                    self._ended = True
                    raise self._end() from None
                await self._wait(self._descriptor, READ, deadline)

    def receive_nowait(self) -> bytes | None:
        if self._ended or self._descriptor < 0:
            return None
        try:
            return self._receive_now()
        except BlockingIOError:
            self._more = False
            return None
        except (EndOfStream, BrokenError):
            if self.is_connectionless:
                raise
            return None  # the end or loss of a packet socket stays: the next `receive` raises it

    def _receive_now(self) -> bytes:
        if not self._buffer:
            self._buffer = memoryview(bytearray(self._size))
        try:
            size, ancillary, flags, _ = self.socket.recvmsg_into([self._buffer], self._space, ask_true_size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise self._lost(error, "receiving from") from None
        self._more = True  # more may be there; the call that finds nothing is cheaper than a wait for each of a burst
        if not size and not self.is_connectionless and not (self._marks_empty and ancillary):
            self._ended = True
            raise self._end()
        if flags & socket.MSG_TRUNC:
            raise too_long_to_receive(self.peer, size, self._size)
        data = bytes(self._buffer[:size])
        return data[(data[0] & 15) * 4 :] if self._has_header and data else data

    def send_datagram(self, data: bytes | memoryview) -> bool:
        if self._eof_sent and self._descriptor >= 0:
            raise eof_sent_error(self.peer)
        try:
            if self._has_lost_peer and self._reconnect is not None:
                self._reconnect()
                self._has_lost_peer = False
            if self._target is None:
                self.socket.send(data)
            else:
                self.socket.sendto(data, self._target)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS and self._backoff.refused(error):
                return False
            if self._descriptor < 0 or error.errno == errno.EBADF:
                raise self._closed_error() from None
            self._has_lost_peer = error.errno != errno.EMSGSIZE
            raise why_not_sent(error, self.socket, self.peer, len(data)) from None
        if self._backoff.is_active:
            self._backoff.reset()
        return True

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        if self._descriptor < 0:
            raise self._closed_error()
        if self._backoff.is_active:
            await self._backoff.wait(deadline)
        else:
            await self._wait(self._descriptor, WRITE, deadline)

    async def send_eof(self, *, deadline: float | None = None) -> None:
        if self._descriptor < 0:
            raise self._closed_error()
        if self._eof_sent:
            return
        if not self.is_connectionless:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                raise self._lost(error, "ending our direction to") from None
        self._eof_sent = True

    def stop_receiving(self) -> None:
        if self._descriptor >= 0 and not self._ended:
            self._stopped = True
            self.engine.unregister(self._descriptor)  # wakes a task that waits there

    def close(self) -> None:
        if self._descriptor < 0:
            return
        if not self.is_connectionless and not self._ended:
            self._discard_unread()
        self._close()

    def abort(self) -> None:
        if self._descriptor >= 0:
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        self._ended = True
        self.engine.unregister(descriptor)
        if self.engine.blocks and not self.is_connectionless:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits there
            except OSError:
                pass
        self.socket.close()
        if self._at_end is not None:
            self._at_end()

    def _discard_unread(self) -> None:
        """Shut our direction down, then discard: closing a packet socket with unread packets resets its peer."""
        try:
            if not self._eof_sent:
                self.socket.shutdown(socket.SHUT_WR)
            left = DISCARD_SIZE
            while left > 0:
                size, ancillary, _, _ = self.socket.recvmsg_into([bytearray(64)], self._space, ask_true_size)
                if not size and not ancillary:
                    return
                left -= size or 1
        except OSError:
            pass  # nothing there, or lost already

    def _lost(self, error: OSError, doing: str) -> ClosedError | BrokenError:
        if self._descriptor < 0 or error.errno == errno.EBADF:
            return self._closed_error()
        if not self.is_connectionless:
            self._loss = BrokenError(f"{doing} {self.peer}: {reason_of(error)}", errno=error.errno)
            self._ended = True
            return self._loss
        hint = _HINTS.get(error.errno or 0)
        text = f"{doing} {self.peer}: {reason_of(error)}{': ' + hint if hint else ''}"
        return BrokenError(text, errno=error.errno)

    def _end(self) -> EndOfStream | ClosedError | BrokenError:
        if self._descriptor < 0:
            return self._closed_error()
        if self._loss is not None:
            return self._loss.with_traceback(None)
        return end_of_stream(self.peer)

    def _closed_error(self) -> ClosedError:
        return closed_error(self.peer)

    def __repr__(self) -> str:
        state = "closed" if self._descriptor < 0 else "ended" if self._ended else "open"
        return f"<DatagramSocket {self.local} - {self.peer}, {state}>"
