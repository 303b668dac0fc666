"""Messages over a stream that keeps boundaries: each datagram is framed by itself, each message is sent as one.

Bytes that a datagram lacks are never taken from the next, so an error concerns that datagram alone: it is raised once,
and the next call goes on. A socket without a connection survives a loss in the same way. Knows no socket and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from socketkit.connection.sender import Sender
from socketkit.connection.session import TURN_MESSAGES, Session
from socketkit.connection.unread_bytes import Wanted
from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    SocketkitError,
    StreamError,
)
from socketkit.events import Observer, Sent
from socketkit.framing.adapter import adapt
from socketkit.framing.codec import ConnectionCodec, Framing
from socketkit.streams.stream import DatagramStream

__all__ = ["DatagramSender", "DatagramSession"]


class DatagramSession(Session):
    """Both directions, datagram by datagram.

    Args:
        framing: makes a fresh codec for each datagram that comes.
        max_size: bytes of the largest datagram that can be sent.
        is_connectionless: whether a loss ends nothing: the next send or receive raises it, once.
        receive_nowait: returns a datagram that has arrived already, or None.
        arrived: is called with each of those.
    """

    sends_batches = False

    __slots__ = ("_arrived_nowait", "_fault", "_is_connectionless", "_loss", "_max_size", "_receive_nowait")

    def __init__(
        self,
        framing: Framing,
        *,
        max_size: int,
        is_connectionless: bool,
        receive_nowait: Callable[[], bytes | None] = lambda: None,
        arrived: Callable[[bytes], object] | None = None,
    ) -> None:
        super().__init__(framing)
        self._receive_nowait = receive_nowait
        self._arrived_nowait = arrived
        self.outgoing: deque[bytes] = deque()
        self._max_size = max_size
        self._is_connectionless = is_connectionless
        self._fault: SocketkitError | None = None  # of the last datagram, behind its whole messages
        self._loss: SocketkitError | None = None  # not raised yet

    def _use(self, framing: Framing, codec: ConnectionCodec | None) -> None:
        super()._use(framing, adapt(framing.codec()) if codec is None else codec)
        self.encode_one = None

    # Incoming.

    def feed(self, data: bytes) -> None:
        """Take one datagram, which may be empty."""
        self.received_size += len(data)
        feed_whole = self._codec.feed_whole
        self._arrived(self._decoded(data) if feed_whole is None else feed_whole(data))

    def take_all(self) -> list[Any]:
        """Remove and return every message that waits, and those of the datagrams that have arrived by now, in order.

        An error, and a datagram behind a backlog of messages, are left to the next call.
        """
        messages = super().take_all()
        while len(messages) < TURN_MESSAGES and self._fault is None and self._loss is None and not self.has_backlog:
            try:
                data = self._receive_nowait()
            except (BrokenError, FrameTooLongError) as error:
                self._fault = error
                break
            except ClosedError:
                break  # the next call raises it
            if data is None:
                break
            if self._arrived_nowait is not None:
                self._arrived_nowait(data)
            self.feed(data)
            messages += super().take_all()
        return messages

    def _decoded(self, data: bytes) -> list[Any]:
        codec = self._made = adapt(self._framing.codec())
        messages: list[Any] = []
        try:
            messages += codec.feed(data)
            messages += codec.feed_eof()
        except SocketkitError as error:
            self._fault = error
        return messages

    def feed_eof(self, end: EndOfStream) -> None:
        self._end = end

    def take_bytes(self, wanted: Wanted) -> bytes | None:
        """Raise: there is no stream of bytes here.

        Raises:
            StreamError: always.
        """
        raise StreamError(f"{wanted.verb}: datagrams have no bytes beside their messages: use receive")

    def decode_in_batches(self) -> None:
        pass  # each datagram is decoded as a whole

    def take_faults(self) -> list[FrameTooLongError]:
        return self._codec.take_faults()  # whose offsets begin anew with each datagram

    def reframe(self, framing: Framing) -> None:
        """Decode the datagrams that follow by another framing; each of those before was decoded as a whole."""
        self._use(framing, None)

    def end(self) -> SocketkitError | None:
        if self._later:
            super().end()
            return None
        fault, self._fault = self._fault, None
        if fault is None:
            fault, self._loss = self._loss, None
        return self._end if fault is None else fault

    @property
    def is_between_messages(self) -> bool:
        return not self.unread_count

    def fail(self, error: BrokenError | ClosedError | DeadlineError) -> bool:
        if self._is_connectionless and isinstance(error, BrokenError):
            self.lose(error)
            return False
        return super().fail(error)

    def close(self, reason: ClosedError) -> None:
        super().close(reason)
        self._fault = self._loss = None

    def lose(self, error: SocketkitError) -> None:
        """Keep the loss or refusal of a datagram for the next send or receive; the first one stays."""
        if self._loss is None:
            self._loss = error

    def take_loss(self) -> None:
        """Raise the loss that was kept, once."""
        loss, self._loss = self._loss, None
        if loss is not None:
            raise loss.with_traceback(None)

    # Outgoing.

    def queue(self, messages: Collection[Any], count: int) -> None:
        """Append messages, as `Session` does. After a loss the first call raises it, and sends nothing."""
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        self.take_loss()
        encode = self._codec.encode
        frames = [encode((message,)) for message in messages]
        for frame in frames:
            if len(frame) > self._max_size:
                raise FrameTooLongError(
                    f"a message of {len(frame)} bytes does not go into one datagram, which holds {self._max_size}: "
                    "send less at a time, or use a stream (tcp, unix)",
                    size=len(frame),
                    max_size=self._max_size,
                )
        self.sent_count += count
        self.outgoing_size += sum(map(_cost, frames))
        self.outgoing.extend(frames)

    def refuse(self, reason: StreamError | DeadlineError, *, is_final: bool = False) -> None:
        super().refuse(reason, is_final=is_final)
        self.encode_one = None

    def sent(self, size: int) -> None:
        self.sent_size += size
        self.outgoing_size -= size or 1

    def gave_up(self, size: int) -> None:
        """Count the bytes of a datagram that could not be sent."""
        self.outgoing_size -= size or 1


def _cost(frame: bytes) -> int:
    """Return what a datagram counts at the high-water mark: an empty one has its price too."""
    return len(frame) or 1


class DatagramSender(Sender):
    """The sending side: one datagram a call, whole or not at all. A refused one does not stop those behind it."""

    __slots__ = ("_datagrams",)

    def __init__(
        self,
        session: DatagramSession,
        stream: DatagramStream,
        *,
        high_water: int,
        number: int,
        observer: Observer | None,
        idle_timeout: float | None = None,
        send_timeout: float | None = None,
    ) -> None:
        super().__init__(
            session,
            stream,
            high_water=high_water,
            number=number,
            observer=observer,
            idle_timeout=idle_timeout,
            send_timeout=send_timeout,
        )
        self._datagrams = session, stream

    def flush(self) -> None:
        """Hand over datagrams while the system takes them; the rest follows in the background. Never raises."""
        if self._session.is_draining or not self._session.outgoing:
            return
        try:
            if self._push():
                return
        except StreamError as error:
            self.fail(error)
            return
        self._session.is_draining = True
        self._engine.background(self._drain_datagrams())

    def check(self) -> None:
        super().check()
        self._datagrams[0].take_loss()

    def _push(self) -> bool:
        """Send until nothing is left (True), or the system takes no more now (False)."""
        session, stream = self._datagrams
        waiting = session.outgoing
        is_second_try = False
        while waiting:
            frame = waiting[0]
            try:
                if not stream.send_datagram(frame):
                    return False
            except FrameTooLongError as error:
                session.lose(error)
                session.gave_up(len(waiting.popleft()))
            except BrokenError as error:
                if not stream.is_connectionless:
                    raise
                session.lose(error)
                # The system reports a refusal at the next call, whose datagram is not concerned: udp(7), ECONNREFUSED.
                if is_second_try:
                    session.gave_up(len(waiting.popleft()))
                is_second_try = not is_second_try
                continue
            else:
                waiting.popleft()
                session.sent(len(frame))
                if self._observer is not None:
                    self._observer(Sent(self._number, frame))
            is_second_try = False
        return True

    async def _drain_datagrams(self) -> None:
        session, stream = self._datagrams
        try:
            deadline = self._engine.deadline(self._limit)
            while True:
                await stream.wait_writable(deadline=deadline)
                before = session.sent_size
                if self._push():
                    break
                if session.sent_size != before:
                    self.drained_size += session.sent_size - before
                    deadline = self._engine.deadline(self._limit)
                if session.outgoing_size <= self._low_water():
                    self._notify()
        except StreamError as error:
            self.fail(error)
        except DeadlineError:
            self.fail(self._stalled())
        except BaseException:
            self.fail(BrokenError(f"sending to {stream.peer}: the engine ended, and datagrams were left unsent"))
            raise
        finally:
            self._session.is_draining = False
            self._notify()
