"""The docs: generated parts match the code (`make docs` writes them), and the words are plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.modules import load_file

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def maker():
    return load_file(DOCS / "make.py")


@pytest.mark.parametrize("page", maker().PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_generated_tables_are_current(page):
    """The tables of a page are made from the code."""
    text = page.read_text()
    assert maker().made(text, page) == text, "run `make docs`"


def test_every_maker_is_used():
    text = "".join(page.read_text() for page in maker().PAGES)
    assert all(f"<!-- made: {name} -->" in text for name in maker().TABLES)


METAPHORS = re.compile(
    r"\b(door|doors|caller|callers|somebody|whoever|nobody|goodbye|farewell|welcome|liar|liars|(is|are|be) told|"
    r"hear|hears|heard|patience|shown out|sent away|thrown away)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "page",
    [*maker().PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_no_metaphors(page):
    """The docs use the terms of the field: peer, client, listener, accept, close, report."""
    own_text = maker().MADE.sub("", page.read_text())
    found = [line for line in own_text.splitlines() if METAPHORS.search(line)]
    assert not found
