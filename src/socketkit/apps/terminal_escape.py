"""Escaping of foreign text for a terminal: nothing that the terminal would obey, or that would be invisible."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["visible"]


def visible(text: str) -> str:
    """The text with everything escaped that a terminal would obey or would not show: `\\x1b`, `\\u202e`, `\\u200b`.

    These are control and format characters (Unicode Cc, Cf), separators of lines, unpaired surrogates, fillers and the
    variation selectors that fonts do not know. A tab is kept, and so is a zero-width joiner between two emoji.
    """
    if text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text)):
        return text
    return "".join(
        character if _is_harmless(character) or _joins_emoji(text, index) else _escaped(character)
        for index, character in enumerate(text)
    )


def _joins_emoji(text: str, index: int) -> bool:
    """Whether this is a zero-width joiner inside an emoji sequence (UTS 51, 1.4.6), where it is not invisible text."""
    if text[index] != "\u200d":
        return False
    before = text[max(index - _EMOJI_LENGTH, 0) : index].rstrip(_EMOJI_MODIFIERS)[-1:]
    return all(
        character and unicodedata.category(character) == "So" for character in (before, text[index + 1 : index + 2])
    )


def _is_harmless(character: str) -> bool:
    return character == "\t" or (unicodedata.category(character) not in _ESCAPED and character not in _INVISIBLE)


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


_EMOJI_MODIFIERS: Final = "\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

_EMOJI_LENGTH: Final = 3
"""An emoji, a skin tone and a presentation selector. It bounds the look back at each joiner: the text is a peer's, and
an unbounded one would take quadratic time."""

_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0" + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""Characters that are not of category Cf and are invisible all the same (Default_Ignorable_Code_Point, UAX 44). The
variation selectors U+FE00 to U+FE0F are kept: emoji need them."""
