"""A stream over a pair of descriptors: standard input and output, pipes, terminals, files, inherited sockets.

An open file description that other processes share (the shell's terminal, a pipeline's pipe) must never be left
non-blocking, because they share the flag. So a pipe or a terminal is opened again where the system can do that (Linux,
/proc/self/fd), which makes a description of our own. A socket gets MSG_DONTWAIT with each call. A file never blocks.
For everything else a call is made only after the poller has reported that it will not block.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import BrokenError, ClosedError, end_of_stream, eof_sent_error
from socketkit.sockets.calls import reason_of
from socketkit.streams.socket_stream import DISCARD_SIZE
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    Socket = socket.socket

__all__ = ["PipeStream", "Sink", "Source", "stdio"]

READ_SIZE: Final = 64 * 1024
"""Bytes of one read: what a pipe holds (pipe(7)); a file gains nothing by more."""

TURN_READS: Final = 16
"""Reads without a wait before other tasks run: as many as a socket's full batches."""

_NO_WAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)
_PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)  # POSIX promises at least 512


def stdio(engine: Engine, *, replaces: bool = False) -> PipeStream:
    """Standard input and output as one stream. Closing it leaves the descriptors 0 and 1 open and unchanged.

    Args:
        engine: the engine on which it waits.
        replaces: whether `send_eof` closes standard output for good, so that its reader gets the end of file: what
            is written there later goes to /dev/null.

    Raises:
        OSError: one of them is not open.
    """
    names = ("standard input", "standard output")
    return PipeStream(engine, 0, 1, owned=False, local="stdio:", peer="stdio:", names=names, replaces=replaces)


class PipeStream(Stream):
    """Receives from one descriptor and sends to another.

    One exception to the interface: where another process reads the same blocking description, it may take the bytes
    between the poll and our call, which then blocks. On Linux that cannot happen with pipes and terminals.
    """

    def __init__(
        self,
        engine: Engine,
        source: int | None,
        sink: int | None,
        *,
        owned: bool = True,
        local: str = "fd:",
        peer: str = "fd:",
        names: tuple[str, str] | None = None,
        replaces: bool = False,
        until: int | None = None,
    ) -> None:
        """Args:
            engine: the engine on which it waits.
            source: is read; None: nothing can be received.
            sink: is written; None: nothing can be sent.
            owned: whether both are closed with the stream, and the sink by `send_eof`. Else only the descriptors that
                were opened here are closed: the peer gets the end when the last process has closed its own.
            local, peer: the addresses of both ends, as text.
            names: what source and sink are called in errors; None: by these addresses.
            replaces: whether `send_eof` puts /dev/null in the place of a sink that is neither owned nor a terminal.
            until: a descriptor that also wakes a receiver when it is readable: that of a process (pidfd).

        Raises:
            OSError: one of them is not open.
        """
        self.engine = engine
        self.local = local
        self.peer = peer
        self._names = names or (local, peer)
        for descriptor in (source, sink):  # both first: else one opened here could get the number of a closed one
            if descriptor is not None:
                os.fstat(descriptor)
        self._source = Source(engine, source, until) if source is not None else None
        try:
            self._sink = Sink(engine, sink) if sink is not None else None
        except BaseException:
            if self._source is not None:
                self._source.close()
            raise
        self._owned = [number for number in dict.fromkeys((source, sink)) if owned and number is not None]
        self._owned_sink = sink if owned else None
        self._is_one = source == sink
        self._replaced = sink if replaces and sink is not None and not os.isatty(sink) else None
        self._count = 0
        self._closed = False
        self._ended = False
        self._stopped = False
        self._eof_sent = False

    async def receive(self, *, deadline: float | None = None) -> bytes:
        source = self._source
        while not self._ended and source is not None:
            self._check_open()
            if source.is_file:
                self._count += 1
                if self._count % TURN_READS == 0:
                    await self.engine.sleep(0)
            elif not self._stopped:
                await source.wait(deadline)
                self._check_open()
            data = self._read(source)
            if data:
                return data
            self._ended = data is not None or self._stopped
        self._check_open()
        raise end_of_stream(self._names[0])

    def _read(self, source: Source) -> bytes | None:
        """What is there; None: nothing yet; empty: the end of file."""
        try:
            return source.read()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO and source.is_terminal:
                return b""  # the terminal has hung up, termios(3)
            raise BrokenError(f"receiving from {self._names[0]}: {reason_of(error)}", errno=error.errno) from None

    def send_now(self, data: bytes | memoryview) -> int:
        self._check_open()
        if self._sink is None:
            raise ClosedError(f"sending to {self._names[1]}: it can only be read")
        if self._eof_sent:
            raise eof_sent_error(self._names[1])
        try:
            return self._sink.write(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise BrokenError(f"sending to {self._names[1]}: {reason_of(error)}", errno=error.errno) from None

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        self._check_open()
        if self._sink is None or self._sink.is_file:
            await self.engine.sleep(0)
        elif not self._eof_sent:
            await self._sink.wait(deadline)

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_open()
        self._end_sink()

    def _end_sink(self) -> None:
        if self._eof_sent or self._sink is None:
            return
        self._eof_sent = True
        self._sink.end()
        if self._owned_sink in self._owned:
            self._owned.remove(self._owned_sink)
            os.close(self._owned_sink)
        elif self._replaced is not None:
            _replace_by_null(self._replaced, inheritable=True)

    def stop_receiving(self) -> None:
        if not self._closed and not self._stopped and self._source is not None:
            self._stopped = True
            self._source.wake()

    def close(self) -> None:
        if self._owned and not self._closed:
            self._end_sink()
            if self._source is not None:
                self._source.discard()
        self._close_all()

    def abort(self) -> None:
        self._close_all()

    def _close_all(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._eof_sent and self._sink is not None:
            self._sink.close()
        if self._source is not None:
            self._source.close()
        while self._owned:
            os.close(self._owned.pop())

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self._names[0]} was closed at this end")

    @property
    def socket(self) -> Socket | None:
        return self._source.socket if self._source is not None and self._is_one else None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<{type(self).__name__} {self.local} - {self.peer}, {state}>"


class End:
    """A descriptor of our own for one direction, and the descriptor to wait for.

    Attributes:
        is_file: whether calls never block.
        socket: the descriptor as a socket, where it is one.
    """

    def __init__(self, engine: Engine, descriptor: int, direction: int, until: int | None = None) -> None:
        self._engine = engine
        self._direction = direction
        self._until = until if hasattr(select, "epoll") else None
        kind = _kind_of(descriptor)
        self.is_file = kind == _FILE
        self._descriptor, self._is_ours = _open_again(descriptor, direction, kind)
        self.socket = socket.socket(fileno=self._descriptor) if kind == _SOCKET else None
        self._may_block = kind == _PIPE and not self._is_ours
        self._watch: Any = None
        self._waiting = self._make_waiting()

    def _make_waiting(self) -> int:
        """The descriptor that is waited for."""
        if self.is_file:
            return self._descriptor
        if self._engine.blocks and self._until is None:
            # `wake` comes from another thread, perhaps just before this one begins to wait. It then replaces the
            # descriptor that is waited for by one that is always ready, so that must not be the real one.
            return os.dup(self._descriptor)
        if self._until is None and (self._is_ours or not hasattr(select, "epoll")):
            return self._descriptor
        # libuv makes every descriptor that it watches non-blocking. Of an epoll descriptor of our own that does no
        # harm, and it is readable when the shared descriptor is ready.
        self._watch = select.epoll()
        self._watch.register(self._descriptor, select.EPOLLIN if self._direction == READ else select.EPOLLOUT)
        if self._until is not None:
            self._watch.register(self._until, select.EPOLLIN)
        self._direction = READ
        waiting: int = self._watch.fileno()
        return waiting

    def wait(self, deadline: float | None) -> Awaitable[None]:
        """Wait until a call does not block."""
        return self._engine.wait(self._waiting, self._direction, deadline)

    def wake(self) -> None:
        """Wake a task or thread that waits, or is about to."""
        if self._engine.blocks and not self.is_file:
            _replace_by_null(self._waiting, inheritable=False)
        self._engine.unregister(self._waiting)

    def close(self) -> None:
        """Close what was opened here."""
        self._engine.unregister(self._waiting)
        if self._watch is not None:
            self._watch.close()
        elif self._waiting != self._descriptor:
            os.close(self._waiting)
        self.socket.close() if self.socket is not None else os.close(self._descriptor)


class Source(End):
    """The end that is read."""

    def __init__(self, engine: Engine, descriptor: int, until: int | None) -> None:
        super().__init__(engine, descriptor, READ, until)
        self.is_terminal = os.isatty(descriptor)

    def read(self) -> bytes:
        """What is there; empty at the end.

        Raises:
            BlockingIOError: there is nothing.
            OSError: it cannot be read.
        """
        if self.socket is not None:
            return self.socket.recv(READ_SIZE, _NO_WAIT)
        if self._may_block and not _is_ready(self._descriptor, select.POLLIN):
            raise BlockingIOError
        return os.read(self._descriptor, READ_SIZE)

    def discard(self) -> None:
        """Discard what a socket still holds, within bounds: closing it with unread bytes sends a reset, which takes
        back what was sent last (RFC 1122, 4.2.2.13)."""
        left = DISCARD_SIZE if self.socket is not None else 0
        try:
            while left > 0:
                left -= len(self.read()) or left
        except OSError:
            pass  # nothing there, or lost already


class Sink(End):
    """The end that is written."""

    def __init__(self, engine: Engine, descriptor: int) -> None:
        super().__init__(engine, descriptor, WRITE)

    def write(self, data: bytes | memoryview) -> int:
        """Write as much as can be taken without blocking; the number of bytes.

        Raises:
            BlockingIOError: nothing can be taken.
            OSError: it cannot be written.
        """
        if self.socket is not None:
            return self.socket.send(data, _NO_WAIT)
        if self._may_block:
            if not _is_ready(self._descriptor, select.POLLOUT):
                raise BlockingIOError
            data = memoryview(data)[:_PIPE_BUF]  # POLLOUT means space for at least so many, pipe(7)
        return os.write(self._descriptor, data)

    def end(self) -> None:
        """End this direction and close; of a socket also for other processes that share it."""
        if self.socket is not None:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # lost already; the next `receive` raises why
        self.close()


_FILE, _SOCKET, _PIPE = "file", "socket", "pipe"
_LINKS = "/proc/self/fd"
_MASTER: Final = os.makedev(5, 2) if sys.platform == "linux" else None
"""The device of a pseudo-terminal's master side, pty(7): opening it again would make another terminal."""


def _kind_of(descriptor: int) -> str:
    """How it is waited for. What is neither a file nor a socket is polled: pipes, terminals, and descriptors without a
    type of file (eventfd, timerfd, inotify), on which a read may block."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return _SOCKET
    return _FILE if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode) else _PIPE


def _open_again(descriptor: int, direction: int, kind: str) -> tuple[int, bool]:
    """A descriptor of our own, and whether its open file description is ours too, so that no call on it blocks."""
    if kind == _PIPE and sys.platform == "linux" and os.fstat(descriptor).st_rdev != _MASTER:
        access = os.O_RDONLY if direction == READ else os.O_WRONLY
        try:
            # proc(5): opening this link makes a new open file description, whose flags nobody shares.
            return os.open(f"{_LINKS}/{descriptor}", access | os.O_NONBLOCK | os.O_NOCTTY), True
        except OSError:
            pass  # no /proc; another user's (EACCES); a pipe without a reader (ENXIO), which its write will report
    return os.dup(descriptor), False


def _replace_by_null(descriptor: int, *, inheritable: bool) -> None:
    """Replace the descriptor by /dev/null, which is always ready and at its end; the number stays open."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable)
    os.close(null)


def _is_ready(descriptor: int, event: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(0))
