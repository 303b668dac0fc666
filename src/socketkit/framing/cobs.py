"""`cobs`: consistent overhead byte stuffing (Cheshire and Baker, 1999), frames over a serial line.

A zero byte ends a frame and stands nowhere else: each zero of the message becomes the distance to the next. Costs one
byte for each 254. Zeros in a row mean nothing (a sender may put one first, to end a frame that was cut) and are not
messages; the empty message is the frame 01. `max_size` counts the message as it was before stuffing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, oversize

__all__ = ["Cobs"]

_RUN = 254
"""Bytes that are not zero and that one code byte can lead; the code 0xff says: so many, and no zero after them."""


class Cobs(FramingSpec[bytes]):
    """Frames over a serial line, with consistent overhead byte stuffing."""

    name = "cobs"
    title = "frames over a serial line, zeros stuffed"

    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _CobsCodec(self)


class _CobsCodec(DelimiterCodec):
    __slots__ = ()

    portion = 16 * 1024  # 1 us a message, which may be two bytes

    _framing: Cobs
    _ends_with_stream = False
    _drops_blank = True

    def __init__(self, framing: Cobs) -> None:
        super().__init__(framing, b"\0", max_frame_size=framing.max_size + framing.max_size // _RUN + 1)

    def _read(self, block: bytes) -> list[Any]:
        return [_unstuff(frame) for frame in block.split(b"\0") if frame]

    def _payload_size(self, frame: bytes | bytearray) -> int:
        return len(_unstuff(bytes(frame), strict=False))

    def _truncated(self, frame: bytes) -> Any:
        beginning = frame[: self._max_frame_size]
        return _unstuff(beginning, strict=False)[: self._max_size]

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        if sum(map(len, payloads)) > self._max_size:
            check_sizes(self._framing, payloads)
        return b"".join([_stuff(payload) for payload in payloads])


def _unstuff(frame: bytes, *, strict: bool = True) -> bytes:
    """The message in a frame (without its zero).

    Args:
        strict: a run that the end of the frame cuts is an error; else it is taken as far as it goes.

    Raises:
        ValueError: the last run is cut.
    """
    pieces = []
    position, size = 0, len(frame)
    while position < size:
        code = frame[position]
        end = position + code
        pieces.append(frame[position + 1 : end])
        if code != 0xFF and end < size:
            pieces.append(b"\0")
        position = end
    if strict and position != size:
        raise ValueError(f"a run of {code - 1} bytes is cut {position - size} bytes short in the frame")
    return b"".join(pieces)


def _stuff(message: bytes) -> bytes:
    """The frame of a message, with the zero that ends it."""
    pieces: list[bytes] = []
    for piece in message.split(b"\0"):
        position, size = 0, len(piece)
        while size - position >= _RUN:
            pieces += (b"\xff", piece[position : position + _RUN])
            position += _RUN
        pieces += (bytes((size - position + 1,)), piece[position:] if position else piece)
    if len(pieces) > 2 and pieces[-1] == b"" and pieces[-4] == b"\xff":
        del pieces[-2:]  # a full run at the very end needs no further code: the end of the frame says it
    pieces.append(b"\0")
    return b"".join(pieces)
