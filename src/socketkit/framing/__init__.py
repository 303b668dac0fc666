"""Framings: how messages lie in a stream of bytes.

    framing.parse("length:2le,includes=header")     by name, as in an address and on the command line
    framing.Lines(crlf=True, max_size=65536)        as an object with keyword options

A framing is a frozen description that many connections share. `codec()` makes a fresh codec, which works without any
connection too: `encode(messages)` returns bytes, `feed(data)` messages, `feed_eof()` takes the end of stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketkit.framing.codec import Codec, Framing, FullCodec
from socketkit.framing.registry import FRAMINGS, of, parse

if TYPE_CHECKING:
    from socketkit.framing.chunks import Chunks
    from socketkit.framing.cobs import Cobs
    from socketkit.framing.content_length import ContentLength
    from socketkit.framing.delimited import Delimited
    from socketkit.framing.fixed import Fixed
    from socketkit.framing.json_lines import Json
    from socketkit.framing.json_stream import JsonStream
    from socketkit.framing.length import Length
    from socketkit.framing.lines import Lines
    from socketkit.framing.msgpack import Msgpack
    from socketkit.framing.netstring import Netstring
    from socketkit.framing.octet_counting import Octets
    from socketkit.framing.slip import Slip
    from socketkit.framing.varint import Varint

__all__ = [
    "FRAMINGS",
    "Chunks",
    "Cobs",
    "Codec",
    "ContentLength",
    "Delimited",
    "Fixed",
    "Framing",
    "FullCodec",
    "Json",
    "JsonStream",
    "Length",
    "Lines",
    "Msgpack",
    "Netstring",
    "Octets",
    "Slip",
    "Varint",
    "of",
    "parse",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a framing's class; its module is loaded on first use."""
        if name in __all__:
            for key in FRAMINGS:
                if key.replace("-", "").lower() == name.lower():
                    globals()[name] = FRAMINGS[key]
                    return FRAMINGS[key]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """The public names, also of what is not loaded yet."""
        return sorted({*globals(), *__all__})
