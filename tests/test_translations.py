"""The tables of the Russian pages are Russian: each sentence of the code that stands in one has its translation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from support.modules import load_file

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import russian  # noqa: E402

MAKER = load_file(DOCS / "make.py")
TABLES = ("errors", "events", "framing-options", "options", "statuses", "verbs")


@pytest.mark.parametrize("name", TABLES)
def test_each_sentence_has_its_translation(name: str) -> None:
    """A new option or error adds its sentence to docs/russian/ as well."""
    assert not russian.untranslated(MAKER.TABLES[name]())


@pytest.mark.parametrize("page", ["behaviours", "reliability", "speed"])
def test_a_measured_table_has_its_translation(page: str) -> None:
    """Headings and rows of measured tables are Russian too; numbers and names of programs stay."""
    rows = [
        re.sub(r"`[^`]*`", "", row.split("|")[1])
        for _, part, _ in MAKER.MEASURED.findall((DOCS / f"{page}.md").read_text())
        for row in russian.measured(part).splitlines()
        if row.startswith("|")
    ]
    assert rows
    assert not [row for row in rows if re.search(r"[a-z]{3,} [a-z]{2,}", row)]


def test_no_translation_is_left_over() -> None:
    """A sentence that no table has any more leaves docs/russian/ too."""
    everything = "\n".join(MAKER.TABLES[name]() for name in TABLES)
    assert not [text for text in russian.WORDS if text not in everything]


def test_a_row_keeps_its_shape() -> None:
    """Only whole cells are translated; names and numbers stay."""
    assert russian.translated("| `mode` | none | file mode | for |") == "| `mode` | none | права файла | где |"
    assert russian.translated("|---|---|") == "|---|---|"
    assert russian.untranslated("| `x` | none | A sentence that nobody has translated. |") == [
        "A sentence that nobody has translated."
    ]
