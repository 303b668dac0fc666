"""Times as options and verbs take them: read strictly, written canonically.

It stands below the options, so that engines, connections and servers can check a `timeout` by the same rules.
"""

from __future__ import annotations

import math
import re
from typing import Final

from socketkit.config.quoting import quote, refuse

__all__ = ["LONGEST", "format_duration", "parse_duration", "parse_timeout"]

LONGEST: Final = 876_000.0 * 3600
"""The longest time that an option takes: a hundred years, which every clock and every system call can count."""

_ALLOWED: Final = "a time such as 250ms, 2s, 5m or 1h (a bare number is seconds)"
_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = r"(?s)(-?[0-9]*\.?[0-9]+)(.*)"


def parse_timeout(value: object, *, name: str = "timeout") -> float | None:
    """Reads a time that was given to a verb (`timeout=`, `grace=`): seconds, or text as options take it.

    Args:
        value: a number of seconds, or text such as `250ms`; None and infinity: no limit.
        name: the argument's name, for the error.

    Returns:
        Seconds; None for no limit.

    Raises:
        OptionError: not a time, NaN, or negative.
    """
    if value is None:
        return None
    if (type(value) is float or type(value) is int) and 0 <= value <= LONGEST:
        return value
    if value == math.inf:
        return None
    return parse_duration(value, name=name)


def parse_duration(value: object, *, name: str = "", minimum: float = 0.0, maximum: float = LONGEST) -> float:
    """Reads a time: text with a unit (ms s m h), or a number of seconds.

    Args:
        value: the text or the number; it is rounded to a nanosecond.
        name: the option's name, for the error.
        minimum: the least that is allowed, in seconds, inclusive.
        maximum: the most that is allowed, in seconds, inclusive.

    Returns:
        Seconds.

    Raises:
        OptionError: not a time, or out of range.
    """
    seconds = _seconds(value, name) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds:  # NaN
        refuse(value, name, "is not a time", _ALLOWED)
    if seconds < minimum:
        refuse(value, name, f"is less than {format_duration(minimum)}", _ALLOWED)
    if seconds > maximum:
        refuse(value, name, f"is more than {format_duration(maximum)}", _ALLOWED)
    return round(float(seconds), 9) + 0.0  # + 0.0: minus zero becomes zero


def _seconds(text: str, name: str) -> float:
    match = re.fullmatch(_NUMBER, text)
    if match is None:
        refuse(text, name, "is not a time", _ALLOWED)
    number, unit = match.groups()
    if unit not in _UNITS:
        refuse(text, name, f"has the unknown unit {quote(unit)}", _ALLOWED)
    # Dividing is exact to the last bit where multiplying by 0.001 is not.
    return float(number) / 1000 if unit == "ms" else float(number) * _UNITS[unit]


def format_duration(seconds: float) -> str:
    """Writes a time so that `parse_duration` reads the same back: `250ms`, `2s`, `1.5s`, `5m`, `1h`.

    Below a second in milliseconds; else in the largest unit that it is a whole number of; else in decimal seconds.
    It is rounded to a nanosecond.
    """
    for unit in ("h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    if 0 < seconds < 1:
        return f"{_decimal(seconds * 1000, 6)}ms"
    return f"{_decimal(seconds, 9)}s"


def _decimal(number: float, places: int) -> str:
    return f"{number:.{places}f}".rstrip("0").rstrip(".")
