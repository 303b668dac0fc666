"""Rows of a line on a terminal: every row but the first is indented, so none can pass for a line of its own."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["INDENT", "wrap"]

INDENT: Final = "    "
"""Begins each row but the first. No line of a chat begins with a blank: a name or `* ` does."""

MIN_WIDTH: Final = 20
"""Columns below which a terminal is taken to have so many; its own wrapping cannot be prevented there."""


def wrap(line: str, width: int) -> list[str]:
    """The rows of a line at a terminal of this many columns.

    A row ends behind a blank where there is one in its second half. Characters that may take two columns count two, so
    a row is never wider than the terminal, and the terminal itself never wraps.
    """
    width = max(width, MIN_WIDTH)
    if len(line) * 2 <= width and "\t" not in line:
        return [line]
    rows, begin, columns, blank = [], 0, 0, 0
    indent = ""
    for place, character in enumerate(line):
        size = _columns(character)
        if columns + size > width:
            end = blank if blank - begin > (place - begin) // 2 else place
            rows.append(indent + line[begin:end])
            indent = INDENT
            begin, columns = end, len(INDENT) + sum(map(_columns, line[end:place]))
        columns += size
        if character == " ":
            blank = place + 1
    return [*rows, indent + line[begin:]]


def _columns(character: str) -> int:
    """At most so many columns does a terminal give to it."""
    if character < "\x7f":
        return 8 if character == "\t" else 1
    is_wide = unicodedata.east_asian_width(character) in "WF" or unicodedata.category(character) in ("So", "Sk", "Cn")
    return 2 if is_wide else 1
