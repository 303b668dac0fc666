"""The Russian words of tables and examples: `docs/make.py` puts them into the Russian pages.

A table is made from the code, whose sentences are English; each has its translation in this package, and a test names
those that have none. Names, values and examples stay as they are.
"""

from __future__ import annotations

import re

from russian.command import COMMAND
from russian.comments import COMMENTS
from russian.measured import MEASURED, PHRASES
from russian.options import OPTIONS
from russian.tables import ERRORS, EVENTS, FRAMINGS, STATUSES

WORDS = {**STATUSES, **ERRORS, **EVENTS, **FRAMINGS, **OPTIONS, **COMMAND}
COMMENT = re.compile(r"((?:^|\s)# )(.+)$", re.MULTILINE)
DOCSTRING = re.compile(r'^( *)"""(.+)"""$', re.MULTILINE)
NUMBER = re.compile(r"^(\d+\. )?(.*)$", re.DOTALL)
ITEM = re.compile(r"^( *- `\w+`(?: \(`\w+`\))?: )(.*)$")


def translated(table: str) -> str:
    """A table, a list or a paragraph of the generated parts, in Russian; what has no translation stays English."""
    return "\n".join(_line(line) for line in table.split("\n"))


def measured(table: str) -> str:
    """A measured part in Russian: its headings, its rows (behind their numbers), and phrases within cells."""
    return "\n".join(
        "|".join(_measured(cell) for cell in re.split(r"(?<!\\)\|", line)) if line.strip() else line
        for line in table.split("\n")
    )


def _measured(cell: str) -> str:
    text = cell.strip()
    match = NUMBER.match(text)
    known = MEASURED.get(match[2]) or WORDS.get(match[2]) if match else None
    if match and known:
        return cell.replace(text, (match[1] or "") + known)
    for english, russian in PHRASES.items():
        cell = cell.replace(english, russian)
    return cell


def commented(code: str) -> str:
    """An example with its comments and docstrings in Russian; one that has no translation stays English."""
    code = COMMENT.sub(lambda match: match[1] + COMMENTS.get(match[2], match[2]), code)
    return DOCSTRING.sub(lambda match: f'{match[1]}"""{COMMENTS.get(match[2], match[2])}"""', code)


def untranslated(table: str) -> list[str]:
    """The sentences of a generated part that have no translation."""
    return [text for line in table.split("\n") for text in _texts(line) if _is_prose(text) and text not in WORDS]


def _line(line: str) -> str:
    if line.startswith("|"):
        return line if set(line) <= set("|-") else " | ".join(WORDS.get(text, text) for text in _cells(line)).strip()
    if match := ITEM.match(line):
        return match[1] + WORDS.get(match[2], match[2])
    return WORDS.get(line, line)


def _texts(line: str) -> list[str]:
    if line.startswith("|"):
        return [text for text in _cells(line) if text]
    match = ITEM.match(line)
    return [match[2] if match else line]


def _cells(line: str) -> list[str]:
    """The texts between the bars of a row; outside of them nothing."""
    return [text.strip() for text in re.split(r"(?<!\\)\|", line)]


def _is_prose(text: str) -> bool:
    """Whether it has words of its own beside code."""
    return bool(
        re.search(r"[a-z]{3,} [a-z]{2,}", re.sub(r"`[^`]*`|<code>.*?</code>", "", text))
    ) and not text.startswith(("#", "|"))
