"""One connection's messages, without a socket: what was received, what is to be sent, and how it ended.

Bytes are fed in, messages come out, always in this order: whole messages, the end of stream, errors. Knows no socket,
no engine and no clock. A large batch is decoded in portions, each when the messages before it were received.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from socketkit._core import PART, UNUSUAL, WHOLE, SessionCore, native
from socketkit._core.connection import TURN_MESSAGES
from socketkit.connection.unread_bytes import UnreadBytes, Wanted
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
from socketkit.framing.adapter import adapt
from socketkit.framing.codec import ConnectionCodec, Framing, native_description

__all__ = ["TURN_MESSAGES", "Session"]

SMALLEST_PORTION = 512
"""Bytes that are decoded in one go at least."""

FIRST_PORTION = 8 * 1024
"""Bytes that are decoded in one go before it is known how many messages lie in them."""

CALM_COUNT = 1024
"""Messages decoded one by one, after bytes were received beside messages, before they are decoded in batches again. One
costs 1 to 2 us more so; to take a batch back, with the first bytes after it, costs 3 to 8 ms."""

LARGE_FEED = 4 * 1024
"""Bytes from which on a codec is asked to release what it holds, before a wait."""


class Session(SessionCore):
    """Both directions of one connection.

    Attributes:
        encode_one: returns the bytes of one message, for a sender that appends them to `outgoing` and counts them, at
            half the price of `queue`; raises as that does. None where a message takes more than that, or the compiled
            core encodes it.
        waiting: messages that were not received yet, the oldest last: `pop` takes it. (A list: an empty deque takes
            half a KiB, which counts with ten thousand idle connections.)
        has_backlog: whether more than `waiting` was read from the stream: `end` decodes it before it is read again.
        outgoing: encoded frames that were not handed to the system yet, oldest first.
        outgoing_size: bytes in `outgoing`, and of it in the sender's hands, until the system has them.
        received_size, sent_size: bytes so far.
        received_count, sent_count: messages so far.
        ended_without_delimiter: whether the end of stream, and no delimiter, has ended the last message.
    """

    sends_batches = True
    """Whether encoded messages may be joined: False of datagrams."""

    # These are rarely set: an idle connection has no room for them.
    ended_without_delimiter = False
    _native_limit = 1  # messages that the compiled core decodes ahead of their receiver
    _portion = FIRST_PORTION
    _reported_at = -1  # offset of the last frame that was reported as skipped
    _unfed_size = 0  # bytes that were received when the framing was chosen; -1: it may have been given some at once
    _later: Sequence[Any] = ()  # decoded messages behind those of `waiting`, the oldest last
    _undecoded = b""  # bytes behind those
    _skipped: Sequence[FrameTooLongError] = ()  # of the portions before the last one
    _is_between = False  # the codec holds nothing of what was not received
    _has_blank = False  # white space that comes next may belong to the last message
    _calm = 0  # messages that were decoded on demand since bytes were received beside them

    __slots__ = (
        "__dict__",
        "_framing",
        "_made",
        "_refusal",
        "_stream_end",
        "_unread",
    )

    _end: SocketkitError | None

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self._refusal: SocketkitError | None = None  # why nothing can be sent any more
        self._unread: UnreadBytes | None = None  # set while messages are decoded one by one, on demand
        self._use(framing, _codec_unless_native(framing))
        self._stream_end: SocketkitError | None = None  # why no more bytes will be read

    def _use(self, framing: Framing, codec: ConnectionCodec | None) -> None:
        """Use a framing, with this codec of it; None: the compiled core does what is usual, and a codec is made when
        something is not."""
        self._framing = framing
        self._made = codec
        self._reset("ended_without_delimiter", "_reported_at", "_portion")
        unfed_size = self.received_size if self._unread is None else -1
        if unfed_size != self._unfed_size:
            self._unfed_size = unfed_size
        self._use_native(None if codec is not None else native_description(framing))
        if self._unread is not None:
            self._leave()
        if self._refusal is None:
            self.encode_one: Callable[[Any], bytes] | None = None if codec is None else codec.encode_one

    def _reset(self, *names: str) -> None:
        """Give attributes their first value again."""
        for name in names:
            first = getattr(Session, name)
            if getattr(self, name) is not first:
                setattr(self, name, first)

    @property
    def _codec(self) -> ConnectionCodec:
        codec = self._made
        if codec is None:
            codec = self._made = adapt(self._framing.codec())
        return codec

    # Incoming.

    def feed(self, data: bytes) -> None:
        """Take bytes that were received; messages that they make whole go to `waiting`, perhaps not all at once."""
        size = len(data)
        self.received_size += size
        if self._unread is not None:
            self._unread.append(data)
            self.has_backlog = True
            return
        if self.is_native:
            self._put(data)
            self._decode_native()
            return
        if size > LARGE_FEED and self._divide(data):
            return
        codec = self._codec
        try:
            messages = codec.feed(data)
        except FramingError as error:
            self._end = error
            return
        if messages:
            self._arrived(messages)
            if codec.must_probe:
                self._has_work = True
            elif codec.fault is not None:
                self._end = codec.fault
        if native and codec.resumes_native:
            self._has_work = True

    def _decode_native(self) -> None:
        """Decode the next message, in the compiled core, where nothing is unusual. It decodes the others on demand."""
        found = self._decode(self._native_limit)
        if found == UNUSUAL and not self.waiting:
            self._leave_native()
        else:
            self.has_backlog = self._has_work = found != PART

    def _leave_native(self) -> None:
        """Hand the bytes that were not decoded to the codec, which says what is wrong with them."""
        rest = self._take_bytes()
        self._leave()
        self.has_backlog = self._has_work = False
        self._codec.offset = self.received_size - len(rest)
        if rest:
            self.received_size -= len(rest)  # counted already
            self.feed(rest)
        if self._codec.resumes_native:
            self._has_work = True

    def _divide(self, data: bytes) -> bool:
        """Decode the first portion of large data; return whether there is more than one."""
        self._has_work = True
        self._portion = min(self._portion, self._codec.portion)
        if self.has_backlog or len(data) <= self._portion or self._codec.keeps_cuts:
            return False  # data is a portion itself
        self._undecoded = data if type(data) is bytes else bytes(data)
        self.has_backlog = True
        self._decode_backlog()
        return True

    def feed_eof(self, end: EndOfStream) -> None:
        """Take the end of stream; the message that it makes whole goes to `waiting`."""
        self._stream_end = end
        if self._unread is None:
            if self.is_native:
                self._leave_native()
            self._complete(end)

    def _complete(self, end: EndOfStream) -> None:
        try:
            messages = self._codec.feed_eof()
        except FramingError as error:
            self._end = error
            return
        self.ended_without_delimiter = bool(messages) and self._codec.has_open_end
        self._arrived(messages)
        self._end = end

    def _arrived(self, messages: list[Any]) -> None:
        count = len(messages)
        self.received_count += count
        waiting = self.waiting
        if waiting:
            waiting[:0] = reversed(messages)
            return
        waiting.extend(messages)  # into our list; the other one is the codec's
        waiting.reverse()
        if count > TURN_MESSAGES:
            self._later = waiting[:-TURN_MESSAGES]
            del waiting[:-TURN_MESSAGES]
            self.has_backlog = self._has_work = True

    def _decode_backlog(self) -> None:
        """Decode portions until a message is whole, an error is found, or no bytes are left."""
        data, start, codec = self._undecoded, 0, self._codec
        self._skipped = ()
        while start < len(data) and not self.waiting and self._end is None:
            cut = codec.next_cut(data, start, self._portion)
            count = self.received_count
            self._skipped = [*self._skipped, *codec.take_faults()]
            self.received_size -= cut - start  # counted already
            self.feed(data[start:cut])
            self._adapt_portion(cut - start, self.received_count - count)
            start = cut
        self._undecoded = data[start:]
        self.has_backlog = bool(self._later or self._undecoded)

    def _adapt_portion(self, size: int, count: int) -> None:
        """So many bytes were so many messages: choose the next portion to hold about `TURN_MESSAGES`."""
        if count > TURN_MESSAGES:
            self._portion = max(SMALLEST_PORTION, size * TURN_MESSAGES // count)
        elif 2 * count < TURN_MESSAGES:
            self._portion = min(2 * self._portion, self._codec.portion)

    def end(self) -> SocketkitError | None:
        """Return what a receiver gets when nothing is `waiting`; None: a message is waiting, or it must wait for bytes.

        An error behind good messages is raised after they were received, and before the next wait.
        """
        if self._has_work and not self.waiting:
            self._work()
            if self.waiting:
                return None
        return self._end

    def _work(self) -> None:
        if self._unread is not None:
            self._decode_next(self._unread)
            return
        if self.is_native:
            self._decode_native()
            return
        if self._later:
            self.waiting.extend(self._later[-TURN_MESSAGES:])
            self._later = self._later[:-TURN_MESSAGES]
            self.has_backlog = bool(self._later or self._undecoded)
            return
        if self._undecoded:
            self._decode_backlog()
            if self.waiting:
                return
        self._has_work = False
        if self._end is not None:
            return
        codec = self._codec
        codec.release()
        if codec.must_probe:
            codec.probe()
        if codec.fault is not None:
            self._end = codec.fault
        elif _is_decoded_natively(self._framing):
            rest = codec.take_rest()
            self._use_native(native_description(self._framing))
            self._put(rest)

    # Incoming, on demand: bytes beside messages.

    def take_bytes(self, wanted: Wanted) -> bytes | None:
        """Return bytes from behind the last message, or the last bytes, that were received; None: read more first.

        From the first call on messages are decoded one by one, when they are received, so that a change between
        messages and bytes costs what is read. After `CALM_COUNT` messages without such a call they are decoded in
        batches again.

        Raises:
            EndOfStream, TruncatedFrameError, BrokenError, ClosedError, DeadlineError, FrameTooLongError: as `wanted`
                says; nothing is taken.
            TypeError, FramingError: as for `reframe`; nothing has happened.
        """
        end = self._stream_end
        if isinstance(end, ClosedError):
            raise end.with_traceback(None)
        unread: UnreadBytes | None = self._unread
        if unread is None or self._has_blank or not self._is_between:
            unread = self._hold()
        self._calm = 0
        found = None if unread is None else wanted.find(unread)
        if found is None and end is not None:
            found = wanted.at_end(self._held(), end)
        self.has_backlog = bool(self._unread)
        return found

    def _hold(self) -> UnreadBytes | None:
        """Decode on demand from here on, and hold every byte that was not received; None: read more first."""
        unread = self._unread
        if unread is None:
            unread = self._decode_on_demand()
        elif not self._is_between:
            while self._codec.is_skipping and unread:
                unread.decode_first(self._codec)
            if self._codec.fault is None and self._codec.is_skipping:
                return None
            unread.push_back(self._take_decoded())
            self._is_between = True
        if self._has_blank and unread:
            unread.skip_blank(self._codec)
            self._has_blank = not unread
        return unread

    def _held(self) -> UnreadBytes:
        assert self._unread is not None
        return self._unread

    def _decode_on_demand(self, *, is_reframing: bool = False) -> UnreadBytes:
        self._has_blank = not (is_unfed := self.received_size == self._unfed_size)
        rest = b"" if is_unfed and not is_reframing else self._take_rest()
        self._leave()
        self._unread = unread = UnreadBytes(rest, self.received_size - len(rest))
        self._is_between = self._has_work = True
        self._end = None
        return unread

    def _take_decoded(self) -> bytes:
        """Take back the bytes of messages that were not received, and of a part of one, from the codec."""
        unread, codec = self.unread_count, self._codec
        if not unread:
            codec.release()  # what was received stays received, with all that came before its end
        rest = codec.take_rest(unread)
        self.received_count -= unread
        self.waiting.clear()
        self._later = ()
        self._end = None
        return rest

    def _decode_next(self, unread: UnreadBytes) -> None:
        """Decode until a message is whole, or an error is found, or no bytes are left."""
        codec = self._codec
        self._skipped = ()
        if self._end is not None:
            return
        if self._is_between:
            self._is_between = False
            self._has_blank = True
            codec.offset = unread.offset
        while True:
            if codec.fault is not None:
                self._end = codec.fault
                break
            if not unread:
                self._end_on_demand()
                break
            self._skipped = [*self._skipped, *codec.take_faults()]
            messages = unread.decode_first(codec)
            if messages:
                self._arrived(messages)
                self._calm += len(messages)
                break
        self.has_backlog = bool(unread)
        if self._calm >= CALM_COUNT and codec.gives_back and self._stream_end is None:
            self._stop_on_demand()

    def _end_on_demand(self) -> None:
        """Every byte was decoded, and no message is whole."""
        codec, end = self._codec, self._stream_end
        if codec.must_probe:
            codec.probe()
            if codec.fault is not None:
                self._end = codec.fault
                return
        if isinstance(end, EndOfStream):
            self._complete(end)
        elif end is not None:
            self._end = end
        else:
            codec.release()

    def decode_in_batches(self) -> None:
        """Decode what comes in batches from now on: no message stays undecoded that is whole."""
        self._native_limit = TURN_MESSAGES
        self._stop_on_demand()

    def _stop_on_demand(self) -> None:
        """Decode no longer on demand; what ended the stream meanwhile is met again by reading it."""
        unread = self._unread
        if unread is None:
            return
        if self._is_between:
            self._codec.offset = unread.offset
        self._undecoded = unread.take(len(unread))
        self.has_backlog = bool(self._undecoded)
        self._has_work = True  # to go back to the compiled core, when all was received
        self._unread = None

    def decode_all(self) -> None:
        """Put every message that was read from the stream into `waiting`."""
        while self.is_native and self.has_backlog:
            found = self._decode(TURN_MESSAGES)
            if found != WHOLE:
                self.has_backlog = self._has_work = found != PART
                return
        while (self.has_backlog and self._end is None) or self._later:
            waiting = self.waiting[:]
            self.waiting.clear()
            self._work()
            self.waiting.extend(waiting)

    def take_all(self) -> list[Any]:
        """Remove and return every message that waits, oldest first."""
        waiting = self.waiting
        if self.is_native:
            found = self._decode(TURN_MESSAGES - len(waiting))
            self.has_backlog = self._has_work = found != PART
        messages = waiting[::-1]
        waiting.clear()
        while self._unread and self._end is None and len(messages) < TURN_MESSAGES:
            self._decode_next(self._unread)
            messages += waiting[::-1]
            waiting.clear()
        return messages

    def take_faults(self) -> list[FrameTooLongError]:
        """Return an error for each over-long frame that the last bytes made us skip or truncate (`oversize`)."""
        skipped = self._skipped
        self._reset("_skipped")
        faults = [*skipped, *(() if self._made is None else self._made.take_faults())]
        if not faults:
            return faults
        # A frame that was skipped in a batch may come again, when the messages before it became bytes again.
        fresh = [fault for fault in faults if fault.offset is None or fault.offset > self._reported_at]
        self._reported_at = max([self._reported_at, *(fault.offset or 0 for fault in fresh)])
        return fresh

    def reframe_messages(self, reframe: Callable[[int], list[Any]]) -> None:
        """Go on in another framing of each message, where messages are frames of the stream's own protocol.

        Args:
            reframe: changes the codec; returns the last so many messages in the new framing.
        """
        if self.is_native:
            self._rewind()
            reframe(0)
            if self._use_native(native_description(self._framing)):
                self.has_backlog = self._has_work = self._pending > 0
            else:
                self._leave_native()
                if self._refusal is None:
                    self.encode_one = self._codec.encode_one
            return
        messages = reframe(self.unread_count)
        self.received_count -= self.unread_count
        self.waiting.clear()
        self._later = []
        self._arrived(messages)

    def reframe(self, framing: Framing) -> None:
        """Go on in another framing from the first byte that belongs to no message received so far.

        Messages that were not received yet become bytes again. The outgoing batch stays as it was encoded.

        Raises:
            TypeError: the codec in use cannot give back what it has read (it has no `take_rest`).
            FramingError: it cannot any more, as it was skipping an over-long frame.
        """
        codec = _codec_unless_native(framing)
        if self._unread is None and self.is_native and _is_decoded_natively(framing):
            self._rewind()
            self._use(framing, codec)
            self.has_backlog = self._has_work = self._pending > 0
            return
        unread = self._unread
        if unread is None:
            unread = self._decode_on_demand(is_reframing=True)
        elif not self._is_between:
            unread.push_back(self._take_decoded())
        self._calm = 0
        self._end = None  # it was the other codec's, about these bytes; or it is met again behind them
        self._is_between = True
        self.has_backlog = bool(unread)
        self._use(framing, codec)

    def take_unread(self, framing: Framing) -> bytes:
        """Take back every byte that was not received yet, whole messages too, and go on with a fresh codec.

        Raises:
            TypeError, FramingError: as for `reframe`.
            EndOfStream, BrokenError, ClosedError: no more bytes will be received.
        """
        if self._stream_end is not None:
            raise self._stream_end.with_traceback(None)
        codec = _codec_unless_native(framing)
        rest = self._take_rest()
        self.received_size -= len(rest)
        self._begin(framing, codec)
        return rest

    def give_back(self, framing: Framing) -> bytes:
        """As `take_unread`, also behind the end of the stream, and the bytes stay counted as received."""
        codec = _codec_unless_native(framing)
        rest = self._take_rest()
        self._begin(framing, codec)
        return rest

    def _begin(self, framing: Framing, codec: ConnectionCodec | None) -> None:
        """Go on where nothing is held."""
        self._end = None
        self._use(framing, codec)
        if codec is not None:
            codec.offset = self.received_size
        if self._unread is not None:
            self._unread.offset, self._is_between = self.received_size, True

    def _take_rest(self) -> bytes:
        """Take back the bytes of every message that was not received, and all bytes behind them."""
        if self._unread is not None:
            if not self._is_between:
                self._unread.push_back(self._take_decoded())
            return self._unread.take(len(self._unread))
        if self.is_native:
            self._rewind()
            rest = self._take_bytes()
            self._drop_unread()
            return rest
        unread = self.unread_count
        rest = self._codec.take_rest(unread) + self._undecoded
        self.received_count -= unread
        self._drop_unread()
        return rest

    def _drop_unread(self) -> None:
        self.waiting.clear()
        self._reset("_later", "_undecoded")
        if self._unread is not None:
            self._unread.clear()
        self.has_backlog = False
        self._drop()

    def fail(self, error: BrokenError | ClosedError | DeadlineError) -> bool:
        """Set why no more bytes will be received; the first reason stays, except after our own close. True: it ends."""
        if self._stream_end is None or isinstance(error, ClosedError):
            self._stream_end = error
            if isinstance(error, ClosedError) or (self._unread is None and self._end is None):
                self._end = error
        return True

    def close(self, reason: ClosedError) -> None:
        """Drop what was not received: this end was closed, and every verb raises this from now on."""
        self._end = self._stream_end = reason
        self._drop_unread()
        self.refuse(reason, is_final=True)

    @property
    def has_ended(self) -> bool:
        """Whether no more bytes will be read: the end of stream, an error or a loss has been met."""
        return self._end is not None or self._stream_end is not None

    @property
    def unread_count(self) -> int:
        """Messages that were decoded and not received yet."""
        return len(self.waiting) + len(self._later)

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing was read that was not received, not even a part of a message."""
        return not self.waiting and not self.has_part

    @property
    def has_part(self) -> bool:
        """Whether a part of a message was read, behind the whole ones. False for a codec that does not say."""
        return self.has_backlog or self._pending > 0 or (self._made is not None and bool(self._made.buffered))

    # Outgoing.

    def queue(self, messages: Collection[Any], count: int) -> None:
        """Append messages to the outgoing batch, encoded: all of them, or none and an error.

        Raises:
            ClosedError, BrokenError, DeadlineError: nothing can be sent any more.
            FramingError, TypeError: a message cannot be framed.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        if self._encode(messages):
            return
        data = self._codec.encode(messages)
        if self._out_size:
            self.outgoing.append(self._take_out())
        self.sent_count += count
        self.outgoing_size += len(data)
        self.outgoing.append(data)

    def append(self, data: bytes) -> None:
        """Append bytes that belong to no message to the outgoing batch, also where messages are refused."""
        if self._out_size:
            self.outgoing.append(self._take_out())
        self.outgoing_size += len(data)
        self.outgoing.append(data)

    @property
    def has_unsent(self) -> bool:
        """Whether something is in the outgoing batch."""
        return self._out_size > 0 or bool(self.outgoing)

    def take(self) -> bytes:
        """Remove and return the outgoing batch, as one piece."""
        outgoing = self.outgoing
        if self._out_size:
            outgoing.append(self._take_out())
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        return data

    def sent(self, size: int) -> None:
        """Count bytes of what was taken that the system has now."""
        self.sent_size += size
        self.outgoing_size -= size

    def refuse(self, reason: StreamError | DeadlineError, *, is_final: bool = False) -> None:
        """Take no further message, for this reason; what is in the batch is still sent.

        The first reason stays, unless this one is final: after our own close every verb raises `ClosedError`.
        """
        if self._refusal is None or is_final:
            self._refusal = reason
            self.is_refused = True
            self.encode_one = _refuser(reason)

    @property
    def refusal(self) -> SocketkitError | None:
        """Why nothing can be sent any more; None when it can."""
        return self._refusal


def _is_decoded_natively(framing: Framing) -> bool:
    """Whether the compiled core, where it is in use, has the bytes of this framing."""
    description = native_description(framing) if native else None
    return description is not None and description[0] != "chunks"


def _codec_unless_native(framing: Framing) -> ConnectionCodec | None:
    """Return a fresh codec; None where the compiled core does without one until something unusual comes."""
    return None if native and native_description(framing) is not None else adapt(framing.codec())


def _refuser(reason: StreamError | DeadlineError) -> Callable[[Any], bytes]:
    def refuse(message: Any) -> bytes:
        raise reason.with_traceback(None)

    return refuse
