"""`varint`: the size as a varint, the payload: delimited messages of Protocol Buffers.

A varint holds seven bits a byte, the least first; the highest bit says that more follow. We send the shortest form;
a longer form of the same number is accepted, as protobuf's own readers do, up to the ten bytes that 64 bits need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.config.option_types import count_kind
from socketkit.errors import FramingError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import Count, FramingSpec, Oversize, Size, max_size, option, oversize

__all__ = ["Varint"]

_MAX_VARINT_SIZE = 10


class Varint(FramingSpec[bytes]):
    """The size as a varint, the payload: protobuf's delimited messages."""

    name = "varint"
    title = "size as a varint, payload (protobuf)"

    before: Count = option(
        count_kind(0, 1024), "Bytes before the size; they begin each message (1: MQTT's packets).", default=0
    )
    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _HeadedVarintCodec(self) if self.before else _VarintCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        return ("varint", self.max_size) if self.oversize == "fail" and not self.before else None


class _VarintCodec(LengthPrefixedCodec):
    __slots__ = ()

    portion = 16 * 1024  # 0.6 us a message, which may be a single byte

    def __init__(self, framing: Varint) -> None:
        super().__init__(framing, keep_header=framing.before > 0)

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


class _HeadedVarintCodec(_VarintCodec):
    """Bytes, the size as a varint, the payload. A message is the bytes and the payload, without the size."""

    __slots__ = ("_before",)

    def __init__(self, framing: Varint) -> None:
        super().__init__(framing)
        self._before = framing.before

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        start += self._before
        return super()._header(data, start) if start < len(data) else None

    def _cut(self, data: bytes, messages: list[Any], start: int = 0) -> int:
        frames: list[bytes] = []
        end = super()._cut(data, frames, start)
        before, header = self._before, self._header
        for frame in frames:
            begin, _ = header(frame, 0) or (before, 0)
            messages.append(frame[:before] + frame[begin:])
        return end

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads, before = as_bytes_list(messages, self._text), self._before
        for index, payload in enumerate(payloads):
            if len(payload) < before:
                raise FramingError(
                    f"{self._text}: message {index} has {len(payload)} bytes, and begins with the {before} before its "
                    "size (before); nothing was encoded",
                    framing=self._text,
                )
        data = b"".join([each[:before] + _varint(len(each) - before) + each[before:] for each in payloads])
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads, lambda payload: len(payload) - before)
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
