"""What type checkers know of framings by name: the type of the messages. A test holds it to what the codecs return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from socketkit.framing.codec import Codec, Framing, M

__all__ = ["BytesFraming", "FramingLike", "TextFraming"]

TextFraming: TypeAlias = Literal["lines", "lines:crlf"]
"""Names of framings whose messages are text."""

BytesFraming: TypeAlias = Literal[
    "chunks",
    "lines:encoding=none",
    "length:1",
    "length:2",
    "length:2le",
    "length:3",
    "length:4",
    "length:4le",
    "length:8",
    "length:8le",
    "varint",
    "netstring",
    "content-length",
    "octets",
    "cobs",
    "slip",
]
"""Names of framings whose messages are bytes."""

FramingLike: TypeAlias = Framing[M] | Callable[[], Codec[M] | Framing[M]]
"""A framing as an object, or as the class of a codec of your own."""
