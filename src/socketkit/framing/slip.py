"""`slip`: RFC 1055, packets over a serial line.

A byte 0xC0 ends a packet; within it, 0xC0 and 0xDB are escaped. Empty packets mean nothing (senders put an extra end
first, to flush the noise of the line) and are not messages. `max_size` counts the packet, without escapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.errors import FramingError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.delimiter_decoder import DelimiterCodec
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, oversize

__all__ = ["Slip"]

END = b"\xc0"
ESC = b"\xdb"
ESC_END = b"\xdb\xdc"
ESC_ESC = b"\xdb\xdd"


class Slip(FramingSpec[bytes]):
    """Packets over a serial line, RFC 1055."""

    name = "slip"
    title = "packets over a serial line (RFC 1055)"

    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _SlipCodec(self)


class _SlipCodec(DelimiterCodec):
    __slots__ = ()

    portion = 16 * 1024  # 1 us a message, which may be two bytes

    _framing: Slip
    _ends_with_stream = False
    _drops_blank = True

    def __init__(self, framing: Slip) -> None:
        super().__init__(framing, END, max_frame_size=2 * framing.max_size)  # each byte escaped

    def _read(self, block: bytes) -> list[Any]:
        packets = block.split(END)
        if ESC not in block:
            return [packet for packet in packets if packet]
        return [_unescape(packet) if ESC in packet else packet for packet in packets if packet]

    def _payload_size(self, frame: bytes | bytearray) -> int:
        return len(frame) - frame.count(ESC)

    def _truncated(self, frame: bytes) -> Any:
        # Of twice the limit, at least the limit is left; an escape that this cut parts stands behind it.
        beginning = frame[: self._max_frame_size]
        return _unescape(beginning[:-1] if beginning.endswith(ESC) else beginning)[: self._max_size]

    def encode(self, messages: Iterable[Any], /) -> bytes:
        packets = as_bytes_list(messages, self._text)
        for index, packet in enumerate(packets):
            if not packet:
                raise FramingError(
                    f"{self._text}: message {index} is empty, which receivers drop (RFC 1055); nothing was encoded; "
                    "use cobs or netstring for empty messages",
                    framing=self._text,
                )
        if sum(map(len, packets)) > self._max_size:
            check_sizes(self._framing, packets)
        return b"".join([packet.replace(ESC, ESC_ESC).replace(END, ESC_END) + END for packet in packets])


def _unescape(packet: bytes) -> bytes:
    """The packet without escapes.

    Raises:
        ValueError: an escape is followed by neither of the two bytes that may follow. RFC 1055 leaves the
            choice; no byte is made up.
    """
    begin, *escaped = packet.split(ESC)
    pieces = [begin]
    for piece in escaped:
        if piece[:1] == b"\xdc":
            pieces.append(END)
        elif piece[:1] == b"\xdd":
            pieces.append(ESC)
        else:
            followed = f"byte {piece[0]:#04x}" if piece else "nothing"
            raise ValueError(f"the escape 0xdb is followed by {followed}, not by 0xdc or 0xdd, in the packet")
        pieces.append(piece[1:])
    return b"".join(pieces)
