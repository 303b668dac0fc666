"""A stream over a connected socket: TCP, UNIX, VSOCK."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable

import socketkit._core as core
from socketkit._core import StreamCore
from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import (
    BrokenError,
    ClosedError,
    EndOfStream,
    closed_error,
    end_of_stream,
    eof_sent_error,
    forked_error,
)
from socketkit.sockets.calls import reason_of
from socketkit.streams.stream import ReadyStream

__all__ = ["SocketStream"]


USUAL_SIZE = 8 * 1024
"""Bytes that `recv` is asked for while small portions come. It allocates what it is asked for: 64 KiB cost half a
microsecond more than 8 (a ping-pong of 64 bytes takes 11). Beyond the C library's threshold (128 KiB) each allocation
is a map and an unmap, ten times the price of the call."""


LARGE_SIZE = 96 * 1024
"""Bytes that `recv` is asked for when the usual size was not all. As many as are allocated without a map, and more than
the 64 KiB that programs often write at once, so that a message of that size is a short read."""


TURN_BATCHES = 16
"""Full batches that are received without a wait before other tasks run: else a fast sender starves them."""


DISCARD_SIZE = 1024 * 1024
"""Unread bytes that a closing end discards, so that no reset takes back what it has sent last."""


_SPLICE = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


_LINGER_RESET = struct.pack("ii", 1, 0)


Socket = socket.socket


class SocketStream(StreamCore, ReadyStream):
    """A connected stream socket."""

    socket: Socket

    has_unsent = False  # a constant, not a property: it is read for each batch

    # These are rarely set: an idle connection has no room for them.
    _recv: Callable[..., bytes] | None = None  # None: the socket's own (a bound method takes 72 bytes)
    _send: Callable[..., int] | None = None
    _loss: BrokenError | None = None

    __slots__ = (
        "__dict__",
        "engine",
        "local",
        "peer",
        "socket",
    )

    def __init__(self, engine: Engine, sock: Socket, *, local: str, peer: str, receive_size: int = 256 * 1024) -> None:
        self.engine = engine
        self.socket = sock
        self.local = local
        self.peer = peer
        self._born = core.forks
        self._descriptor = sock.fileno()
        self._largest = receive_size
        self._is_plain = getattr(type(sock), "recv", None) is socket.socket.recv
        self._size = min(USUAL_SIZE, receive_size)
        self.may_have_more = False  # the last call brought all that it asked for
        self._is_sending = False
        self._streak = 0
        self._ended = False
        self._stopped = False
        self._eof_sent = False

    def call_by(self, send: Callable[..., int], recv: Callable[..., bytes]) -> None:
        """Use other calls that behave as send(2) and recv(2) do (sendmsg and recvmsg)."""
        self._is_plain = False
        self._send, self._recv = send, recv

    def forget(self) -> None:
        if self._loss is not None:
            self._loss = None

    def give_up_plain(self) -> None:
        """Have no other code call recv(2) and send(2): another stream is put over this one."""
        self._is_plain = False

    def take_up_plain(self) -> None:
        """Let the compiled core call them again: what is over this stream has bytes of the same kind."""
        self._is_plain = self._recv is None and getattr(type(self.socket), "recv", None) is socket.socket.recv

    @property
    def plain(self) -> SocketStream:
        return self

    def lose(self, error: OSError) -> None:
        """Record an error that another call has met: it is raised after what was received before."""
        self._lost(error, "receiving from")

    def _check_process(self) -> None:
        """Refuse to act in a child of fork(2) that has a copy of the descriptor."""
        if self._born != core.forks:
            raise forked_error(self.peer)

    def wait_readable(self, deadline: float | None = None) -> Awaitable[None]:
        self._check_process()
        if self._ended:
            raise self._end()
        return self.engine.wait(self._descriptor, READ, deadline)

    def receive_now(self) -> bytes | None:
        self._check_process()
        if self._ended:
            raise self._end()
        try:
            data = (self._recv or self.socket.recv)(self._size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._lost_receiving(error) from None
        if not self.may_have_more and 0 < len(data) < self._size <= USUAL_SIZE:
            return data  # the usual case: all that was there
        return self._resized(data)

    def _resized(self, data: bytes) -> bytes:
        """Choose the size of the next `recv` by what the last one returned, which is returned."""
        count = len(data)
        if not count:
            raise self._reached_end()
        if count == self._size:
            self._streak = (self._streak + 1) % TURN_BATCHES
            self.may_have_more = self._streak != 0  # else the caller waits, and other tasks run
            self._size = self._largest if count >= LARGE_SIZE else min(LARGE_SIZE, self._largest)
        else:
            # A short read has emptied the socket: the next call would only fail. Wait first.
            self.may_have_more = False
            if count < LARGE_SIZE < self._size:
                self._size = LARGE_SIZE
            elif count < USUAL_SIZE < self._size:
                self._size = USUAL_SIZE
        return data

    async def receive_up_to(self, size: int, *, deadline: float | None = None) -> bytes:
        """As `receive`, but at most so many bytes: what follows stays in the system's buffer."""
        self._size = size
        try:
            return await self.receive(deadline=deadline)
        finally:
            self._size = min(USUAL_SIZE, self._largest)

    def send_now(self, data: bytes | memoryview) -> int:
        self._check_process()
        try:
            return (self._send or self.socket.send)(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.lost_sending(error) from None

    def lost_sending(self, error: OSError) -> ClosedError | BrokenError:
        """Record an error of a call that sends; return what is to be raised."""
        return self._lost(error, "sending to")

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        self._check_process()
        if self._descriptor < 0:
            raise self._closed_error()
        await self.engine.wait(self._descriptor, WRITE, deadline)

    async def receive_into(self, pipe: int, size: int, *, deadline: float | None = None) -> int:
        """Move the next bytes into a pipe by splice(2), without copying them here; the number of bytes.

        Args:
            pipe: the writing end of an empty pipe.
            size: the most that the pipe takes.
            deadline: a time of the engine's clock.

        Raises:
            OSError: EINVAL: such a socket cannot be spliced. Nothing was received; `receive` can do it.
            Otherwise as `receive`.
        """
        self._check_process()
        if self._ended:
            raise self._end()
        while True:
            try:
                count = os.splice(self._descriptor, pipe, size, flags=_SPLICE)
                break
            except BlockingIOError:
                await self.engine.wait(self._descriptor, READ, deadline)
                if self._descriptor < 0:
                    raise self._closed_error() from None
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise
                raise self._lost_receiving(error) from None
        if not count:
            raise self._reached_end()
        return count

    def send_from(self, pipe: int, size: int) -> int:
        """Send as much of what a pipe holds as can be taken without waiting; the number of bytes, perhaps 0.

        Raises:
            BrokenError, ClosedError: as `send_now`.
        """
        self._check_process()
        try:
            return os.splice(pipe, self._descriptor, size, flags=_SPLICE)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error, "sending to") from None

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_process()
        if self._descriptor < 0:
            raise self._closed_error()
        if self._eof_sent:
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(self._pending_error(error), "ending our direction to") from None
        self._eof_sent = True

    def stop_receiving(self) -> None:
        if self._descriptor >= 0 and not self._ended:
            self._stopped = True
            try:
                self.socket.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # lost already; the next `receive` raises why

    def close(self) -> None:
        if self._descriptor >= 0:
            self._close(socket.SHUT_RDWR)

    def abort(self) -> None:
        if self._descriptor < 0:
            return
        if self.socket.family in (socket.AF_INET, socket.AF_INET6):
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            except OSError:
                pass  # lost already
        self._close(socket.SHUT_RD)  # shutting the other direction down would send a FIN first

    def _close(self, direction: int) -> None:
        # First of all: on the blocking engine a thread that is woken below looks here for the reason.
        descriptor, self._descriptor = self._descriptor, -1
        has_unread = self._stopped or not self._ended
        self._ended = True
        self.engine.unregister(descriptor)
        if direction == socket.SHUT_RDWR and has_unread:
            self._discard_unread()
        if self.engine.blocks:
            try:
                self.socket.shutdown(direction)  # wakes a thread that waits there
            except OSError:
                pass
        self.socket.close()

    def _discard_unread(self) -> None:
        """Send our FIN, then discard what is unread, within bounds: closing with unread bytes makes TCP send a reset,
        which takes back what we sent last (RFC 1122, 4.2.2.13)."""
        try:
            if not self._eof_sent:
                self.socket.shutdown(socket.SHUT_WR)
            left = DISCARD_SIZE
            while left > 0 and (count := len((self._recv or self.socket.recv)(USUAL_SIZE))):
                left -= count
        except OSError:
            pass  # nothing there, or lost already

    def _lost_receiving(self, error: OSError) -> ClosedError | BrokenError:
        self._ended = True
        return self._lost(error, "receiving from")

    def _lost(self, error: OSError, doing: str) -> ClosedError | BrokenError:
        if self._descriptor < 0 or error.errno == errno.EBADF:
            return self._closed_error()
        if error.errno == errno.EPIPE and self._eof_sent:
            return eof_sent_error(self.peer, doing=doing)
        loss = BrokenError(f"{doing} {self.peer}: {reason_of(error)}", errno=error.errno)
        # The system reports a reset once, to whichever call comes first; the next `recv` would return a clean end.
        # EPIPE is no such error: it says nothing about what is still to be received.
        if self._loss is None and error.errno != errno.EPIPE:
            self._loss = loss
        return loss

    def _pending_error(self, error: OSError) -> OSError:
        """After a reset shutdown(2) reports only ENOTCONN: SO_ERROR holds the reason."""
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if error.errno == errno.ENOTCONN else 0
        return OSError(number, os.strerror(number)) if number else error

    def _reached_end(self) -> EndOfStream | ClosedError | BrokenError:
        self._ended = True
        return self._end()

    def _end(self) -> EndOfStream | ClosedError | BrokenError:
        if self._descriptor < 0:
            return self._closed_error()
        if self._loss is not None:
            return self._loss.with_traceback(None)
        return end_of_stream(self.peer)

    def _closed_error(self) -> ClosedError:
        return closed_error(self.peer)

    def __repr__(self) -> str:
        state = "closed" if self._descriptor < 0 else "ended by the peer" if self._ended else "open"
        return f"<SocketStream {self.local} - {self.peer}, {state}>"
