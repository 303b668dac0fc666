"""Receive: feed bytes to the session until a message is whole, or the end or an error is to be raised.

The order is the session's: messages, then the end, then errors. The usual portion of bytes costs one coroutine; an idle
timeout or TLS costs more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from socketkit._core import NOTHING, receive_blocking
from socketkit.config.durations import parse_timeout
from socketkit.config.options import Options
from socketkit.connection.idle_timeout import IdleTimer, idle_timer_for
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.connection.unread_bytes import Wanted
from socketkit.errors import BrokenError, BusyError, ClosedError, DeadlineError, EndOfStream
from socketkit.events import EndReceived, FrameSkipped, Observer, Received
from socketkit.streams.blocking_socket_stream import BlockingSocketStream
from socketkit.streams.stream import ReadyStream, Stream

__all__ = ["Receiver"]


class Receiver:
    """The receiving side of one connection.

    Attributes:
        loss: what ended the connection, as far as it is known; the first cause stays.
    """

    __slots__ = (
        "_blocking",
        "_idle_timer",
        "_number",
        "_observer",
        "_ready",
        "_receive_blocking",
        "_sender",
        "_session",
        "_stream",
        "_waits_for_turn",
        "loss",
    )

    def __init__(
        self,
        session: Session,
        sender: Sender,
        stream: Stream,
        options: Options,
        *,
        number: int,
        observer: Observer | None,
    ) -> None:
        self._session = session
        self._sender = sender
        self._number = number
        self._observer = observer
        self._waits_for_turn = not stream.engine.is_prompt
        self.loss: BaseException | None = None
        self.use(stream, options)

    def use(self, stream: Stream, options: Options) -> None:
        """Receive from this stream from now on."""
        self._stream = stream
        self._idle_timer: IdleTimer | None = idle_timer_for(stream, options, self._sender)
        self._ready = stream if isinstance(stream, ReadyStream) and self._idle_timer is None else None
        self._blocking: BlockingSocketStream | None = None  # where one call that blocks may be all
        self._receive_blocking: Callable[[], bytes | None] | None = None
        if self._ready is not None and self._observer is None and stream.engine.blocks:
            self._receive_blocking = self._ready.receive_blocking
            if isinstance(stream, BlockingSocketStream):
                self._blocking = stream

    @property
    def is_busy(self) -> bool:
        """Whether a task receives, or moves bytes past the framing."""
        return self._session.is_receiving

    @property
    def is_direct(self) -> bool:
        """Whether the bytes may be received without this class: they are not reported, and no time limit holds."""
        is_plain = self._stream.plain is not None and self._idle_timer is None
        return is_plain and self._observer is None and not self._waits_for_turn

    def begin(self) -> None:
        """Become busy.

        Raises:
            BusyError: another task receives.
        """
        if self._session.is_receiving:
            raise BusyError(f"another task already receives from {self._stream.peer}: one at a time")
        self._session.is_receiving = True

    def end(self) -> None:
        """Become free again."""
        self._session.is_receiving = False

    async def fill(self, timeout: float | str | None = None) -> None:
        """Receive until at least one message is whole, or raise why there will be none; see `Connection.receive`."""
        if self._session.is_receiving:
            self.begin()  # which raises
        deadline = None if timeout is None else self._stream.engine.deadline(timeout)
        session, ready, observer, sender = self._session, self._ready, self._observer, self._sender
        waiting = session.waiting
        session.is_receiving = True
        try:
            while True:
                if session.has_backlog:
                    if sender.turn.is_over():
                        await sender.turn.hand_over()
                    end = session.end()
                    if observer is not None:
                        self._report_skipped(observer)
                else:
                    end = session.end()
                if waiting:
                    return
                if end is not None:
                    raise end.with_traceback(None)
                if self._waits_for_turn and session.has_unsent:
                    sender.flush()  # before we wait: the peer may be waiting for it
                data: bytes | None
                try:
                    if ready is None:
                        if sender.turn.is_over():
                            await sender.turn.hand_over()
                        data = await (self._idle_timer or self._stream).receive(deadline=deadline)
                    else:  # the same in its steps: a coroutine for each portion is a tenth of a small message's price
                        if not ready.may_have_more:
                            await ready.wait_readable(deadline)
                        elif sender.turn.is_over():
                            await sender.turn.hand_over()
                        while (data := ready.receive_now()) is None:
                            await ready.wait_readable(deadline)
                except (EndOfStream, BrokenError, ClosedError) as error:
                    self._end(error)
                else:
                    session.feed(data)
                    if observer is not None:
                        observer(Received(self._number, data))
                        self._report_skipped(observer)
                    data = None  # a frame may be long in coming: hold no part of it twice
                if waiting:
                    return
        except DeadlineError as error:
            raise self._late(error, timeout) from None
        finally:
            session.is_receiving = False
            end = None  # else this frame and the error that it has raised hold each other

    async def fill_or_stop(self) -> None:
        """The same for an iteration: it stops at the end of stream."""
        try:
            await self.fill()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def receive_bytes(self, wanted: Wanted, timeout: float | str | None = None) -> bytes:
        """Receive until the bytes are there, or raise why there will be none; see `Connection.receive_exactly`."""
        deadline = None if timeout is None else self._stream.engine.deadline(timeout)
        self.begin()
        session, turn = self._session, self._sender.turn
        try:
            while True:
                if turn.is_over():
                    await turn.hand_over()
                data = session.take_bytes(wanted)
                if data is not None:
                    return data
                if self._waits_for_turn and session.has_unsent:
                    self._sender.flush()  # before we wait: the peer may be waiting for it
                try:
                    received = await (self._idle_timer or self._stream).receive(deadline=deadline)
                except (EndOfStream, BrokenError, ClosedError) as error:
                    self._end(error)
                else:
                    session.feed(received)
                    if self._observer is not None:
                        self._observer(Received(self._number, received))
        except DeadlineError as error:
            raise self._late(error, timeout, wanted.nothing) from None
        finally:
            session.is_receiving = False

    def fill_directly(self) -> bool:
        """Do one step of `fill`, without a coroutine, on an engine that blocks; mostly it is enough.

        Returns:
            Whether there is a message. If not, `fill` goes on, or raises why there will be none.
        """
        receive = self._receive_blocking
        session = self._session
        if receive is None or session.is_receiving or session.end() is not None:
            return False
        if session.waiting:
            return True
        session.is_receiving = True
        try:
            data = receive()
            if data is not None:
                session.feed(data)
        except (EndOfStream, BrokenError, ClosedError) as error:
            self._end(error)
        finally:
            session.is_receiving = False
        return bool(session.waiting)

    def receive_directly(self) -> Any:
        """Receive the next message by one call of the system, on an engine that blocks; mostly it is enough.

        Returns:
            The message. NOTHING: `fill` is to go on, or raises why there will be none.
        """
        blocking = self._blocking
        if blocking is not None and blocking.is_alone():
            message = receive_blocking(self._session, blocking)
            if message is not NOTHING:
                return message
        return self._session._take_one() if self.fill_directly() else NOTHING

    def _end(self, error: EndOfStream | BrokenError | ClosedError) -> None:
        if isinstance(error, EndOfStream):
            self._session.feed_eof(error)
            if self._observer is not None and not self._stream.is_connectionless:
                self._observer(EndReceived(self._number))
        elif self._session.fail(error):
            self.set_cause(error)

    def _report_skipped(self, observer: Observer) -> None:
        for fault in self._session.take_faults():
            observer(FrameSkipped(self._number, fault))

    def _late(self, error: DeadlineError, timeout: float | str | None, nothing: str = "no message") -> DeadlineError:
        if self._idle_timer is None or not self._idle_timer.is_over:
            return DeadlineError(f"receiving from {self._stream.peer}: {nothing} within {parse_timeout(timeout):g} s")
        self.set_cause(error)
        self._session.fail(error)
        return error.with_traceback(None)

    def set_cause(self, error: BaseException) -> None:
        """Set what ended the connection; the first cause stays."""
        self.loss = self.loss or error
