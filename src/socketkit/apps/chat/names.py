"""Names of a chat's members and rooms: which are valid, and which look like one that is in use."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Final

from socketkit.apps.chat.confusables import skeletons

__all__ = ["MAX_NAME_LENGTH", "NamesInUse", "check_name"]

MAX_NAME_LENGTH: Final = 24


def check_name(name: str) -> str | None:
    """What is wrong with a name, as the rest of a sentence; None where it is valid.

    A name holds letters and digits of any script, and `_ - .` after the first character. So each character is visible,
    and none ends the name.
    """
    if not name:
        return "is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"is longer than {MAX_NAME_LENGTH} characters"
    if not (_is_letter(name[0]) or name[0].isdecimal()):
        return "does not begin with a letter or a figure"
    if not all(_is_letter(character) or character.isdecimal() or character in "_-." for character in name):
        return "may hold letters, figures and _ - . only"
    return None


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and character not in _BLANK_LETTERS


_BLANK_LETTERS: Final = frozenset(  # letters and marks without a glyph (Unicode: Default_Ignorable_Code_Point)
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))


class NamesInUse:
    """The skeletons of the names in use: whether a name is free is found without a look at all of them."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def add(self, name: str) -> None:
        self._used.update(skeletons(name))

    def remove(self, name: str) -> None:
        for skeleton in skeletons(name):
            self._used[skeleton] -= 1
            if not self._used[skeleton]:
                del self._used[skeleton]

    def is_free(self, name: str, *, instead_of: str | None = None) -> bool:
        """Whether no name in use looks like this one, not counting the one that it replaces."""
        own = frozenset() if instead_of is None else skeletons(instead_of)
        return all(self._used[skeleton] <= (skeleton in own) for skeleton in skeletons(name))

    def free_like(self, stem: str, first: int) -> str:
        """A free name: the stem, cut where needed, and a number.

        Eight numbers are tried in a row, then the steps double. So the tries grow with the logarithm of the names in
        use, whatever names a guest has taken.
        """
        number, tries = first, 0
        while True:
            name = f"{stem[: MAX_NAME_LENGTH - len(str(number))]}{number}"
            if self.is_free(name):
                return name
            number += 1 << max(0, tries - 7)
            tries += 1
