"""`varint`: the size as a varint, the payload: delimited messages of Protocol Buffers.

A varint holds seven bits a byte, the least first; the highest bit says that more follow. We send the shortest form;
a longer form of the same number is accepted, as protobuf's own readers do, up to the ten bytes that 64 bits need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import FramingSpec, max_size, oversize

__all__ = ["Varint"]

_MAX_VARINT_SIZE = 10


class Varint(FramingSpec):
    """The size as a varint, the payload: protobuf's delimited messages."""

    name = "varint"
    title = "size as a varint, payload (protobuf)"

    max_size: int = max_size()
    oversize: str = oversize("fail", "skip", "truncate")

    def codec(self) -> _VarintCodec:
        """Return a fresh codec for one connection."""
        return _VarintCodec(self)


class _VarintCodec(LengthPrefixedCodec):
    __slots__ = ()

    portion = 16 * 1024  # 0.6 us a message, which may be a single byte

    def __init__(self, framing: Varint) -> None:
        super().__init__(framing)

    @property
    def native(self) -> tuple[Any, ...] | None:
        if self._oversize != "fail":
            return None
        return ("varint", self._max_size)

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        number = data[start]
        if number < 0x80:
            return start + 1, number
        number &= 0x7F
        for index, byte in enumerate(data[start + 1 : start + _MAX_VARINT_SIZE], 1):
            number |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if number >> 64:
                    raise ValueError("the size does not fit 64 bits in the frame")
                return start + index + 1, number
        if len(data) - start >= _MAX_VARINT_SIZE:
            raise ValueError(f"the size is a varint of more than {_MAX_VARINT_SIZE} bytes in the frame")
        return None

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        data = b"".join([_varint(len(payload)) + payload for payload in payloads])
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data


_SHORT = [bytes([number]) for number in range(0x80)]


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SHORT[number]
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
