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
from typing import Final

from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.errors import BrokenError, ClosedError, EndOfStream
from socketkit.streams.sockets import reason_of
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
        self._source = _Source(engine, source)
        try:
            self._sink = _Sink(sink)
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
                await self.engine.wait(source.waiting, READ, deadline)
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
            raise BrokenError(f"reading {self.local}: {reason_of(error)}", errno=error.errno) from None

    def send_now(self, data: bytes | memoryview) -> int:
        self._check_open()
        if self._eof_sent:
            raise ClosedError(f"writing {self.peer}: our direction was ended by send_eof")
        try:
            return self._sink.write(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise BrokenError(f"writing {self.peer}: {reason_of(error)}", errno=error.errno) from None

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        self._check_open()
        if self._sink.is_file:
            await self.engine.sleep(0)
        else:
            await self.engine.wait(self._sink.descriptor, WRITE, deadline)

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_open()
        if not self._eof_sent:
            self._eof_sent = True
            self.engine.forget(self._sink.descriptor)
            self._sink.end()
            if self._owned:
                os.close(self._owned.pop())

    def stop_receiving(self) -> None:
        if not self._closed and not self._stopped:
            self._stopped = True
            self._source.wake()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._eof_sent:
            self.engine.forget(self._sink.descriptor)
            self._sink.close()
        self._source.close()
        while self._owned:
            os.close(self._owned.pop())

    def abort(self) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.local} was closed at this end")

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<PipeStream {self.local} - {self.peer}, {state}>"


# --- the two ends ----------------------------------------------------------------------------------------------------


class _Source:
    """A descriptor of our own to read from.

    Attributes:
        waiting: the descriptor to wait at.
        is_file: whether a read never waits, and whatever can be read is there already.
        is_terminal: whether a person may sit there.
    """

    def __init__(self, engine: Engine, descriptor: int) -> None:
        self._engine = engine
        way = _way_of(descriptor)
        self.is_file = way == _FILE
        self.is_terminal = os.isatty(descriptor)
        self._descriptor, self._may_wait = _open_again(descriptor, os.O_RDONLY, way)
        self._socket = socket.socket(fileno=self._descriptor) if way == _SOCKET else None
        # Where the engine blocks, `stop_receiving` comes from another thread, perhaps just before this one begins to
        # wait. It then puts something that is always readable in the place of what is waited for: so that is another
        # descriptor than the one that is read.
        self.waiting = os.dup(self._descriptor) if engine.blocks and not self.is_file else self._descriptor

    def read(self) -> bytes:
        """What is there; empty at the end.

        Raises:
            BlockingIOError: there is nothing.
            OSError: it cannot be read.
        """
        if self._socket is not None:
            return self._socket.recv(READ_SIZE, _NO_WAIT)
        if self._may_wait and not _is_ready(self._descriptor, READ):
            raise BlockingIOError
        return os.read(self._descriptor, READ_SIZE)

    def wake(self) -> None:
        """Wake up whoever waits, or is about to."""
        if self.waiting != self._descriptor:
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, self.waiting, inheritable=False)
            os.close(nothing)
        self._engine.forget(self.waiting)

    def close(self) -> None:
        self._engine.forget(self.waiting)
        if self.waiting != self._descriptor:
            os.close(self.waiting)
        _close(self._descriptor, self._socket)


class _Sink:
    """A descriptor of our own to write to."""

    def __init__(self, descriptor: int) -> None:
        way = _way_of(descriptor)
        self.is_file = way == _FILE
        self.descriptor, self._may_wait = _open_again(descriptor, os.O_WRONLY, way)
        self._socket = socket.socket(fileno=self.descriptor) if way == _SOCKET else None

    def write(self, data: bytes | memoryview) -> int:
        """As much as can be taken without waiting.

        Raises:
            BlockingIOError: nothing can.
            OSError: it cannot be written.
        """
        if self._socket is not None:
            return self._socket.send(data, _NO_WAIT)
        if self._may_wait:
            if not _is_ready(self.descriptor, WRITE):
                raise BlockingIOError
            data = memoryview(data)[:_PIPE_BUF]  # what is announced is room for so many at least, pipe(7)
        return os.write(self.descriptor, data)

    def end(self) -> None:
        """Say the last word; of a socket also for those who share it."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # lost already, which a receiver finds out by itself
        self.close()

    def close(self) -> None:
        _close(self.descriptor, self._socket)


def _close(descriptor: int, sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
    else:
        os.close(descriptor)


# --- ways of not waiting ---------------------------------------------------------------------------------------------

_FILE, _SOCKET, _PIPE = "file", "socket", "pipe"
_LINKS = "/proc/self/fd"


def _way_of(descriptor: int) -> str:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return _SOCKET
    return _PIPE if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else _FILE


def _open_again(descriptor: int, access: int, way: str) -> tuple[int, bool]:
    """A descriptor of our own, and whether a call on it may wait."""
    if way == _PIPE and sys.platform == "linux":
        try:
            # proc(5): opening this link makes a new open file description, so that the flag is ours alone.
            again = os.open(f"{_LINKS}/{descriptor}", access | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            pass  # no /proc; another user's (EACCES); a pipe that nobody reads (ENXIO), as its write will say
        else:
            return again, False
    return os.dup(descriptor), way == _PIPE


def _is_ready(descriptor: int, direction: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN if direction == READ else select.POLLOUT)
    return bool(poller.poll(0))
