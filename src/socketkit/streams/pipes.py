"""A stream over a pair of descriptors: standard input and output, pipes, terminals, files, sockets of others.

A description that other processes share (the shell's terminal, a pipeline's pipe) must never be left non-blocking:
the flag is theirs too. So a pipe or a terminal is opened anew where the system can do that (Linux, /proc/self/fd),
which gives a description of our own; a socket is asked not to wait call by call; a file never waits; and for the rest
no call is made that the poller has not announced.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import sys
from collections.abc import Awaitable
from typing import Any, Final

from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import BrokenError, ClosedError, EndOfStream
from socketkit.streams.sockets import DISCARD_SIZE, reason_of
from socketkit.streams.stream import Stream

__all__ = ["PipeStream", "stdio"]

READ_SIZE: Final = 64 * 1024
"""Bytes of one read: what a pipe holds (pipe(7)); a file gains nothing by more."""

TURN_READS: Final = 16
"""Reads without a wait before the others have their turn: as many as a socket's full batches."""

_NO_WAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)
_PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)  # POSIX promises at least 512


def stdio(engine: Engine) -> PipeStream:
    """Standard input and output as one stream. Closing it leaves the descriptors 0 and 1 open, and as they were."""
    return PipeStream(engine, 0, 1, owned=False, local="standard input", peer="standard output")


class PipeStream(Stream):
    """Receives from one descriptor and sends to another.

    Not kept of the promise: a plain blocking description that another process reads at the same time may take the
    bytes away between the news and our call, and stop us there. On Linux that cannot happen with pipes and terminals.
    """

    def __init__(
        self,
        engine: Engine,
        source: int,
        sink: int,
        *,
        owned: bool = True,
        local: str = "fd:",
        peer: str = "fd:",
    ) -> None:
        """Args:
            engine: where it waits.
            source: is read.
            sink: is written.
            owned: whether both are closed with the stream, and the sink by `send_eof`. Else only what we opened on
                our own is: the other side sees the end when the last process has closed it.
            local, peer: how source and sink are called in errors.

        Raises:
            OSError: one of them is not open.
        """
        self.engine = engine
        self.local = local
        self.peer = peer
        os.fstat(sink)  # both are open: else the first that we open would get the number of the other
        self._source = _Source(engine, source)
        try:
            self._sink = _Sink(engine, sink)
        except BaseException:
            self._source.close()
            raise
        self._owned = list(dict.fromkeys((source, sink))) if owned else []  # the sink is last
        self._count = 0
        self._closed = False
        self._ended = False
        self._stopped = False
        self._eof_sent = False

    async def receive(self, *, deadline: float | None = None) -> bytes:
        source = self._source
        while not self._ended:
            self._check_open()
            if source.is_file:
                self._count += 1
                if self._count % TURN_READS == 0:
                    await self.engine.sleep(0)
            elif not self._stopped:
                await source.wait(deadline)
                self._check_open()
            data = self._read()
            if data:
                return data
            self._ended = data is not None or self._stopped
        self._check_open()
        raise EndOfStream(f"{self.local} has ended the conversation")

    def _read(self) -> bytes | None:
        """What is there; None: nothing yet; empty: the end."""
        try:
            return self._source.read()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO and self._source.is_terminal:
                return b""  # the terminal has hung up, termios(3)
            raise BrokenError(f"receiving from {self.local}: {reason_of(error)}", errno=error.errno) from None

    def send_now(self, data: bytes | memoryview) -> int:
        self._check_open()
        if self._eof_sent:
            raise ClosedError(f"sending to {self.peer}: our direction was ended by send_eof")
        try:
            return self._sink.write(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise BrokenError(f"sending to {self.peer}: {reason_of(error)}", errno=error.errno) from None

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        self._check_open()
        if self._sink.is_file:
            await self.engine.sleep(0)
        elif not self._eof_sent:
            await self._sink.wait(deadline)

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_open()
        self._end_sink()

    def _end_sink(self) -> None:
        if not self._eof_sent:
            self._eof_sent = True
            self._sink.end()
            if self._owned:
                os.close(self._owned.pop())

    def stop_receiving(self) -> None:
        if not self._closed and not self._stopped:
            self._stopped = True
            self._source.wake()

    def close(self) -> None:
        if self._owned and not self._closed:
            self._end_sink()
            self._source.discard()
        self.abort()

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._eof_sent:
            self._sink.close()
        self._source.close()
        while self._owned:
            os.close(self._owned.pop())

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.local} was closed at this end")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<PipeStream {self.local} - {self.peer}, {state}>"


# --- the two ends ----------------------------------------------------------------------------------------------------


class _End:
    """A descriptor of our own for one direction, and where to wait for it.

    Attributes:
        is_file: whether a call never waits, and whatever can be read is there already.
    """

    def __init__(self, engine: Engine, descriptor: int, direction: int) -> None:
        self._engine = engine
        self._direction = direction
        way = _way_of(descriptor)
        self.is_file = way == _FILE
        self._descriptor, self._is_ours = _open_again(descriptor, direction, way)
        self._socket = socket.socket(fileno=self._descriptor) if way == _SOCKET else None
        self._may_wait = way == _PIPE and not self._is_ours
        self._watch: Any = None
        self._waiting = self._make_place()

    def _make_place(self) -> int:
        """The descriptor that is waited for."""
        if self.is_file:
            return self._descriptor
        if self._engine.blocks:
            # `wake` comes from another thread, perhaps just before this one begins to wait. It then puts something
            # that is always ready in the place of what is waited for: so that is another descriptor than the real one.
            return os.dup(self._descriptor)
        if self._is_ours or not hasattr(select, "epoll"):
            return self._descriptor
        # libuv makes non-blocking whatever it watches. A poller of our own may be made so, and is readable when the
        # shared descriptor is ready.
        self._watch = select.epoll()
        self._watch.register(self._descriptor, select.EPOLLIN if self._direction == READ else select.EPOLLOUT)
        self._direction = READ
        place: int = self._watch.fileno()
        return place

    def wait(self, deadline: float | None) -> Awaitable[None]:
        """Wait until a call has something to say."""
        return self._engine.wait(self._waiting, self._direction, deadline)

    def wake(self) -> None:
        """Wake up whoever waits, or is about to."""
        if self._engine.blocks and not self.is_file:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, self._waiting, inheritable=False)
            os.close(nothing)
        self._engine.forget(self._waiting)

    def close(self) -> None:
        """Give back what is ours."""
        self._engine.forget(self._waiting)
        if self._watch is not None:
            self._watch.close()
        elif self._waiting != self._descriptor:
            os.close(self._waiting)
        self._socket.close() if self._socket is not None else os.close(self._descriptor)


class _Source(_End):
    """Is read."""

    def __init__(self, engine: Engine, descriptor: int) -> None:
        super().__init__(engine, descriptor, READ)
        self.is_terminal = os.isatty(descriptor)

    def read(self) -> bytes:
        """What is there; empty at the end.

        Raises:
            BlockingIOError: there is nothing.
            OSError: it cannot be read.
        """
        if self._socket is not None:
            return self._socket.recv(READ_SIZE, _NO_WAIT)
        if self._may_wait and not _is_ready(self._descriptor, select.POLLIN):
            raise BlockingIOError
        return os.read(self._descriptor, READ_SIZE)

    def discard(self) -> None:
        """Throw away what a socket still holds, within bounds: closing it with unread bytes is a reset, which takes
        back what was said last (RFC 1122, 4.2.2.13)."""
        left = DISCARD_SIZE if self._socket is not None else 0
        try:
            while left > 0:
                left -= len(self.read()) or left
        except OSError:
            pass  # nothing there, or lost already


class _Sink(_End):
    """Is written."""

    def __init__(self, engine: Engine, descriptor: int) -> None:
        super().__init__(engine, descriptor, WRITE)

    def write(self, data: bytes | memoryview) -> int:
        """As much as can be taken without waiting.

        Raises:
            BlockingIOError: nothing can.
            OSError: it cannot be written.
        """
        if self._socket is not None:
            return self._socket.send(data, _NO_WAIT)
        if self._may_wait:
            if not _is_ready(self._descriptor, select.POLLOUT):
                raise BlockingIOError
            data = memoryview(data)[:_PIPE_BUF]  # what is announced is room for so many at least, pipe(7)
        return os.write(self._descriptor, data)

    def end(self) -> None:
        """Say the last word, of a socket also for those who share it, and close."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # lost already, which a receiver finds out by itself
        self.close()


# --- ways of not waiting ---------------------------------------------------------------------------------------------

_FILE, _SOCKET, _PIPE = "file", "socket", "pipe"
_LINKS = "/proc/self/fd"


def _way_of(descriptor: int) -> str:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return _SOCKET
    return _PIPE if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else _FILE


def _open_again(descriptor: int, direction: int, way: str) -> tuple[int, bool]:
    """A descriptor of our own, and whether its description is ours too, so that no call on it waits."""
    if way == _PIPE and sys.platform == "linux":
        access = os.O_RDONLY if direction == READ else os.O_WRONLY
        try:
            # proc(5): opening this link makes a new open file description, so that the flag is ours alone.
            return os.open(f"{_LINKS}/{descriptor}", access | os.O_NONBLOCK | os.O_NOCTTY), True
        except OSError:
            pass  # no /proc; another user's (EACCES); a pipe that nobody reads (ENXIO), as its write will say
    return os.dup(descriptor), False


def _is_ready(descriptor: int, news: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, news)
    return bool(poller.poll(0))
