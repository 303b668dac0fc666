"""`netstring`: a decimal size, a colon, the payload, a comma (D. J. Bernstein, 1997): `5:hello,`.

Leading zeros are refused, as the definition forbids them. The empty message is `0:,`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.framing.codec import Codec
from socketkit.framing.decimal_prefixed import DecimalCodec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, oversize

__all__ = ["Netstring"]


class Netstring(FramingSpec[bytes]):
    """A decimal size, a colon, the payload, a comma."""

    name = "netstring"
    title = "decimal size, colon, payload, comma"

    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _NetstringCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        return ("netstring", self.max_size) if self.oversize == "fail" else None


class _NetstringCodec(DecimalCodec):
    __slots__ = ()

    def __init__(self, framing: Netstring) -> None:
        super().__init__(framing, mark=b":", close=b",")

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        data = b"".join([b"%d:%b," % (len(payload), payload) for payload in payloads])
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data
