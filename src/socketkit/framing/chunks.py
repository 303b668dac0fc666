"""`chunks`: bytes as they come.

A chunk is what one system call returned; its borders mean nothing, and the peer's sends are cut and joined freely.
Nothing is held, so nothing can be too long: there is no `max_size`. Of a datagram socket: the datagram as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from socketkit.errors import FrameTooLongError
from socketkit.framing.codec import Codec, ConnectionCodec
from socketkit.framing.decoder import wrong_type
from socketkit.framing.spec import FramingSpec

__all__ = ["Chunks"]


class Chunks(FramingSpec[bytes]):
    """Bytes as they come: each message is what one system call returned."""

    name = "chunks"
    title = "bytes as they come"

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _ChunksCodec()

    @property
    def native(self) -> tuple[Any, ...] | None:
        return ("chunks",)


class _ChunksCodec(ConnectionCodec):
    """Returns what it is fed. Another cut of the bytes is another list of messages: their concatenation is promised."""

    __slots__ = ("_last", "offset")

    fault = None
    keeps_cuts = True

    def __init__(self) -> None:
        self.offset = 0
        self._last = b""

    def encode(self, messages: Iterable[bytes | bytearray | memoryview], /) -> bytes:
        try:
            return b"".join(messages)
        except TypeError as error:
            raise wrong_type("chunks", error) from None

    def encode_one(self, message: bytes | bytearray | memoryview, /) -> bytes:
        return message if type(message) is bytes else self.encode((message,))

    def feed(self, data: bytes, /) -> list[bytes]:
        if type(data) is not bytes:
            data = bytes(data)  # a view of a buffer that its owner will use again
        self._last = data
        self.offset += len(data)
        return [data] if data else []

    @property
    def feed_whole(self) -> Callable[[bytes], list[bytes]]:
        return _datagram

    @property
    def buffered(self) -> int:
        return 0

    def release(self) -> None:
        self._last = b""

    def feed_eof(self) -> list[bytes]:
        self._last = b""
        return []

    def take_faults(self) -> list[FrameTooLongError]:
        return []

    def take_rest(self, unread: int = 0, /) -> bytes:
        last, self._last = self._last, b""
        self.offset -= len(last) if unread else 0
        return last if unread else b""


def _datagram(data: bytes) -> list[bytes]:
    """Return the message of a datagram: an empty one is a message too."""
    return [data]
