"""One conversation without a socket: what has come, what is to go, and how it stands.

Bytes are fed in, messages come out, and the order is always the same: the messages that arrived whole, then the end,
then errors. Knows no socket, no engine and no clock; whoever moves the bytes asks it what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence
from typing import Any

from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    SocketkitError,
    StreamError,
)
from socketkit.framing.codec import Codec, Framing
from socketkit.values import Value

__all__ = ["ConnectionStatistics", "Session"]


class ConnectionStatistics(Value):
    """How a connection stands: bytes and messages so far, and what waits on either side.

    Attributes:
        received_size, sent_size: bytes that came, and that the system has taken.
        received_count, sent_count: messages that came whole, and that were sent.
        waiting_count: messages that came and were not received yet.
        unsent_size: bytes that were sent and that the system has not taken yet.
    """

    received_size: int
    sent_size: int
    received_count: int
    sent_count: int
    waiting_count: int
    unsent_size: int


class Session:
    """Both directions of one conversation.

    Attributes:
        encode_one: the bytes of one message, for whoever puts it into `outgoing` himself and counts it, at half the
            price of `queue`; raises as that does. None where a message takes more than that.
        waiting: whole messages that nobody has received yet, the oldest last: `pop` takes it. (A list, because an empty
            deque takes half a KiB, which is much where ten thousand connections are idle.)
        outgoing: encoded frames that nobody has handed to the system yet, oldest first.
        outgoing_size: bytes in `outgoing` and beyond, until the system has them; kept by whoever moves them.
        received_size, sent_size: bytes so far.
        received_count, sent_count: messages so far.
    """

    __slots__ = (
        "_codec",
        "_end",
        "_is_unsure",
        "_refusal",
        "_tells_faults",
        "encode_one",
        "outgoing",
        "outgoing_size",
        "received_count",
        "received_size",
        "sent_count",
        "sent_size",
        "waiting",
    )

    def __init__(self, codec: Codec) -> None:
        self._refusal: SocketkitError | None = None  # why nothing can be sent any more
        self._use(codec)
        self.waiting: list[Any] = []
        self.outgoing: MutableSequence[bytes] = []
        self.outgoing_size = 0
        self.received_size = 0
        self.sent_size = 0
        self.received_count = 0
        self.sent_count = 0
        self._end: SocketkitError | None = None  # what a receiver meets after the last message
        self._is_unsure = False  # the codec may hold back an error behind the messages it gave, and does not tell

    def _use(self, codec: Codec) -> None:
        self._codec = codec
        if self._refusal is None:
            encode_one = getattr(codec, "encode_one", None) or _one_by_many(codec)
            self.encode_one: Callable[[Any], bytes] | None = encode_one
        self._tells_faults = hasattr(codec, "fault")

    # --- incoming ---

    def feed(self, data: bytes) -> None:
        """Take bytes that came; the messages that they make whole go to `waiting`."""
        self.received_size += len(data)
        try:
            messages = self._codec.feed(data)
        except FramingError as error:
            self._end = error
            return
        if messages:
            self._arrived(messages)
            if not self._tells_faults:
                self._is_unsure = True
            elif self._codec.fault is not None:  # type: ignore[attr-defined]
                self._end = self._codec.fault  # type: ignore[attr-defined]

    def feed_eof(self, end: EndOfStream) -> None:
        """The peer has ended its direction; what that makes whole goes to `waiting`."""
        try:
            messages = self._codec.feed_eof()
        except FramingError as error:
            self._end = error
            return
        self._arrived(messages)
        self._end = end

    def _arrived(self, messages: list[Any]) -> None:
        self.received_count += len(messages)
        waiting = self.waiting
        if waiting:
            waiting[:0] = reversed(messages)
        else:
            waiting.extend(messages)  # ours; the list is the codec's
            waiting.reverse()

    def take_all(self) -> list[Any]:
        """Every message that waits, oldest first; they are the caller's now."""
        messages = self.waiting[::-1]
        self.waiting.clear()
        return messages

    def take_faults(self) -> list[FrameTooLongError]:
        """The over-long frames that the last bytes made us skip or cut, as the framing was told to; to be told."""
        take_faults: Callable[[], list[FrameTooLongError]] | None = getattr(self._codec, "take_faults", None)
        return [] if take_faults is None else take_faults()

    def adopt(self, framing: Framing) -> None:
        """Go on in another framing; see `reframe`."""
        self.reframe(framing.codec())

    def reframe(self, codec: Codec) -> None:
        """Read on with another codec from the first byte that belongs to no message received so far: what came and was
        not received yet becomes bytes again. What is in the outgoing batch stays as it was encoded.

        Raises:
            TypeError: the codec in use cannot give back what it has read (it has no `take_rest`).
            FramingError: it cannot any more, as it was passing over a frame that was too long.
        """
        take_rest: Callable[[int], bytes] | None = getattr(self._codec, "take_rest", None)
        if take_rest is None:
            raise TypeError(f"{type(self._codec).__name__} has no take_rest: it cannot hand over to another codec")
        rest = take_rest(len(self.waiting))
        self.received_count -= len(self.waiting)
        self.waiting.clear()
        if hasattr(codec, "offset"):
            codec.offset = self.received_size - len(rest)
        self._use(codec)
        end = self._end
        if isinstance(end, FramingError):  # the other codec has its own opinion of these bytes
            end = self._end = None
        if rest:
            self.received_size -= len(rest)  # which have been counted
            self.feed(rest)
        if isinstance(end, EndOfStream) and isinstance(self._end, EndOfStream):
            self.feed_eof(end)

    def take_unread(self, codec: Codec) -> bytes:
        """Take back every byte that came and was not received yet, whole messages too, and go on with a fresh codec.

        Raises:
            TypeError, FramingError: as for `reframe`.
            EndOfStream, BrokenError, ClosedError: no more bytes will come.
        """
        if self._end is not None and not isinstance(self._end, FramingError):
            raise self._end.with_traceback(None)
        take_rest: Callable[[int], bytes] | None = getattr(self._codec, "take_rest", None)
        if take_rest is None:
            raise TypeError(f"{type(self._codec).__name__} has no take_rest: it cannot hand over what it has read")
        rest = take_rest(len(self.waiting))
        self.received_count -= len(self.waiting)
        self.received_size -= len(rest)
        self.waiting.clear()
        self._end = None
        self._use(codec)
        return rest

    def fail(self, error: BrokenError | ClosedError | DeadlineError) -> bool:
        """No more bytes will come, for this reason; the first reason stays. True: so it is."""
        if self._end is None or isinstance(error, ClosedError):
            self._end = error
        return True

    def end(self) -> SocketkitError | None:
        """What a receiver meets now that nothing is `waiting`; None when it has to wait for bytes.

        A fault behind good messages is told after they were taken, and before the next wait. A codec that has no
        `fault` to look at is asked by a feed of nothing.
        """
        if self._is_unsure and self._end is None:
            self._is_unsure = False
            self.feed(b"")
            if self.waiting:
                return None
        return self._end

    @property
    def has_ended(self) -> bool:
        """Whether no more bytes are wanted: the end, a fault or a loss has been seen."""
        return self._end is not None

    @property
    def is_between_messages(self) -> bool:
        """Whether no message has come in part. A codec that does not tell counts as being between."""
        return not self.waiting and not self.has_part

    @property
    def has_part(self) -> bool:
        """Whether a message has come in part, after those that came whole."""
        return bool(getattr(self._codec, "buffered", 0))

    # --- outgoing ---

    def queue(self, messages: Iterable[Any], count: int) -> None:
        """Put messages into the outgoing batch, encoded: all of them, or none and an error.

        Raises:
            ClosedError, BrokenError: nothing can be sent any more.
            FramingError, TypeError: a message cannot be framed.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        data = self._codec.encode(messages)
        self.sent_count += count
        self.outgoing_size += len(data)
        self.outgoing.append(data)

    def take(self) -> bytes:
        """The outgoing batch, as one piece; it is the caller's now."""
        outgoing = self.outgoing
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        return data

    def sent(self, size: int) -> None:
        """So many bytes of what was taken are the system's now."""
        self.sent_size += size
        self.outgoing_size -= size

    def refuse(self, reason: StreamError) -> None:
        """No further message is taken, for this reason; what is in the batch is still to go. The first reason stays."""
        if self._refusal is None:
            self._refusal = reason
            self.encode_one = _refuser(reason)

    @property
    def refusal(self) -> SocketkitError | None:
        """Why nothing can be sent any more; None when it can."""
        return self._refusal


def _refuser(reason: StreamError) -> Callable[[Any], bytes]:
    def refuse(message: Any) -> bytes:
        raise reason.with_traceback(None)

    return refuse


def _one_by_many(codec: Codec) -> Callable[[Any], bytes]:
    return lambda message: codec.encode((message,))
