"""What the site needs beside the pages: `make site` runs these hooks of MkDocs.

A Russian page gets the anchors of its English twin, so that a link with an anchor works in both. A link to a file of
the project outside docs/ leads to a copy of it in the site, because the site has no other address of the source.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)(`{3,}|~{3,})")
HEADING = re.compile(r"^(#{1,6}) +(.*?)\s*#*$")
OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")

published: set[Path] = set()


def headings(text: str) -> list[tuple[int, int, str]]:
    """The headings of a page outside its code: number of the line, level, text."""
    found, fence = [], ""
    for number, line in enumerate(text.splitlines()):
        mark = FENCE.match(line)
        if mark and (not fence or mark[2].startswith(fence)):
            fence = "" if fence else mark[2]
        elif not fence and (match := HEADING.match(line)):
            found.append((number, len(match[1]), match[2]))
    return found


def slug(text: str) -> str:
    """The anchor of a heading, as Python-Markdown's toc has it for English text."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")
    plain = re.sub(r"[^\w\s-]", "", plain.encode("ascii", "ignore").decode()).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def anchors(text: str) -> list[str]:
    """The anchor of each heading in order; a second one of the same text gets `_1`."""
    found: list[str] = []
    for _, _, title in headings(text):
        own = first = slug(title)
        count = 0
        while own in found:
            count += 1
            own = f"{first}_{count}"
        found.append(own)
    return found


def with_anchors(russian: str, english: str) -> str:
    """The Russian page, each heading with the anchor of the English one."""
    lines = russian.splitlines()
    for (number, _, _), anchor in zip(headings(russian), anchors(english), strict=True):
        lines[number] += f" {{#{anchor}}}"
    return "\n".join(lines) + "\n"


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Anchors of Russian pages; links to files outside of docs/."""
    source = Path(page.file.abs_src_path)
    if source.name.endswith(".ru.md"):
        markdown = with_anchors(markdown, source.with_name(source.name.removesuffix(".ru.md") + ".md").read_text())

    def link(match: re.Match[str]) -> str:
        target = (source.parent / match[2]).resolve()
        if DOCS in target.parents or not target.is_file():
            return match[0]
        published.add(target)
        path = f"source/{target.relative_to(ROOT).as_posix()}.txt"
        here = posixpath.dirname(page.file.dest_uri) or "."
        return f'<a href="{posixpath.relpath(path, here)}">{match[1]}</a>'

    return OUTSIDE.sub(link, markdown)


def on_post_build(config: Any, **_: object) -> None:
    """Copy the files that pages link to."""
    for path in published:
        copy = Path(config["site_dir"], "source", f"{path.relative_to(ROOT)}.txt")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
