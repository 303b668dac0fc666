"""Messages of WebSocket, without I/O: frames joined to messages, text checked, compression undone.

`MessageDecoder` is this in Python, and names what is wrong; `new_decoder` makes the compiled one where there is one.
What a peer may not do is one error with a close code. Nothing is held beyond `max_size`, and one portion of bytes.
"""

from __future__ import annotations

import codecs
from typing import Any, Final, Protocol

from socketkit._core import MessageReader
from socketkit.errors import FrameTooLongError, FramingError
from socketkit.websocket.deflate import Deflate
from socketkit.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    RSV1,
    TEXT,
    PartFrame,
    apply_mask,
    protocol_error,
    read_part,
    split_frames,
    too_long,
)

__all__ = ["Decoder", "MessageDecoder", "new_decoder"]

_new_utf8 = codecs.getincrementaldecoder("utf-8")
_TEXT_WHOLE: Final = FIN | TEXT
_BINARY_WHOLE: Final = FIN | BINARY


class Decoder(Protocol):
    """What both decoders have; see `MessageDecoder`."""

    fault: FramingError | None

    @property
    def buffered(self) -> int:
        """See `MessageDecoder`."""

    @property
    def is_open(self) -> bool:
        """See `MessageDecoder`."""

    def feed(self, data: bytes, /) -> list[tuple[int, Any]]:
        """See `MessageDecoder`."""

    def take_held(self) -> bytes:
        """See `MessageDecoder`."""


def new_decoder(*, is_masked: bool, max_size: int, deflate: Deflate | None = None) -> Decoder:
    """Return a decoder: the compiled one, else the one in Python. See `MessageDecoder` for the arguments."""
    if MessageReader is None:
        return MessageDecoder(is_masked=is_masked, max_size=max_size, deflate=deflate)
    made: Decoder = MessageReader(MessageDecoder, is_masked, max_size, _max_frame_size(max_size, deflate), deflate)
    return made


def _max_frame_size(max_size: int, deflate: Deflate | None) -> int:
    # What does not compress grows a little: five bytes for each block (RFC 1951, 3.2.4).
    return max_size if deflate is None else max_size + (max_size >> 10) + 64


class MessageDecoder:
    """Bytes of one peer to messages and control frames.

    Args:
        is_masked: whether the peer is a client.
        max_size: bytes of the largest message, inclusive, after compression is undone.
        deflate: None: no compression was agreed on.

    Attributes:
        fault: what the peer has done wrong; nothing is decoded behind it.
    """

    __slots__ = (
        "_deflate",
        "_held",
        "_is_compressed",
        "_is_masked",
        "_max_frame_size",
        "_max_size",
        "_needed",
        "_opcode",
        "_part",
        "_part_utf8",
        "_parts",
        "_size",
        "_utf8",
        "fault",
    )

    def __init__(self, *, is_masked: bool, max_size: int, deflate: Deflate | None = None) -> None:
        self._is_masked = is_masked
        self._max_size = max_size
        self._max_frame_size = _max_frame_size(max_size, deflate)
        self._deflate = deflate
        self._held = bytearray()
        self._needed = 2
        self._opcode: int | None = None  # of the message whose fragments come
        self._parts: list[Any] = []
        self._size = 0
        self._is_compressed = False
        self._utf8: codecs.IncrementalDecoder | None = None
        self._part: PartFrame | None = None  # what is held, when its head came
        self._part_utf8: codecs.IncrementalDecoder | None = None
        self.fault: FramingError | None = None

    @property
    def buffered(self) -> int:
        """Bytes that are held of a message that is not whole."""
        return len(self._held) + self._size + (self._opcode is not None)

    @property
    def is_open(self) -> bool:
        """Whether a fragment came, and not the last one."""
        return self._opcode is not None

    def take_held(self) -> bytes:
        """Take back the bytes of a frame that is not whole, between two messages.

        Raises:
            ValueError: a message is under way.
        """
        if self._opcode is not None:
            raise ValueError("a message is under way")
        data = bytes(self._held)
        self._held.clear()
        self._needed = 2
        return data

    def feed(self, data: bytes, /) -> list[tuple[int, Any]]:
        """Return what is now whole: (TEXT, str), (BINARY, bytes), and control frames with their payload.

        Never raises: an error is in `fault`, behind what came before it. Nothing is decoded behind a close frame.
        """
        if self.fault is not None:
            return []
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                self._check_held(data)
                return []
            data = bytes(held)
            held.clear()
        batch = split_frames(data, 0, is_masked=self._is_masked, max_size=self._max_frame_size)
        self._needed = batch.needed
        found: list[tuple[int, Any]] = []
        try:
            for first, payload in batch.frames:
                if first & 0x08:
                    found.append((first & 0x0F, payload))
                    if first & 0x0F == CLOSE:
                        return found
                    continue
                message = self._take(first, payload)
                if message is not None:
                    found.append(message)
        except FramingError as error:
            self.fault = error
            return found
        self.fault = _named(batch.fault, self._max_size)
        if batch.end < len(data) and batch.fault is None:
            held += memoryview(data)[batch.end :]
            self._part = self._part_utf8 = None
            self._check_held(held)
        return found

    def _check_held(self, data: bytes | bytearray) -> None:
        """Check the text of a frame that is not whole (8.1): `data` is new, and was appended to what is held.

        It is decoded again when it is whole.
        """
        held = self._held
        if self._part is None:
            self._part = read_part(held, is_masked=self._is_masked)
            if self._part is None:
                return
            self._part_utf8 = self._new_part_utf8(self._part.first)
            data = memoryview(held)[self._part.body :].tobytes()
        if self._part_utf8 is None:
            return
        if (mask := self._part.mask) is not None:
            turn = (len(held) - len(data) - self._part.body) % 4
            data = apply_mask(bytes(data), mask[turn:] + mask[:turn])
        try:
            self._part_utf8.decode(data)
            self._check_surrogate(self._part_utf8)
        except UnicodeDecodeError as error:
            self.fault = _not_utf8(error)
        except FramingError as error:
            self.fault = error

    def _new_part_utf8(self, first: int) -> codecs.IncrementalDecoder | None:
        """Return what checks the text of a frame that begins so; None: it has none, or it is compressed."""
        opcode = first & 0x0F
        if first & RSV1 or opcode != (TEXT if self._opcode is None else CONTINUATION):
            return None
        if self._opcode is None:
            return _new_utf8()
        if self._utf8 is None or self._is_compressed:
            return None
        made = _new_utf8()
        made.setstate(self._utf8.getstate())
        return made

    def _check_surrogate(self, utf8: codecs.IncrementalDecoder) -> None:
        """Refuse half a surrogate, for whose rest Python waits; raises FramingError."""
        held = utf8.getstate()[0]
        if held[:1] == b"\xed" and held[1:] >= b"\xa0":
            raise self.text_fault(held)

    def _take(self, first: int, payload: bytes) -> tuple[int, Any] | None:
        """Take a frame of data; return the message that it completes."""
        if self._opcode is None:
            if first in (_TEXT_WHOLE, _BINARY_WHOLE):
                if len(payload) > self._max_size:
                    raise too_long(len(payload), self._max_size)
                return (TEXT, _text(payload)) if first == _TEXT_WHOLE else (BINARY, payload)
            self._begin(first)
        elif first & 0x0F != CONTINUATION or first & RSV1:
            raise self.order_fault(first, True, self._deflate is not None)
        return self._continue(payload, is_last=bool(first & FIN))

    def _begin(self, first: int) -> None:
        opcode = first & 0x0F
        self._is_compressed = bool(first & RSV1)
        if opcode == CONTINUATION or (self._is_compressed and self._deflate is None):
            raise self.order_fault(first, False, self._deflate is not None)
        self._opcode = opcode
        self._utf8 = _new_utf8() if opcode == TEXT else None

    def _continue(self, payload: bytes, *, is_last: bool) -> tuple[int, Any] | None:
        if self._is_compressed and self._deflate is not None:
            payload = self._deflate.decompress(payload, self._max_size - self._size, is_last)
        self._size += len(payload)
        if self._size > self._max_size:
            raise too_long(self._size, self._max_size)
        utf8, opcode = self._utf8, self._opcode
        if utf8 is not None:
            try:
                self._parts.append(utf8.decode(payload, is_last))
            except UnicodeDecodeError as error:
                raise _not_utf8(error) from None
            self._check_surrogate(utf8)
        else:
            self._parts.append(payload)
        if not is_last:
            if len(self._parts) > 1024:  # one byte a fragment: hold the bytes, not a list of them
                self._parts = ["".join(self._parts) if utf8 is not None else b"".join(self._parts)]
            return None
        parts, self._parts, self._size, self._opcode, self._utf8 = self._parts, [], 0, None, None
        if len(parts) == 1:
            return (TEXT if utf8 is not None else BINARY), parts[0]
        return (TEXT, "".join(parts)) if opcode == TEXT else (BINARY, b"".join(parts))

    # What is wrong, for both decoders.

    @staticmethod
    def head_fault(data: bytes, is_masked: bool, max_frame_size: int, max_size: int, /) -> FramingError | None:
        """What is wrong with the head of a frame, which begins the bytes."""
        return _named(split_frames(data, 0, is_masked=is_masked, max_size=max_frame_size).fault, max_size)

    @staticmethod
    def order_fault(first: int, is_open: bool, has_deflate: bool, /) -> FramingError:
        """What is wrong with a frame at this place.

        Args:
            first: its first byte.
            is_open: whether a message was begun and has not ended.
            has_deflate: whether compression was agreed on.
        """
        if first & 0x0F == CONTINUATION and not is_open:
            return protocol_error("a continuation comes where no message was begun")
        if first & 0x0F != CONTINUATION and is_open:
            return protocol_error("a message begins before the one before it has ended")
        if is_open:
            return protocol_error("a continuation has the reserved bit RSV1")
        assert not has_deflate
        return protocol_error("a frame has the reserved bit RSV1, and no compression was agreed on")

    size_fault = staticmethod(too_long)

    @staticmethod
    def text_fault(data: bytes, /) -> FramingError:
        """What is wrong with a text that ends so, or is wrong so far."""
        try:
            data.decode()
        except UnicodeDecodeError as error:
            return _not_utf8(error)
        raise AssertionError("it is UTF-8")

    @staticmethod
    def raised_fault(error: Exception, /) -> FramingError:
        """An error of the decompression.

        Raises:
            Exception: it is none that a peer has caused.
        """
        if not isinstance(error, FramingError):
            raise error
        return error


def _named(fault: FramingError | None, max_size: int) -> FramingError | None:
    """Name the limit of messages, and not the larger one of compressed frames."""
    return too_long(fault.size, max_size) if isinstance(fault, FrameTooLongError) else fault


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error) from None


def _not_utf8(error: UnicodeDecodeError) -> FramingError:
    return protocol_error(f"a text is not UTF-8: {error.reason}", 1007)
