"""The promise of every framing: bytes become messages, messages become bytes, without I/O and without a clock.

A `Framing` is a frozen description that many connections share; its `codec()` makes a fresh, stateful `Codec` for one
connection. A framing of your own is any object with `codec()`, or simply the codec class itself; the codec needs
nothing but the three methods of `Codec`. What else a codec may offer is in `FullCodec`; every codec of this house does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from socketkit.errors import FrameTooLongError, FramingError

__all__ = ["Codec", "Framing", "FullCodec"]

DEFAULT_MAX_SIZE = 1024 * 1024
"""Largest payload of one frame, in bytes, inclusive: 1 MiB, as websockets has it; 64 KiB burns people (asyncio)."""


@runtime_checkable
class Codec(Protocol):
    """One conversation's bytes <-> messages.

    For every codec: any cutting of the bytes gives the same messages; what `encode` makes, `feed` gives back; memory is
    bounded by `max_size` and one feed; time is linear in the bytes. A codec never changes what it is fed, and never
    keeps a reference to a buffer that its owner may use again (it may keep one to `bytes`, which nobody can change).
    """

    def encode(self, messages: Iterable[Any], /) -> bytes:
        """The bytes of all these messages, in order, in one go.

        Raises:
            FramingError: a message cannot be framed (too long, contains the delimiter, ...); none is encoded then.
            TypeError: a message is of the wrong type; none is encoded then.
        """
        ...

    def feed(self, data: bytes, /) -> list[Any]:
        """Take the next bytes of the stream (perhaps none); return every message that is now whole, in order.

        Raises:
            FramingError: the bytes do not follow the framing. Whole messages before the fault are handed out first:
                the call that meets the fault returns them, and the next call (of `feed` or `feed_eof`, also with
                `b""`) raises; a fault with no message before it is raised at once. After a fault the codec stays
                faulty: every later call raises the same error, and `encode` still works.
        """
        ...

    def feed_eof(self) -> list[Any]:
        """The stream has ended: return what its end makes whole (an unterminated last line), else an empty list.

        Raises:
            TruncatedFrameError: the stream ended inside a frame; carries the partial bytes.
            FramingError: as for `feed`.
        """
        ...


@runtime_checkable
class FullCodec(Codec, Protocol):
    """What a codec may offer beyond the three methods. A connection asks for each with `getattr` and does without.

    Attributes:
        offset: bytes of the stream before those that are held (`buffered`), or before the next one to be fed. Errors
            tell it. A codec that takes over in mid-stream may be told where it begins: set it before the first `feed`.
        fault: the error that the next `feed` will raise; None while all is well. A connection that can look here does
            not ask by a feed of nothing after each batch.
    """

    offset: int
    fault: FramingError | None

    def encode_one(self, message: Any, /) -> bytes:
        """The same as `encode((message,))`, without the price of a batch."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes that came of a message that is not whole yet. 0 means: between messages.

        While an over-long frame is being passed over nothing of it is held; this says 1 then. After a fault: the
        bytes from the faulty frame on.
        """
        ...

    def take_faults(self) -> list[FrameTooLongError]:
        """The frames that the last `feed` skipped or truncated (`oversize`), one error for each; to be told, not
        raised: what follows them is right. Asked for after each `feed`, or not at all: the next `feed` forgets them.
        """
        ...

    # A codec may also have `feed_whole(data) -> list`: the messages of a datagram, where that is more than `feed` and
    # `feed_eof` of a fresh codec say. Only `chunks` needs it: an empty datagram is a message to it.

    def take_rest(self, unread: int = 0, /) -> bytes:
        """Give up: hand over all bytes of the stream that were not made messages, for another codec to read.

        To read on in another framing in the midst of a batch, messages that were decoded and that nobody has received
        yet become bytes again, as they came. They are found by decoding the batch anew, so that a codec notes nothing
        for it while it runs: this call may take as long as decoding that batch some twenty times.

        Args:
            unread: so many of the messages that the last call of `feed` (or `feed_eof`) has returned are given back.

        Returns:
            The bytes as they came, from the end of the last message that was kept. (After a fault: from the faulty
            frame on.) The codec holds nothing afterwards and can start over.

        Raises:
            FramingError: the bytes are not there any more: an over-long frame was being skipped or truncated.
            ValueError: the last call has not returned so many messages.
        """
        ...


class Framing(Protocol):
    """A description of how messages lie in the bytes. `str(framing)` is its name with its options, `parse` reads it."""

    def codec(self) -> Codec:
        """A fresh codec for one connection."""
        ...
