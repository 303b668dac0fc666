"""Percent-encoding (RFC 3986, 2.1): how any byte is written in an address.

Printable characters beyond ASCII stay as they are (RFC 3987), so that people can read their own names. Bytes that are
not UTF-8 are surrogates in text, as everywhere in Python (PEP 383). Which part of an address is decoded, and what it
may contain, is not decided here.
"""

from __future__ import annotations

import re

from socketkit.config.quoting import quote
from socketkit.errors import AddressError

__all__ = [
    "COMMAND_SAFE",
    "PATH_SAFE",
    "QUERY_SAFE",
    "decode_bytes",
    "decode_command",
    "decode_text",
    "encode",
    "split_command_query",
    "to_bytes",
]

_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

PATH_SAFE = frozenset(_UNRESERVED + "/!$&'()*+,;=:@")
"""What stands for itself in a path (RFC 3986, 3.3)."""

QUERY_SAFE = frozenset(_UNRESERVED + "/!$'()*,;=:@")
"""What stands for itself in an option's value: not `&`, which joins options, nor `+`, which others read as a space."""

COMMAND_SAFE = frozenset(map(chr, range(0x20, 0x7F))) - {"%", "?"}
"""What stands for itself in a command, which people type and read: whatever can be printed, but what is read below."""

# Compiled where they are first used: most addresses have nothing of the kind.
_COMMAND = r"(?i)(exec:.*?)(?:\?([a-z_]+=[^&?]*(?:&[a-z_]+=[^&?]*)*))?"
_LONE_PERCENT = "%(?![0-9A-Fa-f]{2})"
_ESCAPE = rb"(?s)%(.{0,2})"
_HEX_PAIR = rb"[0-9A-Fa-f]{2}"


def encode(text: str, safe: frozenset[str]) -> str:
    """Writes text so that `decode_bytes` gives its bytes back."""
    return "".join(
        character
        if character in safe or (character > "\x7f" and character.isprintable())
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in text
    )


def to_bytes(text: str) -> bytes:
    """The bytes of a text, in which surrogates stand for single bytes.

    Raises:
        AddressError: a surrogate that stands for no byte.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        wrong = text[error.start : error.start + 1]
        raise AddressError(f"{quote(wrong)} is half a character; allowed are whole ones") from None


def decode_bytes(text: str) -> bytes:
    """Reads text with escapes.

    Raises:
        AddressError: a `%` without two hexadecimal digits, or a surrogate that stands for no byte.
    """
    raw = to_bytes(text)
    return re.sub(_ESCAPE, _unescape, raw) if b"%" in raw else raw


def _unescape(match: re.Match[bytes]) -> bytes:
    if not re.fullmatch(_HEX_PAIR, match[1]):
        wrong = quote(match[0].decode("utf-8", "replace"))
        raise AddressError(f"{wrong} is not an escape; allowed is % and two hexadecimal digits, and % itself as %25")
    return bytes.fromhex(match[1].decode("ascii"))


def decode_text(text: str) -> str:
    """Reads text with escapes where only whole characters make sense: a host, an option.

    Raises:
        AddressError: as for `decode_bytes`, or the bytes are not UTF-8.
    """
    if text.isascii() and "%" not in text:
        return text
    try:
        return decode_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise AddressError(f"{quote(text)} is not UTF-8 when its escapes are read; allowed is UTF-8") from None


def split_command_query(text: str) -> tuple[str, str] | None:
    """An `exec:` address and its options; None for any other address.

    A command is full of `?`, `#` and `%`. So only what looks like options to the end (`?name=value&name=value`) is
    taken for them, and a `#` means nothing.
    """
    if text[:5].lower() != "exec:":
        return None
    match = re.fullmatch(_COMMAND, text)
    return None if match is None else (match[1], match[2] or "")


def decode_command(text: str) -> str:
    """Reads a command: `%` with two hexadecimal digits is an escape, any other stands for itself, as in `date +%s`."""
    return decode_bytes(re.sub(_LONE_PERCENT, "%25", text)).decode("utf-8", "surrogateescape")
