"""The docs' tables are what the code says now: `make docs` writes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def maker():
    spec = importlib.util.spec_from_file_location("docs_make", DOCS / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", maker().PAGES, ids=lambda page: page.name)
def test_generated_tables_are_current(page):
    """The tables of a page are made from the code."""
    text = page.read_text()
    assert maker().made(text) == text, "run `make docs`"


def test_every_maker_is_used():
    text = "".join(page.read_text() for page in maker().PAGES)
    assert all(f"<!-- made: {name} -->" in text for name in maker().TABLES)
