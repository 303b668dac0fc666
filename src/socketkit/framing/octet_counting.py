"""`octets`: a decimal size, a space, the payload (octet counting, RFC 6587 section 3.4.1): syslog over TCP.

The size has no leading zero, and so no frame is empty: MSG-LEN = NONZERO-DIGIT *DIGIT. Nothing closes a frame; a sender
that ends each with a line feed does not count octets: use `lines`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from socketkit.errors import FramingError
from socketkit.framing.codec import Codec
from socketkit.framing.decimal_prefixed import DecimalCodec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, oversize

__all__ = ["Octets"]


class Octets(FramingSpec[bytes]):
    """A decimal size, a space, the payload: RFC 6587."""

    name = "octets"
    title = "decimal size, space, payload (RFC 6587)"

    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _OctetsCodec(self)

    @property
    def native(self) -> tuple[Any, ...] | None:
        return ("octets", self.max_size) if self.oversize == "fail" else None


class _OctetsCodec(DecimalCodec):
    __slots__ = ()

    def __init__(self, framing: Octets) -> None:
        super().__init__(framing, mark=b" ")

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        found = super()._header(data, start)
        if found is not None and not found[1]:
            raise ValueError("the size 0 is not allowed (RFC 6587) in the frame")
        return found

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        if b"" in payloads:
            raise FramingError(
                f"{self._text}: message {payloads.index(b'')} is empty, which octet counting cannot have (RFC 6587); "
                "nothing was encoded; use netstring for empty messages",
                framing=self._text,
            )
        data = b"".join([b"%d %b" % (len(payload), payload) for payload in payloads])
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data
