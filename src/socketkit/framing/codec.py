"""The contract of every framing: bytes become messages, messages become bytes, without I/O and without a clock.

A `Framing` is a frozen description that many connections share. Its `codec()` makes a fresh, stateful `Codec` for one
connection. Your own framing is any object with `codec()`, or the codec class itself. A codec needs only the three
methods of `Codec`; `FullCodec` lists the optional ones, and every codec of this package has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from socketkit.errors import FrameTooLongError, FramingError

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # checkers know it without the package

    M = TypeVar("M", default=Any)
else:
    from typing import TypeVar

    M = TypeVar("M")
"""The type of a framing's messages. Where it is not said (`Connection`, `Framing`) it is Any."""

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""What may be sent where messages are bytes."""

__all__ = ["BytesLike", "Codec", "ConnectionCodec", "Framing", "FullCodec", "M"]

DEFAULT_MAX_SIZE = 1024 * 1024
"""Largest payload of one frame, in bytes, inclusive: 1 MiB as websockets; asyncio's 64 KiB is exceeded too often."""


@runtime_checkable
class Codec(Protocol[M]):
    """Bytes <-> messages of one connection.

    For every codec: any cut of the bytes gives the same messages; `feed` gives back what `encode` makes; memory is
    bounded by `max_size` and one feed; time is linear in the bytes. A codec never changes what it is fed. It never
    keeps a reference to a buffer that its owner may use again; it may keep `bytes`, which are immutable.
    """

    def encode(self, messages: Iterable[M], /) -> bytes:
        """Return the bytes of all these messages, in order.

        Raises:
            FramingError: a message cannot be framed (too long, contains the delimiter, ...); none is encoded.
            TypeError: a message is of the wrong type; none is encoded.
        """
        ...

    def feed(self, data: bytes, /) -> list[M]:
        """Take `data`, the next bytes of the stream, perhaps none; return every message that is now whole, in order.

        Raises:
            FramingError: the bytes do not follow the framing. Whole messages before the error are returned first: the
                call that finds the error returns them, and the next call (`feed` or `feed_eof`, also with `b""`)
                raises. An error without a message before it is raised at once. Every later call raises the same
                error; `encode` still works.
        """
        ...

    def feed_eof(self) -> list[M]:
        """Take the end of the stream; return the message that it completes (an unterminated last line), or no message.

        Raises:
            TruncatedFrameError: the stream ended inside a frame; carries the partial bytes.
            FramingError: as for `feed`.
        """
        ...


@runtime_checkable
class FullCodec(Codec[M], Protocol[M]):
    """The optional part of a codec. Without it a connection works, but for what is said at each member.

    Attributes:
        offset: bytes of the stream before those that are held (`buffered`), or before the next one to be fed. Errors
            carry it. Set it before the first `feed` where a codec takes over in mid-stream.
        fault: the error that the next `feed` will raise, or None. Without this attribute a connection finds an error
            by a feed of no bytes after each batch.
    """

    offset: int
    fault: FramingError | None

    def encode_one(self, message: M, /) -> bytes:
        """Return the same as `encode((message,))`, faster."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes of a message that is not whole yet; 0 means: between messages.

        1 while an over-long frame is skipped, of which nothing is held. After an error: the bytes from the faulty frame
        on.
        """
        ...

    def take_faults(self) -> list[FrameTooLongError]:
        """Return one error for each frame that the last `feed` skipped or truncated (`oversize`).

        They are reported, not raised: what follows the frames is right. The next `feed` discards them.
        """
        ...

    # A codec may also have `feed_whole(data) -> list`: the messages of a datagram, where they differ from what `feed`
    # and `feed_eof` of a fresh codec return. Only `chunks` needs it: an empty datagram is a message to it.

    def take_rest(self, unread: int = 0, /) -> bytes:
        """Return all bytes of the stream that were not made messages, for another codec; hold nothing afterwards.

        Messages that were decoded and not received yet become bytes again, as they came. They are found by decoding
        the last batch anew, so that a codec records nothing for it. The price: up to some twenty times that of
        decoding the batch.

        Args:
            unread: how many of the messages of the last call of `feed` (or `feed_eof`) are given back.

        Returns:
            The bytes from the end of the last message that was kept; after an error, from the faulty frame on.
            Afterwards the codec is between messages and without an error. `offset` is that of the first byte that it
            has given back; it may be set again before the next `feed`.

        A codec with a state that messages change (a compression, a counter) must bring it back to where it was before
        the messages that it gives back. Where it cannot, it should have no `take_rest`.

        Raises:
            FramingError: the bytes are gone: an over-long frame was being skipped or truncated.
            ValueError: the last call has not returned so many messages.
        """
        ...


class ConnectionCodec:
    """What a connection uses of a codec: the one type that it knows.

    Each codec of this package is one; `adapter.adapt` makes one of any other.

    Attributes:
        offset, fault: as in `FullCodec`.
        keeps_cuts: True where the messages are what single system calls brought: then a feed is never divided.
        portion: bytes that are decoded in one go, at most: so many of the shortest frames take some 20 ms.
        must_probe: True where an error behind messages shows only by a feed of no bytes (`probe`).
        gives_back: False where `take_rest` works only between messages, after `feed_first`.
        is_skipping: whether the rest of an over-long frame is still to be dropped.
        has_open_end: whether the message that `feed_eof` returned was ended by the end of the stream alone.
        resumes_native: True where what the compiled core leaves to the codec is no error, so that it goes on behind it.
    """

    __slots__ = ()

    keeps_cuts: ClassVar[bool] = False
    portion: ClassVar[int] = 16 * 1024
    must_probe: bool = False
    gives_back: bool = True

    @property
    def resumes_native(self) -> bool:
        """See the class."""
        return False

    @property
    def is_skipping(self) -> bool:
        """See the class."""
        return False

    @property
    def has_open_end(self) -> bool:
        """See the class."""
        return True

    @property
    def offset(self) -> int:
        """See `FullCodec`."""
        raise NotImplementedError

    @offset.setter
    def offset(self, offset: int) -> None: ...

    @property
    def fault(self) -> FramingError | None:
        """See `FullCodec`."""
        raise NotImplementedError

    def encode(self, messages: Iterable[Any], /) -> bytes:
        """See `Codec`."""
        raise NotImplementedError

    def encode_one(self, message: Any, /) -> bytes:
        """See `FullCodec`."""
        return self.encode((message,))

    def feed(self, data: bytes, /) -> list[Any]:
        """See `Codec`."""
        raise NotImplementedError

    def feed_eof(self) -> list[Any]:
        """See `Codec`."""
        raise NotImplementedError

    @property
    def feed_whole(self) -> Callable[[bytes], list[Any]] | None:
        """Returns the messages of a datagram; None where `feed` and `feed_eof` of a fresh codec do."""
        return None

    @property
    def buffered(self) -> int:
        """See `FullCodec`."""
        raise NotImplementedError

    def take_faults(self) -> list[FrameTooLongError]:
        """See `FullCodec`."""
        raise NotImplementedError

    def take_rest(self, unread: int = 0, /) -> bytes:
        """See `FullCodec`."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop the bytes of messages that were all received: `take_rest` will not give them back."""

    def probe(self) -> None:
        """Look for an error behind the messages of the last feed; it is in `fault` then."""

    def next_cut(self, data: bytes, start: int, size: int) -> int:
        """Return where to divide data that is to be fed in portions of about `size` bytes from `start` on.

        A codec moves the cut to where it costs least. Any cut gives the same messages.
        """
        return min(start + size, len(data))

    def first_cut(self, data: bytes | bytearray, start: int) -> int:
        """Return where a feed from `start` on must end so that it makes one message whole at most.

        The end of the data, where no frame is whole in it. Behind the rest of an over-long frame that is skipped.
        """
        return len(data)

    def feed_first(self, data: bytes | bytearray, start: int) -> tuple[list[Any], int]:
        """Feed from `start` on, up to the end of the first message, or of the first frame that is skipped.

        Costs what is read, whatever lies behind it.

        Returns:
            The message, if one is whole, and where the feed has ended. An error is in `fault`, and not raised.
        """
        end = self.first_cut(data, start)
        try:
            return self.feed(bytes(memoryview(data)[start:end])), end
        except FramingError:
            return [], end

    def skip_blank(self, data: bytes | bytearray, start: int) -> int:
        """Return where the bytes behind a message begin: behind what still belongs to it, where a framing says so."""
        return start


def native_description(framing: Framing[Any]) -> tuple[Any, ...] | None:
    """Return what the compiled core needs to know of a framing; None: its codec has every byte.

    A subclass may have a codec of its own, so what its base says is not asked.
    """
    return getattr(framing, "native", None) if "native" in vars(type(framing)) else None


class Framing(Protocol[M]):
    """A description of how messages lie in the bytes. `str(framing)` is its name with its options; `parse` reads it."""

    def codec(self) -> Codec[M]:
        """Return a fresh codec for one connection."""
        ...
