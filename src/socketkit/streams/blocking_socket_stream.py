"""Stream sockets where the engine blocks: a `recv` that blocks is a wait, and saves one.

Only where nobody can interrupt the wait but by closing the stream (which ends the call by a shutdown): a thread that
may be cancelled, or that has a deadline, waits in `poll` as everywhere.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from socketkit.engines.engine import DONE, Engine
from socketkit.errors import BrokenError, ClosedError, EndOfStream
from socketkit.streams.socket_stream import USUAL_SIZE, SocketStream

__all__ = ["BlockingSocketStream"]

_NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)  # Windows has no such flag: there it stays with `poll`


class BlockingSocketStream(SocketStream):
    """A connected stream socket on the blocking engine.

    From the first call that may block on, its descriptor blocks, and all other calls say that they do not wait.
    """

    __slots__ = ("_is_alone", "_is_direct", "_is_sending", "_may_block")

    def __init__(self, engine: Engine, sock: socket.socket, **how: Any) -> None:
        super().__init__(engine, sock, **how)
        self._is_alone: Callable[[], bool] = getattr(engine, "is_alone", _never)
        self._is_direct = False
        self._is_sending = False  # a thread is in a call that sends, or has not noted yet what it was told
        self._may_block = False  # the next `receive_now` waits

    def call_by(self, send: Callable[..., int], recv: Callable[..., bytes]) -> None:
        super().call_by(send, recv)
        self._is_alone = _never  # those calls are not ours to block in
        if self._is_direct:
            self.socket.setblocking(False)
            self._is_direct = False

    def wait_readable(self, deadline: float | None = None) -> Awaitable[None]:
        if deadline is not None or self._ended or not _NO_WAIT or not self._is_alone():
            return super().wait_readable(deadline)
        self._may_block = True
        return DONE

    def receive_now(self) -> bytes | None:
        if not self._may_block:
            return super().receive_now()
        self._may_block = False
        return self._receive_waiting()

    def receive_directly(self) -> bytes | None:
        """The next bytes, by a call that waits for them; None: they cannot be had by one call, `receive` knows how.

        Raises:
            EndOfStream, BrokenError, ClosedError: as `receive`.
        """
        if self.may_have_more or self._ended or not _NO_WAIT or not self._is_alone():
            return None
        return self._receive_waiting()

    def _receive_waiting(self) -> bytes:
        try:
            if not self._is_direct:
                self._go_direct()
            data = self.socket.recv(self._size)
        except OSError as error:
            raise self._lost_receiving(error) from None
        if not self.may_have_more and 0 < len(data) < self._size <= USUAL_SIZE:
            return data  # as mostly: all that was there
        return self._noted(data)

    def _reached_end(self) -> EndOfStream | ClosedError | BrokenError:
        # The system tells a reset once, perhaps to another thread's call: let that come round to noting it.
        while self._is_sending and self._loss is None and self._is_gone():
            time.sleep(0.0002)
        return super()._reached_end()

    def _is_gone(self) -> bool:
        """Nothing is left of the connection (TCP's state is CLOSED): a call that sends fails, and does not wait."""
        try:
            self.socket.getpeername()
            return False
        except OSError as error:
            return error.errno == errno.ENOTCONN

    def send_now(self, data: bytes | memoryview) -> int:
        self._is_sending = True
        try:
            return self.socket.send(data, _NO_WAIT) if self._is_direct else self._send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error, "sending to") from None
        finally:
            self._is_sending = False

    def send_from(self, pipe: int, size: int) -> int:
        self._is_sending = True
        try:
            return super().send_from(pipe, size)
        finally:
            self._is_sending = False

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._is_sending = True
        try:
            await super().send_eof(deadline=deadline)
        finally:
            self._is_sending = False

    def _go_direct(self) -> None:
        receive: Any = self.socket.recv
        self._recv = lambda size, flags=_NO_WAIT: receive(size, flags)
        self.socket.setblocking(True)
        self._is_direct = True


def _never() -> bool:
    return False
