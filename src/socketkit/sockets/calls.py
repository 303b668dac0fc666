"""Stream sockets, TCP and UNIX: the only callers of recv, send, accept, connect, bind, listen and shutdown.

Each verb is the same few lines: try the call; if it would block, wait; again. Errors of the system become ours here,
with what was being done and with whom.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import BrokenError, ClosedError, EndOfStream, SocketkitError
from socketkit.events import Observer, wants_calls
from socketkit.sockets.socket_options import backlog_asked, prepare, tune
from socketkit.streams.stream import ReadyStream, Stream

__all__ = [
    "SocketStream",
    "accept_now",
    "address_of",
    "adopt",
    "begin_connect",
    "connect_socket",
    "finish_connect",
    "new_socket",
    "reason_of",
    "wrap",
]

USUAL_SIZE = 8 * 1024
"""Bytes asked for while they come in small portions: `recv` allocates what it is asked for, and 64 KiB cost half a
microsecond more than 8 (a ping-pong of 64 bytes takes 11); beyond the C library's threshold (128 KiB) each is
a map and an unmap, ten times the price of the call."""

LARGE_SIZE = 96 * 1024
"""Bytes asked for when the usual portion was not all: as many as are allocated without a map, and more than the 64 KiB
that others like to write at once, so that a message of that size is a short read."""

TURN_BATCHES = 16
"""Full batches that are received without a wait before the others have their turn: else a fast sender starves them."""

DISCARD_SIZE = 1024 * 1024
"""Unread bytes that a closing end throws away, so that its own last words are not taken back by a reset."""

_SPLICE = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
_LINGER_RESET = struct.pack("ii", 1, 0)


def new_socket(family: int, kind: int, protocol: int, *, observer: Observer | None = None) -> socket.socket:
    """A non-blocking socket that no child process inherits; one that tells its calls where the observer wants them."""
    if wants_calls(observer):
        from socketkit.sockets.traced_socket import TracedSocket

        made: socket.socket = TracedSocket.open(family, kind, protocol, observer)
    else:
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def adopt(descriptor: int, *, observer: Observer | None = None) -> socket.socket:
    """A socket of this descriptor, whose family and type the system is asked for; it owns the descriptor now. Whether
    it waits is left as it is.

    Raises:
        OSError: it is no socket; the descriptor is still the caller's then.
    """
    if not wants_calls(observer):
        return socket.socket(fileno=descriptor)
    from socketkit.sockets.traced_socket import TracedSocket

    return TracedSocket.adopt(descriptor, observer)


def reason_of(error: BaseException) -> str:
    """What went wrong, in the system's words, with the name of the number: `Connection refused (ECONNREFUSED)`."""
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError) or number is None or isinstance(error, SocketkitError):
        return str(error) or type(error).__name__
    name = errno.errorcode.get(number)
    return f"{error.strerror or os.strerror(number)} ({name})" if name else str(error)


def address_of(sock: socket.socket, name: Any) -> str:
    """A socket name, as the system gives it, as the text of an address."""
    return str(Address.from_socket_name(sock.family, sock.type, name))


# --- dialling --------------------------------------------------------------------------------------------------------


def begin_connect(sock: socket.socket, name: Any) -> bool:
    """connect(2) on a non-blocking socket. True: it is connected; False: it can be written when `finish_connect` knows.

    Raises:
        BlockingIOError: the queue of a UNIX listener is full, and no poller tells when it is not.
        OSError: the system's own error; the caller knows the address and says more.
    """
    try:
        sock.connect(name)
    except BlockingIOError as error:
        if error.errno == errno.EAGAIN:
            raise
        return False  # EINPROGRESS, connect(2): under way
    return True


def finish_connect(sock: socket.socket) -> None:
    """How it went, when the socket can be written.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
    """
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


async def connect_socket(engine: Engine, sock: socket.socket, name: Any, *, deadline: float | None = None) -> None:
    """Connect a non-blocking socket: begin, wait, then ask how it went.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
        DeadlineError: the moment came first.

    Cancellation: the socket is of no further use; the caller closes it.
    """
    pause = 0.001
    while True:
        try:
            if begin_connect(sock, name):
                return
            break
        except BlockingIOError:
            await _pause(engine, pause, deadline)
            pause = min(2 * pause, 0.05)
    is_connected = False
    while not is_connected:
        await engine.wait(sock.fileno(), WRITE, deadline)
        finish_connect(sock)
        is_connected = _has_peer(sock)


def _has_peer(sock: socket.socket) -> bool:
    """A wait may have ended for nothing: while the call is under way there is no error, and no peer either."""
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True


async def _pause(engine: Engine, seconds: float, deadline: float | None) -> None:
    ahead = engine.now() + seconds
    if deadline is not None and deadline <= ahead:
        await engine.event().wait(deadline=deadline)  # raises DeadlineError when it comes
    await engine.sleep(seconds)


def _name_of_peer(sock: socket.socket) -> Any:
    try:
        return sock.getpeername()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        # It was connected a moment ago: the peer has thrown it away since, which this call has no word for.
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None


def wrap(engine: Engine, sock: socket.socket, options: Options, *, peer: str | None = None) -> Stream:
    """A stream over a connected, non-blocking socket, with the options set that such a socket takes.

    Args:
        engine: where it waits.
        sock: the socket; the stream owns it from now on.
        options: which options to set.
        peer: who the other end is, where the system's own answer would say less (a UNIX client's peer).

    Raises:
        OSError: the peer is gone already; the socket is still the caller's then.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        tune(sock, options)
    local = address_of(sock, sock.getsockname())
    if peer is None:
        peer = address_of(sock, _name_of_peer(sock))
    if sock.type == getattr(socket, "SOCK_SEQPACKET", None):
        from socketkit.streams.datagram_socket import DatagramSocket

        return DatagramSocket(engine, sock, local=local, peer=peer, receive_size=options.receive_size)
    kind = SocketStream
    if engine.blocks:
        from socketkit.streams.blocking_socket_stream import DirectStream  # which stands on this room

        kind = DirectStream
    return kind(engine, sock, local=local, peer=peer, receive_size=options.receive_size)


# --- listening -------------------------------------------------------------------------------------------------------


def bind_and_listen(sock: socket.socket, name: Any, options: Options) -> None:
    """bind(2) and listen(2) with the options that belong to them.

    Raises:
        OSError: the system's own error; the caller knows the address and says more.
    """
    prepare(sock, options)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        reuse = os.name == "posix" if options.reuse_address is None else options.reuse_address
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        # Mostly yes: the IPv4 half has a socket of its own, so that both are told apart and one port serves both.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options.v6only))
    sock.bind(name)
    sock.listen(backlog_asked(options))


def accept_now(listener: socket.socket) -> tuple[socket.socket, Any]:
    """accept(2): the next caller, non-blocking, and its socket name.

    Raises:
        BlockingIOError: nobody is there.
        OSError: the system's own error, by accept(2) sometimes the caller's and not ours.
    """
    sock, name = listener.accept()
    sock.setblocking(False)
    return sock, name


# --- the stream ------------------------------------------------------------------------------------------------------


class SocketStream(ReadyStream):
    """A connected stream socket."""

    has_unsent = False  # as the promise has it, and no call for each batch

    __slots__ = (
        "_descriptor",
        "_ended",
        "_eof_sent",
        "_largest",
        "_loss",
        "_recv",
        "_send",
        "_size",
        "_stopped",
        "_streak",
        "engine",
        "local",
        "may_have_more",
        "peer",
        "socket",
    )

    def __init__(
        self, engine: Engine, sock: socket.socket, *, local: str, peer: str, receive_size: int = 256 * 1024
    ) -> None:
        self.engine = engine
        self.socket = sock
        self.local = local
        self.peer = peer
        self._descriptor = sock.fileno()
        self._recv: Callable[..., bytes] = sock.recv
        self._send: Callable[..., int] = sock.send
        self._largest = receive_size
        self._size = min(USUAL_SIZE, receive_size)
        self.may_have_more = False  # the last call brought all that it asked for
        self._streak = 0
        self._ended = False
        self._stopped = False
        self._eof_sent = False
        self._loss: BrokenError | None = None

    def call_by(self, send: Callable[..., int], recv: Callable[..., bytes]) -> None:
        """Make other calls than send(2) and recv(2), which keep their promises (sendmsg and recvmsg, say)."""
        self._send, self._recv = send, recv

    def lose(self, error: OSError) -> None:
        """The system has told of a loss, to somebody else: it is raised behind what was received before."""
        self._lost(error, "receiving from")

    def wait_readable(self, deadline: float | None = None) -> Awaitable[None]:
        if self._ended:
            raise self._end()
        return self.engine.wait(self._descriptor, READ, deadline)

    def receive_now(self) -> bytes | None:
        if self._ended:
            raise self._end()
        try:
            data = self._recv(self._size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._lost_receiving(error) from None
        if not self.may_have_more and 0 < len(data) < self._size <= USUAL_SIZE:
            return data  # as mostly: all that was there
        return self._noted(data)

    def _noted(self, data: bytes) -> bytes:
        """What a `recv` brought, and what it says about the next one."""
        count = len(data)
        if not count:
            raise self._reached_end()
        if count == self._size:
            self._streak += 1
            self.may_have_more = self._streak % TURN_BATCHES != 0  # else who waits lets the others have their turn
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
        """As `receive`, but at most so many bytes: what comes behind them stays in the system."""
        self._size = size
        try:
            return await self.receive(deadline=deadline)
        finally:
            self._size = min(USUAL_SIZE, self._largest)

    def send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error, "sending to") from None

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        if self._descriptor < 0:
            raise self._closed_error()
        await self.engine.wait(self._descriptor, WRITE, deadline)

    async def receive_into(self, pipe: int, size: int, *, deadline: float | None = None) -> int:
        """Let the next bytes go into a pipe, by splice(2), without ever seeing them; how many they were.

        Args:
            pipe: its writing end; empty, so that there is room.
            size: the most that it takes.
            deadline: a moment of the engine's clock.

        Raises:
            OSError: EINVAL: such a socket cannot be spliced. Nothing was received; `receive` can do it.
            Otherwise as `receive`.
        """
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
        """Hand over as much of what a pipe holds as can be taken without waiting; how many bytes, perhaps 0.

        Raises:
            BrokenError, ClosedError: as `send_now`.
        """
        try:
            return os.splice(pipe, self._descriptor, size, flags=_SPLICE)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error, "sending to") from None

    async def send_eof(self, *, deadline: float | None = None) -> None:
        if self._descriptor < 0:
            raise self._closed_error()
        if self._eof_sent:
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(self._reason_behind(error), "ending our direction to") from None
        self._eof_sent = True

    def stop_receiving(self) -> None:
        if self._descriptor >= 0 and not self._ended:
            self._stopped = True
            try:
                self.socket.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # lost already, which a receiver finds out by itself

    def close(self) -> None:
        if self._descriptor >= 0:
            self._let_go(socket.SHUT_RDWR)

    def abort(self) -> None:
        if self._descriptor < 0:
            return
        if self.socket.family in (socket.AF_INET, socket.AF_INET6):
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            except OSError:
                pass  # lost already
        self._let_go(socket.SHUT_RD)  # the other direction would begin with a goodbye

    def _let_go(self, direction: int) -> None:
        # First of all: where the engine blocks, a thread that is woken below looks here for the reason.
        descriptor, self._descriptor = self._descriptor, -1
        has_unread = self._stopped or not self._ended
        self._ended = True
        self.engine.forget(descriptor)
        if direction == socket.SHUT_RDWR and has_unread:
            self._discard_unread()
        if self.engine.blocks:
            try:
                self.socket.shutdown(direction)  # wakes a thread that waits there
            except OSError:
                pass
        self.socket.close()

    def _discard_unread(self) -> None:
        """Closing with unread bytes makes TCP send a reset, which takes back what we said last (RFC 1122, 4.2.2.13):
        say goodbye first, then throw away what is there, within bounds."""
        try:
            if not self._eof_sent:
                self.socket.shutdown(socket.SHUT_WR)
            left = DISCARD_SIZE
            while left > 0 and (count := len(self._recv(USUAL_SIZE))):
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
            return ClosedError(f"{doing} {self.peer}: our direction was ended by send_eof")
        loss = BrokenError(f"{doing} {self.peer}: {reason_of(error)}", errno=error.errno)
        # The system tells a reset once, to whichever call comes first; the next `recv` would take it for a clean end.
        # EPIPE is no such news: it says nothing about what is still to be received.
        if self._loss is None and error.errno != errno.EPIPE:
            self._loss = loss
        return loss

    def _reason_behind(self, error: OSError) -> OSError:
        """After a reset shutdown(2) says no more than "not connected": what the system has noted says why."""
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
        return EndOfStream(f"{self.peer} has ended the conversation")

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the connection with {self.peer} was closed at this end")

    def __repr__(self) -> str:
        state = "closed" if self._descriptor < 0 else "ended by the peer" if self._ended else "open"
        return f"<SocketStream {self.local} - {self.peer}, {state}>"
