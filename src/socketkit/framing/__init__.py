"""Framings: how messages lie in a stream of bytes.

    framing.parse("length:2le,includes=header")     by name, as in an address and on the command line
    framing.Lines(crlf=True, max_size=65536)        as an object with keyword options

A framing is a frozen description that many connections share. `codec()` makes a fresh codec, which works without any
connection too: `encode(messages)` gives bytes, `feed(data)` gives messages, `feed_eof()` tells it the stream's end.
"""

from __future__ import annotations

from socketkit.framing.chunks import Chunks
from socketkit.framing.codec import Codec, Framing, FullCodec
from socketkit.framing.lines import Lines
from socketkit.framing.parse import FRAMINGS, of, parse

__all__ = ["FRAMINGS", "Chunks", "Codec", "Framing", "FullCodec", "Lines", "of", "parse"]
