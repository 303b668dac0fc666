"""The state of both directions of one connection, in Python; `session.c` is the same, compiled, and decodes as well.

Here no framing is native: the codec of `connection.session` has every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableSequence
from typing import TYPE_CHECKING, Any, Final

__all__ = ["NOTHING", "PART", "UNUSUAL", "WHOLE", "SessionCore"]

PART: Final = 0
"""More bytes are needed for a message."""

WHOLE: Final = 1
"""A message, or as many as were asked for, are there."""

UNUSUAL: Final = 2
"""The codec is to look at the bytes: something is wrong, or over a limit."""


NOTHING: Final = object()
"""Returned where there is no message."""


class SessionCore:
    """What the hot path needs of a session; see `connection.session`."""

    __slots__ = (
        "_end", "_has_work", "drain_waiters", "encode_one", "has_backlog", "is_draining", "is_receiving", "is_refused",
        "outgoing", "outgoing_size", "received_count", "received_size", "sent_count", "sent_size", "waiting",
    )  # fmt: skip

    _end: BaseException | None
    _has_work: bool
    drain_waiters: dict[Any, None] | None
    encode_one: Callable[[Any], bytes] | None
    has_backlog: bool
    is_draining: bool
    is_receiving: bool
    is_refused: bool
    outgoing: MutableSequence[bytes]
    outgoing_size: int
    received_count: int
    received_size: int
    sent_count: int
    sent_size: int
    waiting: list[Any]

    is_native = False
    """Whether received bytes are kept and decoded here."""
    _pending = 0
    """Bytes that were not decoded."""
    _out_size = 0
    """Bytes that were encoded here and not taken."""

    def __init__(self) -> None:
        self.waiting = []
        self.outgoing = []
        self._end = self.drain_waiters = None
        self._has_work = self.has_backlog = self.is_draining = self.is_receiving = self.is_refused = False
        self.outgoing_size = self.received_count = self.received_size = self.sent_count = self.sent_size = 0

    def _use_native(self, description: tuple[Any, ...] | None, /) -> bool:
        """Keep and decode bytes here from now on; False: such a framing cannot."""
        return False

    def _encode(self, messages: Collection[Any], /) -> bool:
        """Append messages to the outgoing bytes; False: the codec is to encode them."""
        return False

    def _leave(self) -> None:
        """Keep and decode bytes here no more; those that are encoded still are."""

    def _take_one(self) -> Any:
        """Take the oldest message, decoded before or now; NOTHING: there is none."""
        return self.waiting.pop() if self.waiting else NOTHING

    def _count(self) -> int:
        """Return how many whole frames are among the bytes that were not decoded."""
        return 0

    def _drop(self) -> None:
        """Drop all received bytes."""

    def _drop_out(self) -> None:
        """Drop the outgoing bytes that were encoded here."""

    if TYPE_CHECKING:  # only where a framing is native

        def _put(self, data: bytes, /) -> None:
            """Append received bytes."""

        def _decode(self, limit: int, /) -> int:
            """Decode messages into `waiting`; return PART, WHOLE (the limit was reached) or UNUSUAL."""

        def _rewind(self) -> None:
            """Make the messages in `waiting` bytes again."""

        def _take_bytes(self) -> bytes:
            """Take all bytes that were not decoded."""

        def _take_out(self) -> bytes:
            """Take the outgoing bytes that were encoded here."""
