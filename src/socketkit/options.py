"""How a conversation is to be held: frozen options, each with its unit, its default and the reason of the default.

Values come as text (from an address, the command line, a file) or natively (from a program) and mean the same. Text is
read strictly: a wrong unit or a garbled number is refused with what was wrong and what is allowed, never guessed.
To add an option, add its line to `Options`; the address, the docs and `--help` learn of it by themselves.
Nothing here opens, asks or changes anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn

from socketkit.errors import OptionError
from socketkit.values import Value, field, replace

__all__ = [
    "Description",
    "Kind",
    "Options",
    "format_duration",
    "format_mode",
    "format_option",
    "format_size",
    "format_switch",
    "parse_count",
    "parse_duration",
    "parse_mode",
    "parse_option",
    "parse_size",
    "parse_switch",
    "parse_text",
    "quote",
    "suggest",
]

# --- what is said when something is wrong ----------------------------------------------------------------------------

_QUOTED_LENGTH = 60
"""Characters of a foreign text that an error repeats: enough to find it, too few to flood a terminal."""


def quote(value: object) -> str:
    """Shows a foreign value in an error: on one line, control characters escaped, cut when it is long."""
    if isinstance(value, str) and len(value) > _QUOTED_LENGTH:
        return repr(value[:_QUOTED_LENGTH]) + "..."
    try:
        text = repr(value)
    except Exception:  # a foreign repr may do anything, and one of an int of 5000 digits raises ValueError
        text = f"<{type(value).__name__}>"
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _QUOTED_LENGTH + 2 else text[:_QUOTED_LENGTH] + "..."


def suggest(name: str, known: Iterable[str], *, form: str = "{}") -> str:
    """Gives `" (did you mean ...?)"` with the known name nearest to this one, or an empty text when none is near."""
    import difflib  # only a mistake pays for it

    near = difflib.get_close_matches(name.replace("-", "_").lower()[:_QUOTED_LENGTH], list(known), n=1, cutoff=0.6)
    return f" (did you mean {form.format(near[0])}?)" if near else ""


def _refuse(value: object, name: str, problem: str, allowed: str) -> NoReturn:
    label = f"{name}: " if name else ""
    raise OptionError(f"{label}{quote(value)} {problem}; allowed is {allowed}")


# --- durations -------------------------------------------------------------------------------------------------------

_DURATION = "a time such as 250ms, 2s, 5m or 1h (a bare number is seconds)"
_LONGEST = 876_000.0 * 3600
"""A hundred years: every clock and every system call that we hand a time to can still count it."""

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"(-?[0-9]*\.?[0-9]+)(.*)", re.DOTALL)


def parse_duration(value: object, *, name: str = "", minimum: float = 0.0, maximum: float = _LONGEST) -> float:
    """Reads a time: text with a unit (ms s m h), or a number of seconds.

    Args:
        value: the text or the number; a nanosecond is the finest step, finer parts are rounded off.
        name: the option's name, for the error.
        minimum: the least that is allowed, in seconds, inclusive.
        maximum: the most that is allowed, in seconds, inclusive.

    Returns:
        Seconds.

    Raises:
        OptionError: not a time, or out of range.
    """
    seconds = _seconds(value, name) if isinstance(value, str) else value
    if (
        isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds
    ):  # nan differs from itself
        _refuse(value, name, "is not a time", _DURATION)
    if seconds < minimum:
        _refuse(value, name, f"is less than {format_duration(minimum)}", _DURATION)
    if seconds > maximum:
        _refuse(value, name, f"is more than {format_duration(maximum)}", _DURATION)
    return round(float(seconds), 9) + 0.0  # + 0.0: minus zero becomes zero


def _seconds(text: str, name: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        _refuse(text, name, "is not a time", _DURATION)
    number, unit = match.groups()
    if unit not in _UNITS:
        _refuse(text, name, f"has the unknown unit {quote(unit)}", _DURATION)
    # Dividing is exact to the last bit where multiplying by 0.001 is not.
    return float(number) / 1000 if unit == "ms" else float(number) * _UNITS[unit]


def format_duration(seconds: float) -> str:
    """Writes a time so that `parse_duration` reads the same back: `250ms`, `2s`, `1.5s`, `5m`, `1h`.

    Below a second in milliseconds; else in the largest unit that it is a whole number of; else in decimal seconds.
    Finer parts than a nanosecond are rounded off.
    """
    for unit in ("h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    if 0 < seconds < 1:
        return f"{_decimal(seconds * 1000, 6)}ms"
    return f"{_decimal(seconds, 9)}s"


def _decimal(number: float, places: int) -> str:
    return f"{number:.{places}f}".rstrip("0").rstrip(".")


# --- sizes -----------------------------------------------------------------------------------------------------------

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
_WHOLE = re.compile(r"(-?[0-9]+)(.*)", re.DOTALL)


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
        _refuse(value, name, "is not a size in whole bytes", _SIZE)
    if size < minimum:
        _refuse(value, name, f"is less than {format_size(minimum)}", _SIZE)
    if size > maximum:
        _refuse(value, name, f"is more than {format_size(maximum)}", _SIZE)
    return size


def _size(text: str, name: str) -> int:
    match = _WHOLE.fullmatch(text)
    if match is None:
        _refuse(text, name, "is not a size", _SIZE)
    number, unit = match.groups()
    if unit and unit not in _BYTES:
        _refuse(text, name, f"has the unknown unit {quote(unit)}", _SIZE)
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


# --- counts, switches, modes, names ----------------------------------------------------------------------------------

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
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)) and not match[2]:
        count = _whole(match[1])
    if isinstance(count, bool) or not isinstance(count, int):
        _refuse(value, name, "is not a whole number", allowed)
    if not minimum <= count <= maximum:
        _refuse(value, name, "is out of range", allowed)
    return count


def parse_switch(value: object, *, name: str = "") -> bool:
    """Reads a switch: a bool, 1 or 0, or the words yes/no, true/false, on/off in any case.

    Raises:
        OptionError: anything else.
    """
    switch = _SWITCHES.get(str(value).lower()) if isinstance(value, (str, int)) else None
    if switch is None:
        _refuse(value, name, "is not a switch", _SWITCH)
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
        _refuse(value, name, "is not a file mode", _MODE)
    if not 0 <= mode <= 0o777:
        _refuse(value, name, "is out of range", _MODE)
    return mode


def format_mode(mode: int) -> str:
    """Writes a file mode as chmod(1) takes it: `600`."""
    return f"{mode:03o}"


def parse_text(value: object, *, name: str = "") -> str:
    """Takes a name as it is; what it names is decided by the room that knows.

    Raises:
        OptionError: not text, or empty.
    """
    if not isinstance(value, str) or not value:
        _refuse(value, name, "is not a name", "a text that is not empty")
    return value


# --- kinds -----------------------------------------------------------------------------------------------------------


class Kind(Value):
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


def _duration(minimum: float = 0.0, maximum: float = _LONGEST) -> Kind:
    return Kind("time", partial(parse_duration, minimum=minimum, maximum=maximum), format_duration)


def _bytes(minimum: int = 0, maximum: int = _LARGEST) -> Kind:
    return Kind("size", partial(parse_size, minimum=minimum, maximum=maximum), format_size)


def _count(minimum: int = 0, maximum: int = _MOST) -> Kind:
    return Kind("count", partial(parse_count, minimum=minimum, maximum=maximum), str)


def _or_none(kind: Kind) -> Kind:
    return replace(kind, optional=True)


_SWITCH_KIND = Kind("yes/no", parse_switch, format_switch)
_MODE_KIND = Kind("file mode", parse_mode, format_mode)
_TEXT_KIND = Kind("name", parse_text, str)


# --- the options -----------------------------------------------------------------------------------------------------


def _option(default: object, kind: Kind, sentence: str) -> Any:
    return field(default, kind=kind, sentence=sentence)


class Description(Value):
    """One option as the docs and `--help` show it; all four are texts."""

    name: str
    default: str
    kind: str
    sentence: str


class Options(Value):
    """Every option with its value. `Options.make` reads and checks; the constructor takes checked native values.

    Each sentence gives the meaning, the unit, and the reason of the default.
    """

    connect_timeout: float | None = _option(
        10.0,
        _or_none(_duration()),
        "How long opening may take, over all addresses of the name; 10s as ncat has it, long enough for two lost SYNs; "
        "none: as long as the system tries, often two minutes.",
    )
    close_timeout: float = _option(
        5.0,
        _duration(),
        "How long closing may wait to send what is left; 5s: a peer that reads at all has read by then.",
    )
    grace: float = _option(
        10.0,
        _duration(),
        "How long a server that was told to stop lets its conversations end; 10s, as a container has.",
    )
    high_water: int = _option(
        64 * 1024,
        _bytes(),
        "Outgoing bytes that may wait before `send` does; 64KiB, as asyncio: a full pipe, not memory.",
    )
    receive_size: int = _option(
        256 * 1024,
        _bytes(minimum=1, maximum=2**30),
        "Bytes that one `recv` may bring; 256KiB: more gains no speed, less costs system calls.",
    )
    nodelay: bool = _option(
        True,
        _SWITCH_KIND,
        "Send small messages at once (TCP_NODELAY); yes: we send in batches already, Nagle only waits.",
    )
    keepalive: bool = _option(
        True, _SWITCH_KIND, "Ask a silent peer whether it lives (SO_KEEPALIVE); yes: else a lost one is never noticed."
    )
    keepalive_idle: float = _option(  # tcp(7): whole seconds, at most MAX_TCP_KEEPIDLE = 32767
        60.0,
        _duration(minimum=1, maximum=32767),
        "Silence before the first question, in whole seconds; 60s: most NAT tables and firewalls forget later.",
    )
    keepalive_interval: float = _option(  # MAX_TCP_KEEPINTVL = 32767
        10.0,
        _duration(minimum=1, maximum=32767),
        "Time between questions, in whole seconds; 10s: a lost packet or two is no death.",
    )
    keepalive_count: int = _option(  # MAX_TCP_KEEPCNT = 127
        6, _count(minimum=1, maximum=127), "Unanswered questions before the peer counts as lost; 6: two minutes in all."
    )
    backlog: int | None = _option(
        None,
        _or_none(_count()),
        "Callers that may wait to be accepted; none: as many as the system allows (somaxconn).",
    )
    reuse_address: bool | None = _option(
        None,
        _or_none(_SWITCH_KIND),
        "Bind where old connections still linger (SO_REUSEADDR); none: yes on POSIX, where it steals nothing.",
    )
    reuse_port: bool = _option(
        False,
        _SWITCH_KIND,
        "Let several servers share the port (SO_REUSEPORT); no: a second server is mostly a mistake.",
    )
    mode: int | None = _option(
        None,
        _or_none(_MODE_KIND),
        "File mode of a UNIX socket, octal, from its first instant; none: as the umask says.",
    )
    max_connections: int = _option(
        10_000,
        _count(minimum=1),
        "Conversations of a server at a time; 10000: the rest waits in the backlog, not in memory.",
    )
    framing: str | None = _option(
        None, _or_none(_TEXT_KIND), "How messages lie in the bytes, by name; none: what the caller says, else chunks."
    )
    engine: str | None = _option(
        None,
        _or_none(_TEXT_KIND),
        "Which way of waiting is used, by name; none: the one that runs, else the best there is.",
    )

    @classmethod
    def make(cls, *sources: Mapping[str, object], **keywords: object) -> Options:
        """Reads options from any number of sources: defaults, a file, an address, the caller's keywords.

        Args:
            sources: name to value, as text or natively; a later source wins over an earlier one.
            keywords: the same, and win over all.

        Returns:
            Every option, with the default where nobody said otherwise.

        Raises:
            OptionError: an unknown name or a wrong value, wherever it stands, also where another source wins over it.
        """
        values: dict[str, Any] = {}
        for source in (*sources, keywords):
            for name, value in source.items():
                values[name] = parse_option(name, value)
        return cls(**values)

    @classmethod
    def describe(cls) -> tuple[Description, ...]:
        """Every option in the order of this page, for docs and `--help`."""
        return tuple(
            Description(
                name=name,
                default=entry.facts["kind"].format(entry.default),
                kind=entry.facts["kind"].name,
                sentence=entry.facts["sentence"],
            )
            for name, entry in cls.fields.items()
        )


_KINDS: dict[str, Kind] = {name: entry.facts["kind"] for name, entry in Options.fields.items()}


def parse_option(name: str, value: object) -> Any:
    """Reads one option's value, given as text or natively.

    Raises:
        OptionError: no such option (the nearest name is suggested), or not a value of its kind.
    """
    return _kind(name).parse(value, name=name)


def format_option(name: str, value: object) -> str:
    """Writes one option's value as canonical text; what `parse_option` reads as the same value is written the same.

    Raises:
        OptionError: as for `parse_option`.
    """
    return _kind(name).format(parse_option(name, value))


def _kind(name: str) -> Kind:
    kind = _KINDS.get(name)
    if kind is None:
        near = suggest(name, _KINDS)
        raise OptionError(f"unknown option {quote(name)}{near}; allowed are {', '.join(sorted(_KINDS))}")
    return kind
