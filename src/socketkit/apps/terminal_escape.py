"""What a terminal may be shown of a foreign text: everything, but nothing that it would obey."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["visible"]


def visible(text: str) -> str:
    """The text with everything written out that a terminal would obey and not show: `\\x1b`, `\\u202e`.

    That is control characters, the marks that turn the direction of writing, and the separators of lines. A tab is
    shown as it is: it can hide nothing.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _written_out(character) for character in text)


def _is_harmless(character: str) -> bool:
    return character == "\t" or (unicodedata.category(character) not in _OBEYED and character not in _TURNING)


def _written_out(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


_OBEYED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # UAX 9
