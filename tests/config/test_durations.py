"""Times given to verbs are read by the options' rules."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from socketkit.config.durations import LONGEST, parse_timeout
from socketkit.errors import OptionError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (math.inf, None),
        (0, 0),
        (1, 1),
        (0.25, 0.25),
        ("250ms", 0.25),
        ("1s", 1.0),
        ("2m", 120.0),
        (LONGEST, LONGEST),
    ],
)
def test_timeout_is_read(value, seconds):
    assert parse_timeout(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -1,
        -0.001,
        -math.inf,
        True,
        False,
        "1x",
        "",
        "-1s",
        "nan",
        "\u0663s",
        [],
        object(),
        Decimal(1),
        10**400,
    ],
)
def test_timeout_is_refused(value):
    """One OptionError that names the argument, for what is no time, NaN, or negative."""
    with pytest.raises(OptionError, match=r"^grace: .*; allowed is a time such as 250ms"):
        parse_timeout(value, name="grace")
