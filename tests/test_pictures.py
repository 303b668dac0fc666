"""The pictures of docs/learn/ are those of a run: each scene is run again, and gives the same picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.modules import load_file

DOCS = Path(__file__).parents[1] / "docs"


def drawer():
    return load_file(DOCS / "pictures.py")


DRAWER = drawer()


@pytest.mark.parametrize("name", DRAWER.SCENES)
def test_a_picture_is_of_a_real_run(name):
    """The calls and arrows of the picture are those of this run; `make pictures` writes it anew."""
    for file, text in DRAWER.drawn(name).items():
        assert (DOCS / "learn" / file).read_text() == text


def test_every_picture_is_shown():
    """Each picture stands on a page, and each page of a step has one."""
    pages = [page for page in (DOCS / "learn").glob("*.md") if not page.name.endswith(".ru.md")]
    text = "".join(page.read_text() for page in pages)
    assert all(f"]({name}.svg)" in text for name in DRAWER.SCENES)
    assert all(".svg)" in page.read_text() for page in pages if page.name != "index.md")
