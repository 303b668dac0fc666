"""Copy bytes from one stream to another until the end of the first, then end the direction of the other.

Between two plain sockets on Linux a bulk transfer goes through a pipe by splice(2): its bytes are never copied into
this program. Small portions, and everything that is no plain socket, are received and sent. Either way no more is
received than the other side has space for: at most one portion is in transit.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import socketkit._core as core
from socketkit.config.backoff import polling_backoff
from socketkit.config.time_limits import BULK_IDLE_TIMEOUT
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, SocketkitError
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import DatagramStream, Stream

__all__ = ["OnCopied", "Pipes", "UntakenError", "pump", "send_whole", "untaken_size", "wait_taken"]

OnCopied = Callable[[int, "bytes | None"], float]
"""Called for each portion that was copied: its size, and the bytes, or None where Python has not seen them. Returns the
seconds to wait before the next portion."""

TALK_SIZE: Final = 8 * 1024
BULK_SIZE: Final = 256 * 1024
"""What portions have beyond the first size is added up, and what they have less is subtracted. At the second size it is
a bulk transfer, for which a pipe pays; at zero it is not any more."""

PORTION: Final = 1024 * 1024
"""Bytes that a pipe is asked to hold: the most without a privilege (pipe(7), pipe-max-size)."""

PIECE: Final = 64 * 1024
"""The most bytes of a stream that go into one datagram; fewer where the socket takes fewer (65507 over UDP)."""

TURN_PORTIONS: Final = 16
"""Portions without a wait before other tasks run."""


class UntakenError(BrokenError):
    """The stream that the bytes were sent to, `sink`, was lost; the one they came from was not."""

    def __init__(self, message: str = "", *, errno: int | None = None, sink: Stream | None = None) -> None:
        super().__init__(message, errno=errno)
        self.sink = sink


class Pipes:
    """A limited number of pipes: each is two descriptors and up to a mebibyte of the system's memory.

    One user may have 64 of that size without a privilege (pipe(7), pipe-user-pages-soft: 64 MiB). Directions that get
    none are copied in this program.
    """

    def __init__(self, count: int = 64) -> None:
        self._left = [None] * count if hasattr(os, "splice") else []

    def take(self) -> Pipe | None:
        """A pipe; None where all are in use, or the system refuses one."""
        try:
            self._left.pop()  # atomic, so that threads may share it
        except IndexError:
            return None
        try:
            return Pipe()
        except OSError:
            self._left.append(None)
            return None

    def give_back(self, pipe: Pipe) -> None:
        """Close a pipe and make space for another one; what it holds is lost."""
        pipe.close()
        self._left.append(None)


class Pipe:
    """Both ends of a pipe, and its size."""

    def __init__(self) -> None:
        import fcntl  # where there is splice, there is this

        self.source, self.sink = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.size: int = fcntl.fcntl(self.sink, fcntl.F_SETPIPE_SZ, PORTION)
        except OSError:
            self.size = fcntl.fcntl(self.sink, fcntl.F_GETPIPE_SZ)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.source)
        os.close(self.sink)


async def pump(source: Stream, sink: Stream, *, on_copied: OnCopied, pipes: Pipes | None = None) -> None:
    """Copy bytes from one stream to another until the end of the first, then end the direction of the other.

    Args:
        source: is received from, by this call only.
        sink: is sent to, by this call only.
        on_copied: is called for each portion.
        pipes: the pipes for splice(2); None: `on_copied` gets all bytes.

    Raises:
        UntakenError: the sink was lost; the source can still be used.
        BrokenError: the source was lost; what came before was sent to the sink, which can still be used.
        ClosedError: one of them was closed at this end meanwhile.

    Cancellation: what is in transit is lost; neither stream can be used in this direction any more.
    """
    if not (_is_plain(source) and _is_plain(sink)):
        pipes = None
    receive, send_now = source.receive, sink.send_now
    send_datagrams = _sender(source, sink)
    forward = _forwarder(source, sink) if pipes is not None else None
    bulk = 0
    while True:
        size, data = 0, None
        try:
            if forward is not None:
                size = await forward()
            if not size:
                data = await receive()
        except EndOfStream:
            break
        if data is not None:
            size = len(data)
            try:
                if send_datagrams is not None:
                    await send_datagrams(data)
                else:
                    sent = send_now(data)
                    if sent < size or sink.has_unsent:
                        await sink.send(memoryview(data)[sent:])
            except BrokenError as error:
                raise _untaken(error, sink) from None
        pause = on_copied(size, data)
        if pause:
            await source.engine.sleep(pause)
        del data  # frees its memory while the next portion is waited for
        bulk = max(0, bulk + size - TALK_SIZE)
        if bulk >= BULK_SIZE and pipes is not None:
            bulk = 0
            assert isinstance(source, SocketStream) and isinstance(sink, SocketStream)
            try:
                if not await _pump_bulk(source, sink, on_copied, pipes):
                    pipes = None
            except EndOfStream:
                break
    try:
        await sink.send_eof()
    except BrokenError as error:
        raise _untaken(error, sink) from None


def _forwarder(source: Stream, sink: Stream) -> Callable[[], Awaitable[int]] | None:
    """How the compiled core moves a portion that is small; None where it does not. 0: `receive` goes on."""
    if not (core.native and isinstance(source, SocketStream) and isinstance(sink, SocketStream)):
        return None
    if source.engine.blocks:
        return None
    move = source._forward

    async def forward() -> int:
        if source.may_have_more:
            return 0
        await source.wait_readable()
        moved = move(sink)
        if moved is None:
            return 0
        if isinstance(moved, int):
            return moved
        size, left, loss = moved
        try:
            if loss is not None:
                raise loss
            await sink.send(left)
        except BrokenError as error:
            raise _untaken(error, sink) from None
        return size

    return forward


def _sender(source: Stream, sink: Stream) -> Callable[[bytes], Awaitable[None]] | None:
    """How to send a portion as datagrams; None where the sink takes bytes.

    A datagram stays one, and may be empty. Bytes of a stream have no boundaries: what is too long for one datagram is
    sent in several.
    """
    if not isinstance(sink, DatagramStream):
        return None
    if isinstance(source, DatagramStream):
        return sink.send
    send, size = sink.send, min(sink.max_size, PIECE)

    async def send_cut(data: bytes) -> None:
        for place in range(0, len(data), size):
            await send(memoryview(data)[place : place + size])

    return send_cut


async def send_whole(sink: Stream, data: bytes) -> None:
    """Send all of it.

    Raises:
        UntakenError: the sink was lost.
        ClosedError: it was closed at this end.
    """
    try:
        await sink.send(data)
    except BrokenError as error:
        raise _untaken(error, sink) from None


async def wait_taken(stream: Stream, *, deadline: float) -> None:
    """Wait until the peer's system has acknowledged everything that was sent (`untaken_size`), or the deadline comes.
    A reset would take back what is still in transit. Never raises."""
    backoff = polling_backoff()
    while untaken_size(stream) and stream.engine.now() < deadline:
        await stream.engine.sleep(backoff.next())


def untaken_size(stream: Stream) -> int:
    """Bytes that were sent and that the peer's system has not acknowledged (SIOCOUTQ, tcp(7), unix(7)); 0 where the
    system does not report them."""
    sock = stream.socket
    if sock is None:
        return 0
    try:
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (ImportError, OSError, ValueError):
        return 0


def _untaken(error: BrokenError, sink: Stream) -> UntakenError:
    return UntakenError(error.message, errno=error.errno, sink=sink)


def _is_plain(stream: Stream) -> bool:
    """Whether its bytes are a socket's own, and no observer gets each call."""
    return isinstance(stream, SocketStream) and type(stream.socket) is socket.socket


async def _pump_bulk(source: SocketStream, sink: SocketStream, on_copied: OnCopied, pipes: Pipes) -> bool:
    """Move bytes through a pipe while there are many; whether that can be tried again.

    Raises:
        EndOfStream: everything was sent.
    """
    pipe = pipes.take()
    if pipe is None:
        return True
    try:
        return await _splice(source, sink, on_copied, pipe)
    finally:
        pipes.give_back(pipe)


async def _splice(source: SocketStream, sink: SocketStream, on_copied: OnCopied, pipe: Pipe) -> bool:
    engine = source.engine
    count, bulk = 0, BULK_SIZE
    while bulk > 0:
        try:
            left = size = await source.receive_into(pipe.sink, pipe.size, deadline=engine.now() + BULK_IDLE_TIMEOUT)
        except DeadlineError:
            return True
        except OSError as error:
            if isinstance(error, SocketkitError):
                raise
            return False  # these sockets cannot be spliced
        try:
            while left:
                sent = sink.send_from(pipe.source, left)
                left -= sent
                if not sent:
                    await sink.wait_writable()
        except BrokenError as error:
            raise _untaken(error, sink) from None
        pause = on_copied(size, None)
        count += 1
        if pause or count % TURN_PORTIONS == 0:
            await engine.sleep(pause)
        bulk = min(BULK_SIZE, bulk + size - TALK_SIZE)
    return True
