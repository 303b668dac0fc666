"""`fixed`: every message has the same size, and nothing stands between them.

The size is the limit, so there is no `max_size`. A stream that ends inside a message is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from socketkit.config.option_types import size_kind
from socketkit.errors import FramingError
from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list
from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import FramingSpec, Size, option

__all__ = ["Fixed"]


class Fixed(FramingSpec[bytes]):
    """Messages of one size: `Fixed(16)`."""

    name = "fixed"
    title = "messages of one size"
    oversize = "fail"

    size: Size = option(size_kind(minimum=1, maximum=2**31 - 1), "Bytes of each message.")

    @property
    def max_size(self) -> int:
        """The size: no message is longer."""
        return self.size

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _FixedCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        return ("fixed", self.size)

    def _arguments(self) -> list[str]:
        return [str(self.size)]

    @classmethod
    def _read_bare(cls, argument: str) -> Mapping[str, object]:
        return {"size": argument}


class _FixedCodec(LengthPrefixedCodec):
    __slots__ = ("_size",)

    def __init__(self, framing: Fixed) -> None:
        super().__init__(framing)
        self._size = self._needed = framing.size

    def _missing(self, data: bytes, start: int) -> int:
        return self._size - len(self._tail)

    def _missing_text(self, missing: int) -> str:
        return f"{missing} of its {self._size} are missing"

    def first_cut(self, data: bytes | bytearray, start: int) -> int:
        return min(start + self._missing(b"", 0), len(data))

    def _cut(self, data: bytes, messages: list[Any], start: int = 0) -> int:
        size = self._size
        end = len(data) - len(data) % size
        messages += [data[position : position + size] for position in range(start, end, size)]
        return end

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        for index, payload in enumerate(payloads):
            if len(payload) != self._size:
                raise FramingError(
                    f"{self._text}: message {index} has {len(payload)} bytes, not {self._size}; nothing was encoded; "
                    "use length or netstring for messages of any size",
                    framing=self._text,
                )
        return b"".join(payloads)
