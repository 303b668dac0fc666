"""The documentation in two languages: both trees are complete and equal in shape, links lead somewhere, examples run.

A page has its Russian twin beside it (`chat.md`, `chat.ru.md`). The site itself is built by `make site`, not here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import socketkit
from support.modules import load_file

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def hooks():
    return load_file(DOCS / "site_hooks.py")


HOOKS = hooks()
WORDS = load_file(DOCS / "make.py").words()
ALL = sorted(DOCS.rglob("*.md"))
ENGLISH = [page for page in ALL if not page.name.endswith(".ru.md")]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix() if DOCS in page.parents else page.name


def russian_of(page: Path) -> Path:
    return page.with_name(page.stem + ".ru.md")


PAIRS = [ROOT / "README.md", *(page for page in ENGLISH if russian_of(page).exists())]
GENERATED = re.compile(r"<!-- (?:made|file|measured)[: ].*?<!-- end -->", re.DOTALL)
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^|\n\n)((?: {4}\S.*\n)+)")


def shape(text: str) -> dict[str, list[str]]:
    """What both languages must have alike: headings by level, code, links, marks, generated parts."""
    outside = BLOCK.sub("", text)
    return {
        "headings": ["#" * level for _, level, _ in HOOKS.headings(text)],
        "code": [f"{language}\n{code}" for language, code in BLOCK.findall(text)],
        "indented code": INDENTED.findall(outside),
        "links": sorted(re.findall(r"\]\((?!README)([^)\s]+)\)", outside)),
        "marks": re.findall(r"<!-- .*? -->", text),
        "list items": [str(len(indent)) for indent in re.findall(r"^( *)(?:[-*]|\d+\.) ", outside, re.MULTILINE)],
        "paragraphs": [str(len(re.findall(r"(?:\A|\n\n)(?=[^\s#|<:])", outside)))],
        "table rows": [str(row.count("|")) for row in re.findall(r"^\|.*$", outside, re.MULTILINE)],
    }


def test_every_page_has_its_russian_twin() -> None:
    """No page without a twin, no twin without a page."""
    assert not [name_of(page) for page in ENGLISH if not russian_of(page).exists()]
    twins = [page for page in ALL if page.name.endswith(".ru.md")]
    assert not [page for page in twins if not page.with_name(page.name.removesuffix(".ru.md") + ".md").exists()]


@pytest.mark.parametrize("page", PAIRS, ids=name_of)
def test_both_languages_have_one_shape(page: Path) -> None:
    """Headings, code, links, marks and tables of the Russian page are those of the English one: change both.

    Comments in the code have their Russian in docs/russian/comments.py: `make docs` writes it.
    """
    english, russian = shape(page.read_text()), shape(russian_of(page).read_text())
    english["code"] = [WORDS.commented(code) for code in english["code"]]
    for what, found in english.items():
        assert russian[what] == found, f"{name_of(russian_of(page))}: the {what} differ from {name_of(page)}"


@pytest.mark.parametrize("page", PAIRS, ids=name_of)
def test_russian_prose_is_russian(page: Path) -> None:
    """Each paragraph of words has Cyrillic letters; a generated part may stay English."""
    text = BLOCK.sub("", GENERATED.sub("", russian_of(page).read_text()))
    for paragraph in re.split(r"\n\s*\n", text):
        words = re.sub(r"`[^`]*`|<!--.*?-->|\]\([^)]*\)|^::: .*$|^ {4}.*$", "", paragraph, flags=re.MULTILINE)
        if len(re.findall(r"[A-Za-z]{3,}", words)) > 4:
            assert re.search(r"[а-яё]{3}", words), paragraph


def test_the_navigation_has_every_page_once() -> None:
    listed = re.findall(r"^ *- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(name_of(page) for page in ENGLISH)


LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize(
    "page", [*ALL, ROOT / "README.md", ROOT / "README.ru.md", ROOT / "CONTRIBUTING.md"], ids=name_of
)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link within the project is to a file that exists, and its anchor to a heading there."""
    missing = []
    for path, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            missing.append(path)
        elif anchor and target.suffix == ".md":
            english = target.with_name(target.name.replace(".ru.md", ".md"))
            if anchor not in HOOKS.anchors(english.read_text()):
                missing.append(f"{path}#{anchor}")
    assert not missing


def test_the_reference_has_every_public_name() -> None:
    """Each name of `socketkit.__all__` stands on the API page."""
    listed = set(re.findall(r"^::: socketkit\.(\w+)", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE))
    assert listed == set(socketkit.__all__)
