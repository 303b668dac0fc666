"""Stream sockets where the engine blocks: a `recv` that blocks is a wait, and saves one.

Only where nobody can interrupt the wait but by closing the stream (which ends the call by a shutdown): a thread that
may be cancelled, or that has a deadline, waits in `poll` as everywhere.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from socketkit.engines.engine import DONE, Engine
from socketkit.streams.sockets import USUAL_SIZE, SocketStream

__all__ = ["DirectStream"]

_NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)  # Windows has no such flag: there it stays with `poll`


class DirectStream(SocketStream):
    """A connected stream socket on the blocking engine.

    From the first call that may block on, its descriptor blocks, and all other calls say that they do not wait.
    """

    __slots__ = ("_is_alone", "_is_direct", "_may_block")

    def __init__(self, engine: Engine, sock: socket.socket, **how: Any) -> None:
        super().__init__(engine, sock, **how)
        self._is_alone: Callable[[], bool] = getattr(engine, "is_alone", _never)
        self._is_direct = False
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

    def send_now(self, data: bytes | memoryview) -> int:
        if not self._is_direct:
            return super().send_now(data)
        try:
            return self.socket.send(data, _NO_WAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error, "sending to") from None

    def _go_direct(self) -> None:
        receive: Any = self.socket.recv
        self._recv = lambda size, flags=_NO_WAIT: receive(size, flags)
        self.socket.setblocking(True)
        self._is_direct = True


def _never() -> bool:
    return False
