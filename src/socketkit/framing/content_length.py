r"""`content-length`: a header block and a body, as the Language Server Protocol sends JSON-RPC.

`Content-Length: 17\r\n\r\n` and 17 bytes. Names of headers are read in any case and any order; unknown ones are
ignored. Refused: a block without Content-Length, or with two that differ, a bare `\n`, a space before a colon (RFC 9112
section 5: each of these has been used to make two receivers see different messages), a block over 8 KiB. Messages are
the bodies, in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from socketkit.framing.codec import Codec
from socketkit.framing.decoder import as_bytes_list, check_sizes
from socketkit.framing.length_prefixed import LengthPrefixedCodec
from socketkit.framing.spec import FramingSpec, Oversize, Size, max_size, oversize

__all__ = ["ContentLength"]

_END = b"\r\n\r\n"
_MAX_HEADERS_SIZE = 8 * 1024
"""Bytes of headers, their end included: what HTTP servers allow, and some hundred times what this protocol needs."""

_ONLY = re.compile(rb"Content-Length: ([0-9]{1,19})\r\n\r\n", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2: token
_DIGITS = re.compile(rb"[0-9]{1,19}")


class ContentLength(FramingSpec[bytes]):
    """A header block with `Content-Length`, and a body of so many bytes: the Language Server Protocol's framing."""

    name = "content-length"
    title = "headers and a body (LSP)"

    max_size: Size = max_size()
    oversize: Oversize = oversize("fail", "skip", "truncate")

    def codec(self) -> Codec[bytes]:
        """Return a fresh codec for one connection."""
        return _ContentLengthCodec(self)


class _ContentLengthCodec(LengthPrefixedCodec):
    __slots__ = ()

    def __init__(self, framing: ContentLength) -> None:
        super().__init__(framing)

    def _header(self, data: bytes, start: int) -> tuple[int, int] | None:
        usual = _ONLY.match(data, start)
        if usual is not None:
            return usual.end(), int(usual[1])
        end = data.find(_END, start, start + _MAX_HEADERS_SIZE)
        if end >= 0:
            return end + len(_END), _size(data[start:end])
        if _has_bare_line_feed(data, start, start + _MAX_HEADERS_SIZE):
            raise ValueError("a header line ends with a bare line feed in the frame")
        if len(data) - start >= _MAX_HEADERS_SIZE:
            raise ValueError(f"the headers are longer than {_MAX_HEADERS_SIZE} bytes in the frame")
        return None

    def feed(self, data: bytes, /) -> list[Any]:
        size = len(self._tail) + len(data)
        is_in_headers = self._tail and not self._needed and not self._unusual
        if is_in_headers and size < _MAX_HEADERS_SIZE and b"\n" not in bytes(data):
            # Only the end of a line changes anything: bytes that trickle in are not searched again with each of them.
            self._append(bytes(data))
            return []
        return super().feed(data)

    def encode(self, messages: Iterable[Any], /) -> bytes:
        payloads = as_bytes_list(messages, self._text)
        data = b"".join([b"Content-Length: %d\r\n\r\n%b" % (len(payload), payload) for payload in payloads])
        if len(data) > self._max_size:
            check_sizes(self._framing, payloads)
        return data


def _has_bare_line_feed(data: bytes, start: int, end: int) -> bool:
    return data.count(b"\n", start, end) > data.count(b"\r\n", start, end)


def _size(block: bytes) -> int:
    """Return the size of the body that the headers give."""
    sizes = set()
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _NAME.fullmatch(name) or b"\n" in value or b"\r" in value:
            raise ValueError(f"{line[:60]!r} is no header line in the frame")
        if name.lower() == b"content-length":
            if not _DIGITS.fullmatch(value):
                raise ValueError(f"Content-Length: {value[:60]!r} is no size in the frame")
            sizes.add(int(value))
    if len(sizes) != 1:
        found = f"different ones ({', '.join(map(str, sorted(sizes)))})" if sizes else "none"
        raise ValueError(f"the headers must give one Content-Length, not {found}, in the frame")
    return sizes.pop()
