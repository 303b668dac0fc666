"""Make a codec of the user's own look like those of this package, and hold it to its contract.

A codec may have the three methods of `Codec` alone, or any of the optional members of `FullCodec`. Which ones it has is
looked up here, once for each codec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from socketkit.errors import FrameTooLongError, FramingError
from socketkit.framing.codec import Codec, ConnectionCodec

__all__ = ["CodecAdapter", "adapt"]

_PIECE = 64
"""Bytes that are fed at first to find one message; then twice as many, and so on."""


def adapt(codec: Codec | ConnectionCodec) -> ConnectionCodec:
    """Return the codec as a connection uses it: itself, or an adapter around it."""
    return codec if isinstance(codec, ConnectionCodec) else CodecAdapter(codec)


class CodecAdapter(ConnectionCodec):
    """A foreign codec. What it lacks is replaced; what it returns is checked.

    Raises:
        TypeError: from `encode`, `feed` and `feed_eof`, where the codec returns something else than its contract says.
    """

    __slots__ = (
        "_codec",
        "_encode_one",
        "_fault",
        "_has_fault",
        "_has_part",
        "_name",
        "feed_whole",
        "gives_back",
        "must_probe",
    )

    feed_whole: Callable[[bytes], list[Any]] | None

    def __init__(self, codec: Codec) -> None:
        self._codec: Any = codec
        self._name = type(codec).__name__
        self._fault: FramingError | None = None
        self._has_fault = hasattr(codec, "fault")
        self._encode_one: Callable[[Any], object] | None = getattr(codec, "encode_one", None)
        self.feed_whole = getattr(codec, "feed_whole", None)
        self.must_probe = not self._has_fault
        self.gives_back = hasattr(codec, "take_rest")
        self._has_part = True  # as far as is known: `feed_first` finds where a message ends

    def encode(self, messages: Iterable[Any], /) -> bytes:
        return self._as_bytes(self._codec.encode(messages), "encode")

    def encode_one(self, message: Any, /) -> bytes:
        if self._encode_one is None:
            return self.encode((message,))
        return self._as_bytes(self._encode_one(message), "encode_one")

    def feed(self, data: bytes, /) -> list[Any]:
        self._has_part = True
        return self._as_list(self._codec.feed(data), "feed")

    def feed_first(self, data: bytes | bytearray, start: int) -> tuple[list[Any], int]:
        """Feed pieces, and take back what one piece too much has made whole.

        A codec without `take_rest` is fed byte by byte: then it holds nothing where a message ends.
        """
        size = _PIECE if self.gives_back else 1
        messages: list[Any] = []
        while start < len(data) and not messages:
            end = min(start + size, len(data))
            try:
                messages = self.feed(bytes(memoryview(data)[start:end]))
            except FramingError as error:
                self._fault = error
                return [], end
            start = end
            size *= 2 if self.gives_back else 1
        if len(messages) > 1 and self.gives_back:
            start -= len(self.take_rest(len(messages) - 1))
            del messages[1:]
        self._has_part = not messages
        return messages, start

    def feed_eof(self) -> list[Any]:
        return self._as_list(self._codec.feed_eof(), "feed_eof")

    @property
    def fault(self) -> FramingError | None:
        return self._codec.fault if self._has_fault and self._fault is None else self._fault

    @property
    def offset(self) -> int:
        return getattr(self._codec, "offset", 0)

    @offset.setter
    def offset(self, offset: int) -> None:
        if hasattr(self._codec, "offset"):
            self._codec.offset = offset

    @property
    def buffered(self) -> int:
        return getattr(self._codec, "buffered", 0)

    def take_faults(self) -> list[FrameTooLongError]:
        take_faults: Callable[[], list[FrameTooLongError]] | None = getattr(self._codec, "take_faults", None)
        return [] if take_faults is None else take_faults()

    def take_rest(self, unread: int = 0, /) -> bytes:
        take_rest: Callable[[int], object] | None = getattr(self._codec, "take_rest", None)
        if take_rest is None:
            if not self._has_part and not unread:
                return b""
            raise TypeError(f"{self._name} has no take_rest: it cannot give back the bytes that it has read")
        rest = self._as_bytes(take_rest(unread), "take_rest")
        self._fault = None
        return rest

    def probe(self) -> None:
        try:
            messages = self.feed(b"")
        except FramingError as error:
            self._fault = error
            return
        if messages:  # it would do so for ever, and a receiver would never come to a wait
            raise TypeError(f"{self._name}.feed(b'') returned {len(messages)} messages; no bytes make no message whole")

    def _as_bytes(self, made: object, method: str) -> bytes:
        if type(made) is bytes:
            return made
        if isinstance(made, (bytes, bytearray, memoryview)):
            return bytes(made)
        raise TypeError(f"{self._name}.{method} returned {type(made).__name__}, not bytes")

    def _as_list(self, made: object, method: str) -> list[Any]:
        if type(made) is list:
            return made
        if isinstance(made, (list, tuple)):
            return list(made)
        raise TypeError(f"{self._name}.{method} returned {type(made).__name__}, not a list of messages")
