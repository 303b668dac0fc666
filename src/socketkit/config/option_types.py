"""What values an option takes: times, sizes, counts, switches, modes and names, read strictly and written canonically.

Values come as text (from an address, the command line, a file) or natively (from a program) and mean the same. A wrong
unit or a garbled number is refused with what was wrong and what is allowed, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from socketkit.config.durations import LONGEST, format_duration, parse_duration
from socketkit.config.quoting import quote, refuse
from socketkit.errors import OptionError
from socketkit.values import Value, replace

__all__ = [
    "MODE",
    "NAME",
    "NETWORKS",
    "SWITCH",
    "TEXT",
    "OptionType",
    "choice_kind",
    "count_kind",
    "duration_kind",
    "format_mode",
    "format_size",
    "format_switch",
    "or_none",
    "parse_count",
    "parse_mode",
    "parse_name",
    "parse_networks",
    "parse_size",
    "parse_switch",
    "parse_text",
    "size_kind",
]

_SIZE = "a size such as 4096, 64KiB or 1MB (B KiB MiB GiB KB MB GB; a bare number is bytes)"
_LARGEST = 2**63 - 1
"""The largest that the system's own sizes and offsets can hold (`off_t`, `ssize_t`)."""

_BYTES = {  # the binary units first: where both are exact and equally short, they win
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "KB": 10**3,
    "B": 1,
}
_WHOLE = r"(?s)(-?[0-9]+)(.*)"


def parse_size(value: object, *, name: str = "", minimum: int = 0, maximum: int = _LARGEST) -> int:
    """Reads a size: text with a unit (B, KiB MiB GiB of 1024, KB MB GB of 1000), or a whole number of bytes.

    Args:
        value: the text or the number.
        name: the option's name, for the error.
        minimum: the least that is allowed, in bytes, inclusive.
        maximum: the most that is allowed, in bytes, inclusive.

    Returns:
        Bytes.

    Raises:
        OptionError: not a size, or out of range.
    """
    size = _size(value, name) if isinstance(value, str) else value
    if isinstance(size, bool) or not isinstance(size, int):
        refuse(value, name, "is not a size in whole bytes", _SIZE)
    if size < minimum:
        refuse(value, name, f"is less than {format_size(minimum)}", _SIZE)
    if size > maximum:
        refuse(value, name, f"is more than {format_size(maximum)}", _SIZE)
    return size


def _size(text: str, name: str) -> int:
    match = re.fullmatch(_WHOLE, text)
    if match is None:
        refuse(text, name, "is not a size", _SIZE)
    number, unit = match.groups()
    if unit and unit not in _BYTES:
        refuse(text, name, f"has the unknown unit {quote(unit)}", _SIZE)
    return _whole(number) * _BYTES.get(unit, 1)


def _whole(digits: str) -> int:
    """The number; one of more digits than `int` cares to read is as good as any that is too large."""
    return int(digits) if len(digits) <= 40 else int(digits[:40])


def format_size(size: int) -> str:
    """Writes a size exactly and as short as it goes: `64KiB`, `1MB`, `100B`; the inverse of `parse_size`."""
    if size == 0:
        return "0B"
    exact = [f"{size // factor}{unit}" for unit, factor in _BYTES.items() if size % factor == 0]
    return min(exact, key=len)


_MOST = 2**31 - 1
_SWITCH = "yes or no (also true/false, on/off, 1/0)"
_SWITCHES = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_MODE = "an octal file mode from 000 to 777, as text (600) or in Python 0o600"


def parse_count(value: object, *, name: str = "", minimum: int = 0, maximum: int = _MOST) -> int:
    """Reads a whole number of things, from text or natively.

    Raises:
        OptionError: not a whole number, or outside `minimum` to `maximum`, both inclusive.
    """
    allowed = f"a whole number from {minimum} to {maximum}"
    count = value
    if isinstance(value, str) and (match := re.fullmatch(_WHOLE, value)) and not match[2]:
        count = _whole(match[1])
    if isinstance(count, bool) or not isinstance(count, int):
        refuse(value, name, "is not a whole number", allowed)
    if not minimum <= count <= maximum:
        refuse(value, name, "is out of range", allowed)
    return count


def parse_switch(value: object, *, name: str = "") -> bool:
    """Reads a switch: a bool, 1 or 0, or the words yes/no, true/false, on/off in any case.

    Raises:
        OptionError: anything else.
    """
    switch = _SWITCHES.get(str(value).lower()) if isinstance(value, (str, int)) else None
    if switch is None:
        refuse(value, name, "is not a switch", _SWITCH)
    return switch


def format_switch(value: bool) -> str:
    """Writes `yes` or `no`."""
    return "yes" if value else "no"


def parse_mode(value: object, *, name: str = "") -> int:
    """Reads a file mode (chmod(1)): octal text, with or without `0o`, or a number.

    The number 600 is refused, because it was meant as octal and is not: in Python one writes 0o600.

    Raises:
        OptionError: not octal, or more than 0o777.
    """
    mode = value
    if isinstance(value, str) and (match := re.fullmatch(r"(?:0o)?([0-7]{1,5})", value)):
        mode = int(match[1], 8)
    if isinstance(mode, bool) or not isinstance(mode, int):
        refuse(value, name, "is not a file mode", _MODE)
    if not 0 <= mode <= 0o777:
        refuse(value, name, "is out of range", _MODE)
    return mode


def format_mode(mode: int) -> str:
    """Writes a file mode as chmod(1) takes it: `600`."""
    return f"{mode:03o}"


def parse_text(value: object, *, name: str = "") -> str:
    """Takes a text as it is; what it means is checked where it is used.

    Raises:
        OptionError: not text, or empty.
    """
    if not isinstance(value, str) or not value:
        refuse(value, name, "is not a name", "a text that is not empty")
    return value


def parse_name(value: object, *, name: str = "") -> str:
    """Takes a name or a path that is handed to the system or a library of C; as it is.

    Raises:
        OptionError: not text, empty, or text that these do not take: with a zero byte, or half a character.
    """
    value = parse_text(value, name=name)
    if "\0" in value:
        refuse(value, name, "contains a zero byte", "text without it")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        refuse(value, name, "contains half a character", "text of whole ones")
    return value


_NETWORKS = "networks as 10.0.0.0/8, fd00::/8, single addresses, and the word unix for UNIX sockets, joined by commas"


def parse_networks(value: object, *, name: str = "") -> tuple[str, ...]:
    """Reads networks: a text with commas, or texts and values of `ipaddress` in any collection but a mapping.

    Returns:
        Each as canonical text, sorted, once: `10.0.0.0/8`, `::1/128`, `unix`.

    Raises:
        OptionError: one of them is none, or has bits beside its mask.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple, set, frozenset)):
        parts = (parts,)
    if not parts:
        refuse(value, name, "names no network", _NETWORKS)
    return tuple(sorted({_network(part, name) for part in parts}))


def _network(part: object, name: str) -> str:
    from ipaddress import ip_network  # only who has such a list pays for it

    text = str(part).strip()
    if text == "unix":
        return text
    try:
        if "%" in text or (isinstance(part, int) and not isinstance(part, str)):
            raise ValueError("a zone, or a number")
        return str(ip_network(text))
    except ValueError as error:
        problem = "has bits beside its mask" if "host bits" in str(error) else "is no network"
        refuse(part, name, problem, _NETWORKS)


def _format_networks(networks: tuple[str, ...]) -> str:
    return ",".join(networks)


def _parse_choice(value: object, *, name: str = "", allowed: tuple[str, ...] = ()) -> str:
    if not isinstance(value, str) or value not in allowed:
        label = f"{name}: " if name else ""
        raise OptionError(f"{label}{quote(value)} is none of {', '.join(allowed)}")
    return value


class OptionType(Value):
    """What values an option takes.

    Attributes:
        name: the kind in a word, for tables and `--help`.
        read: a `parse_...` function, with its range where it has one.
        write: value to canonical text, its inverse.
        optional: whether None (text: `none`) is a value.
    """

    name: str
    read: Callable[..., Any]
    write: Callable[[Any], str]
    optional: bool = False

    def parse(self, value: object, *, name: str = "") -> Any:
        """Reads text or a native value.

        Raises:
            OptionError: it is not a value of this kind; the message names the option and says what is allowed.
        """
        if not self.optional:
            return self.read(value, name=name)
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        try:
            return self.read(value, name=name)
        except OptionError as error:
            raise OptionError(f"{error}, or none") from None

    def format(self, value: Any) -> str:
        """Writes a value that `parse` has given as canonical text."""
        return "none" if value is None else self.write(value)


def duration_kind(minimum: float = 0.0, maximum: float = LONGEST) -> OptionType:
    """Times, in seconds, from the least to the most that is allowed, both inclusive."""
    return OptionType("time", partial(parse_duration, minimum=minimum, maximum=maximum), format_duration)


def size_kind(minimum: int = 0, maximum: int = _LARGEST) -> OptionType:
    """Sizes, in bytes, likewise."""
    return OptionType("size", partial(parse_size, minimum=minimum, maximum=maximum), format_size)


def count_kind(minimum: int = 0, maximum: int = _MOST) -> OptionType:
    """Whole numbers of things, likewise."""
    return OptionType("count", partial(parse_count, minimum=minimum, maximum=maximum), str)


def choice_kind(*allowed: str) -> OptionType:
    """One of a few words."""
    return OptionType("/".join(allowed), partial(_parse_choice, allowed=allowed), str)


def or_none(kind: OptionType) -> OptionType:
    """The same kind with None as one more value."""
    return replace(kind, optional=True)


SWITCH = OptionType("yes/no", parse_switch, format_switch)
MODE = OptionType("file mode", parse_mode, format_mode)
TEXT = OptionType("name", parse_text, str)
NAME = OptionType("name", parse_name, str)
NETWORKS = OptionType("networks", parse_networks, _format_networks)
