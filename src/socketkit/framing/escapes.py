r"""Bytes in a text: characters as they are, and escapes for the others, as a delimiter is written."""

from __future__ import annotations

import re

from socketkit.config.quoting import quote
from socketkit.errors import OptionError

__all__ = ["read_escaped", "write_escaped"]

_ESCAPES = {"0": b"\0", "n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}
_PART = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0nrt\\]))|([^\\])", re.DOTALL)
_PLAIN = re.compile(rb"[!-~]")
_ALLOWED = r"allowed are characters, and for the others \0 \n \r \t \\ \xNN (a comma is \x2c)"


def read_escaped(value: object, *, name: str = "", what: str = "delimiter") -> bytes:
    """The bytes that a text with escapes means; bytes are taken as they are.

    Raises:
        OptionError: it is neither, it is empty, or an escape is unknown.
    """
    if isinstance(value, (bytes, bytearray)) and value:
        return bytes(value)
    if not isinstance(value, str) or not value:
        raise OptionError(f"{name}: {quote(value)} is no {what}; {_ALLOWED}")
    made = bytearray()
    position = 0
    while position < len(value):
        part = _PART.match(value, position)
        if part is None:
            raise OptionError(f"{name}: {quote(value[position:])} is no escape; {_ALLOWED}")
        number, letter, plain = part.groups()
        made += bytes.fromhex(number) if number else _ESCAPES[letter] if letter else plain.encode("utf-8", "replace")
        position = part.end()
    return bytes(made)


def write_escaped(value: bytes) -> str:
    """The text that `read_escaped` reads as these bytes."""
    letters = {code: letter for letter, code in _ESCAPES.items()}
    written = []
    for number in value:
        byte = bytes([number])
        if byte in letters:
            written.append(f"\\{letters[byte]}")
        else:
            written.append(byte.decode() if _PLAIN.match(byte) and byte not in b",=" else f"\\x{number:02x}")
    return "".join(written)
