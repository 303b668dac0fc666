"""The promise of every framing: bytes become messages, messages become bytes, without I/O and without a clock.

A `Framing` is a frozen description that many connections share; its `codec()` makes a fresh, stateful `Codec` for one
direction pair of one connection. A framing of your own is any object with `codec()`, or simply the codec class itself;
the codec needs nothing but the three methods below.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

__all__ = ["Codec", "Framing"]

DEFAULT_MAX_SIZE = 1024 * 1024
"""Largest payload of one frame, in bytes, inclusive: 1 MiB, as websockets has it; 64 KiB burns people (asyncio)."""


@runtime_checkable
class Codec(Protocol):
    """One conversation's bytes <-> messages.

    For every codec: any cutting of the bytes gives the same messages; what `encode` makes, `feed` gives back; memory is
    bounded by `max_size` and one feed; time is linear in the bytes. A codec never keeps a reference to the buffer that
    it is fed, and never changes it.
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


class Framing(Protocol):
    """A description of how messages lie in the bytes. `str(framing)` is its name with its options, `parse` reads it."""

    def codec(self) -> Codec:
        """A fresh codec for one connection."""
        ...
