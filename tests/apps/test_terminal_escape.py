"""What a terminal is given of foreign text."""

from __future__ import annotations

import pytest

from socketkit.apps.terminal_escape import visible
from socketkit.cli import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\t\u00e9 \u4e2d \u2764\ufe0f", "plain\t\u00e9 \u4e2d \u2764\ufe0f"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
        ("\u200b\u00ad\ufeff\u2060", "\\u200b\\xad\\ufeff\\u2060"),
        ("\U000e0041", "\\U000e0041"),
        ("\U000e0101", "\\U000e0101"),
        ("\u3164\uffa0\u115f\u034f", "\\u3164\\uffa0\\u115f\\u034f"),
        ("\u202e\u2028", "\\u202e\\u2028"),
        (
            "\U0001f469\U0001f3fd\u200d\U0001f680 \u2764\ufe0f\u200d\U0001f525",
            "\U0001f469\U0001f3fd\u200d\U0001f680 \u2764\ufe0f\u200d\U0001f525",
        ),
        ("\U0001f469\u200d", "\U0001f469\\u200d"),
        ("a\u200db", "a\\u200db"),
        ("\U0001f469\ufe0f\ufe0f\ufe0f\u200d\U0001f680", "\U0001f469\ufe0f\ufe0f\ufe0f\\u200d\U0001f680"),
    ],
)
def test_invisible_characters_escaped(text: str, shown: str) -> None:
    """What a terminal would obey or not show is escaped; what it shows is kept."""
    assert visible(text) == shown
    assert output.visible(text) == shown
