"""The tables of the Russian pages are Russian: each sentence of the code that stands in one has its translation."""

from __future__ import annotations

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
