"""docs/framings.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from socketkit import framing

PAGE = (Path(__file__).parents[2] / "docs" / "framings.md").read_text()
SHARED = ("max_size", "oversize")


def test_framings_page_examples_parse():
    """Every framing is in the first table and its example is read."""
    rows = re.findall(r"^\| `([a-z-]+(?::[^`]*)?)` \| [^`\n]", PAGE.partition("## Options")[0], re.MULTILINE)
    rows += re.findall(r"^\| `([a-z-]+(?::[^`]*)?)` \| `", PAGE.partition("## Options")[0], re.MULTILINE)
    assert sorted(framing.parse(text).name for text in rows) == sorted(framing.FRAMINGS)


def test_the_options_are_the_codes():
    wanted = []
    for name, made in framing.FRAMINGS.items():
        for row in made.describe():
            if row.name not in SHARED:
                default = "must be given" if row.default is None else row.default
                kind = row.kind.replace("|", "\\|")
                wanted.append(f"| `{name}` | `{row.name}` | {default} | {kind} | {row.sentence} |")
    table = PAGE.partition("| framing | option |")[2].partition("\n<!-- end -->")[0]
    assert table.splitlines()[2:] == wanted


def test_who_has_a_limit():
    without = {name for name, made in framing.FRAMINGS.items() if not set(SHARED) <= set(made.fields)}
    assert without == {"chunks", "fixed"}
    whole = {name for name, made in framing.FRAMINGS.items() if "oversize" in made.fields}
    halves = {
        name
        for name in whole
        if "truncate" not in {row.name: row.kind for row in framing.FRAMINGS[name].describe()}["oversize"]
    }
    assert halves == {"json", "json-stream", "msgpack"}


def test_the_texts_on_the_page_are_read():
    for text in ("lines:crlf,max_size=64KiB,oversize=skip", "length:4,before=1,includes=header,keep_header"):
        assert text in PAGE
        assert framing.parse(text)
