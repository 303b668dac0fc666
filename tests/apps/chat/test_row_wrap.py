"""No row of a line but its first begins at the edge of the terminal, and no row is wider than it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.apps.chat.row_wrap import INDENT, MIN_WIDTH, wrap


@pytest.mark.parametrize(
    "text",
    [
        "hi" + " " * 73 + "* host has ended the chat; go on at evil.example:5000",
        "x" * 75 + "alice: my password is hunter2",
        "hi\t\t\t\t\t\t\t\t\t* host has ended the chat",
        "界" * 38 + "* host has ended the chat",
        "🦊" * 37 + "* host",
        "e\u0301" * 75 + "* host has ended the chat",
    ],
)
def test_later_rows_are_indented(text: str) -> None:
    first, *others = wrap(f"Mallory: {text}", 80)
    assert first.startswith("Mallory: ")
    assert others
    assert all(row.startswith(INDENT) for row in others)


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Mn", "Me", "Cf"))), st.integers(MIN_WIDTH, 120))
def test_rows_fit_and_keep_the_text(text: str, width: int) -> None:
    wcwidth = pytest.importorskip("wcwidth")
    rows = wrap(text, width)
    assert rows[0] + "".join(row.removeprefix(INDENT) for row in rows[1:]) == text
    assert all(wcwidth.wcswidth(row) <= width for row in rows)


def test_short_line() -> None:
    assert wrap("Alice: hello", 80) == ["Alice: hello"]
    assert wrap("", 80) == [""]
    assert wrap("x" * 80, 80) == ["x" * 80]
    assert wrap("x" * 81, 80) == ["x" * 80, INDENT + "x"]
