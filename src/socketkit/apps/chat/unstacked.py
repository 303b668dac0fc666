"""Combining marks in heaps ("zalgo"): such a text is drawn over the lines above and below it."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["MAX_MARKS", "unstacked"]

MAX_MARKS: Final = 8
"""Marks on one letter that are kept: more than any script writes (Tibetan and Hebrew have up to five)."""


def unstacked(text: str) -> str:
    """The text without the marks beyond the eighth of a row; one `\\u2026` stands for each heap that was cut."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        is_mark = character > "\u02ff" and unicodedata.category(character) in ("Mn", "Me")
        marks = marks + 1 if is_mark else 0
        if marks <= MAX_MARKS:
            kept.append(character)
        elif marks == MAX_MARKS + 1:
            kept.append("\u2026")
    return "".join(kept)
