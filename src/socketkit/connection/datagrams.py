"""One conversation over a stream that keeps boundaries: each datagram is framed by itself, each message is sent as one.

What a datagram lacks is never taken from the next, so a fault is that datagram's alone: it is told once, and the
conversation goes on. Sockets without a connection outlive a loss in the same way. Knows no socket and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
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
from socketkit.framing.codec import Codec, Framing
from socketkit.streams.stream import DatagramStream

__all__ = ["DatagramOutgoing", "DatagramSession"]


class DatagramSession(Session):
    """Both directions, datagram by datagram.

    Args:
        framing: makes a fresh codec for each datagram that comes.
        max_size: bytes of the largest datagram that can be sent.
        is_connectionless: whether a loss ends nothing: it is told once, to whoever sends or receives next.
    """

    __slots__ = ("_fault", "_feed_whole", "_framing", "_is_connectionless", "_loss", "_max_size")

    def __init__(self, framing: Framing, *, max_size: int, is_connectionless: bool) -> None:
        super().__init__(framing.codec())  # the one that encodes
        self.outgoing: deque[bytes] = deque()
        self._framing = framing
        self._max_size = max_size
        self._is_connectionless = is_connectionless
        self._fault: SocketkitError | None = None  # of the last datagram, behind its whole messages
        self._loss: SocketkitError | None = None  # that nobody has met yet

    def _use(self, codec: Codec) -> None:
        super()._use(codec)
        self.encode_one = None
        self._feed_whole: Callable[[bytes], list[Any]] | None = getattr(codec, "feed_whole", None)

    # --- incoming ---

    def feed(self, data: bytes) -> None:
        """One datagram. A codec that can take it as it is says so by `feed_whole`; an empty datagram is data too."""
        self.received_size += len(data)
        if self._feed_whole is not None:
            messages = self._feed_whole(data)
        else:
            messages = self._decode(data)
        self._arrived(messages)

    def _decode(self, data: bytes) -> list[Any]:
        codec = self._codec = self._framing.codec()
        messages: list[Any] = []
        try:
            messages += codec.feed(data)
            messages += codec.feed_eof()
        except SocketkitError as error:
            self._fault = error
        return messages

    def feed_eof(self, end: EndOfStream) -> None:
        self._end = end

    def adopt(self, framing: Framing) -> None:
        """Read the datagrams that follow with another framing; what has come already was framed as a whole."""
        self._framing = framing
        self._use(framing.codec())

    def end(self) -> SocketkitError | None:
        fault, self._fault = self._fault, None
        if fault is None:
            fault, self._loss = self._loss, None
        return self._end if fault is None else fault

    @property
    def is_between_messages(self) -> bool:
        return not self.waiting

    def fail(self, error: BrokenError | ClosedError | DeadlineError) -> bool:
        if self._is_connectionless and isinstance(error, BrokenError):
            self.lose(error)
            return False
        return super().fail(error)

    def lose(self, error: SocketkitError) -> None:
        """A datagram was lost, or refused: whoever sends or receives next is told; the first such news stays."""
        if self._loss is None:
            self._loss = error

    def take_loss(self) -> None:
        """Raise what was lost, once."""
        loss, self._loss = self._loss, None
        if loss is not None:
            raise loss.with_traceback(None)

    # --- outgoing ---

    def queue(self, messages: Iterable[Any], count: int) -> None:
        """As promised. After a loss the first call raises it, and has sent nothing; the next one goes on."""
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

    def refuse(self, reason: StreamError) -> None:
        super().refuse(reason)
        self.encode_one = None

    def sent(self, size: int) -> None:
        self.sent_size += size
        self.outgoing_size -= size or 1

    def gave_up(self, size: int) -> None:
        """So many bytes were a datagram that could not be sent."""
        self.outgoing_size -= size or 1


def _cost(frame: bytes) -> int:
    """What a datagram counts at the high-water mark: an empty one has its price too."""
    return len(frame) or 1


class DatagramOutgoing(Sender):
    """The sending side: a datagram a call, whole or not at all; one that is refused does not stop those behind it."""

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
    ) -> None:
        super().__init__(
            session, stream, high_water=high_water, number=number, observer=observer, idle_timeout=idle_timeout
        )
        self._datagrams = session, stream

    def flush(self) -> None:
        """Hand over datagram by datagram, as long as they are taken; the rest follows in the background."""
        if self._draining or not self._session.outgoing:
            return
        try:
            if self._push():
                return
        except StreamError as error:
            self._fail(error)
            return
        self._draining = True
        self._engine.background(self._drain_datagrams())

    def check(self) -> None:
        super().check()
        self._datagrams[0].take_loss()

    def _push(self) -> bool:
        """Send until nothing is left (True), or nothing more is taken now (False)."""
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
                # The system tells of a refusal at the next call, which is innocent: udp(7), ECONNREFUSED.
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
            deadline = self._engine.deadline(self._idle_timeout)
            while True:
                await stream.wait_writable(deadline=deadline)
                before = session.sent_size
                if self._push():
                    break
                if session.sent_size != before:
                    self.drained_size += session.sent_size - before
                    deadline = self._engine.deadline(self._idle_timeout)
                if session.outgoing_size <= self._low:
                    self._changed.notify()
        except StreamError as error:
            self._fail(error)
        except DeadlineError:
            self._fail(self._stalled())
        except BaseException:
            self._fail(BrokenError(f"sending to {stream.peer}: the engine ended, and datagrams were left unsent"))
            raise
        finally:
            self._draining = False
            self._changed.notify()
