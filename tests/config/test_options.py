"""Options: text and native values mean the same, canonical text reads back, a refusal says what is allowed."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketkit.config.durations import format_duration, parse_duration
from socketkit.config.option_types import (
    format_mode,
    format_size,
    parse_count,
    parse_mode,
    parse_size,
    parse_switch,
    parse_text,
)
from socketkit.config.options import Description, Options, format_option, parse_option
from socketkit.config.quoting import quote, suggest
from socketkit.errors import OptionError, SocketkitError

HOUSE = Path(inspect.getfile(SocketkitError)).parent
NAMES = list(Options.fields)
TIME = "allowed is a time such as 250ms, 2s, 5m or 1h (a bare number is seconds)"
SIZE = "allowed is a size such as 4096, 64KiB or 1MB (B KiB MiB GiB KB MB GB; a bare number is bytes)"
SWITCH = "allowed is yes or no (also true/false, on/off, 1/0)"
MODE = "allowed is an octal file mode from 000 to 777, as text (600) or in Python 0o600, or none"
ALL = f"allowed are {', '.join(sorted(NAMES))}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("10", 10.0),
        ("0", 0.0),
        ("-0", 0.0),
        (10, 10.0),
        (0.25, 0.25),
        ("0.1ms", 0.0001),
        ("876000h", 876_000 * 3600.0),
    ],
)
def test_a_time_is_read_in_its_unit(text: object, seconds: float) -> None:
    duration = parse_duration(text)
    assert duration == seconds
    assert isinstance(duration, float)
    assert math.copysign(1, duration) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.0005, "0.5ms"),
        (1.5, "1.5s"),
        (2, "2s"),
        (60, "1m"),
        (90, "90s"),
        (300, "5m"),
        (3600, "1h"),
        (5400, "90m"),
        (86400, "24h"),
        (0.1 + 0.2, "300ms"),
    ],
)
def test_a_time_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=876_000 * 3600))
def test_duration_round_trip(seconds: float) -> None:
    """A time that was read is written and read again as the same."""
    duration = parse_duration(seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100B", 100),
        ("64KiB", 65536),
        ("1MiB", 2**20),
        ("2GiB", 2**31),
        ("1KB", 1000),
        ("3MB", 3_000_000),
        ("1GB", 10**9),
        ("4096", 4096),
        ("0", 0),
        (4096, 4096),
    ],
)
def test_a_size_is_read_in_its_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (100, "100B"),
        (1000, "1KB"),
        (1024, "1KiB"),
        (65536, "64KiB"),
        (64000, "64KB"),
        (2**20, "1MiB"),
        (10**9, "1GB"),
        (2**30 + 1, "1073741825B"),
    ],
)
def test_a_size_is_written_exactly_and_short(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_size_round_trip(size: int) -> None:
    """Writing a size and reading it are inverse."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("word", ["yes", "true", "on", "1", "Yes", "TRUE", True, 1])
def test_words_that_switch_on(word: object) -> None:
    assert parse_switch(word) is True


@pytest.mark.parametrize("word", ["no", "false", "off", "0", "No", "False", False, 0])
def test_words_that_switch_off(word: object) -> None:
    assert parse_switch(word) is False


@pytest.mark.parametrize("text", ["600", "0600", "0o600", 0o600])
def test_file_mode_is_octal(text: object) -> None:
    """A file mode is octal as chmod has it."""
    assert parse_mode(text) == 0o600
    assert format_mode(0o600) == "600"
    assert format_mode(0) == "000"


def test_count_range_is_inclusive() -> None:
    """Counts include both ends of their range."""
    assert parse_count("1", minimum=1, maximum=3) == 1
    assert parse_count(3, minimum=1, maximum=3) == 3
    for outside in ("0", 4, "-1"):
        with pytest.raises(OptionError, match="allowed is a whole number from 1 to 3"):
            parse_count(outside, minimum=1, maximum=3)


def test_duration_and_size_range_inclusive() -> None:
    """A range of times and sizes includes both ends."""
    assert parse_duration("1s", minimum=1, maximum=2) == 1
    assert parse_duration("2s", minimum=1, maximum=2) == 2
    assert parse_size("1KiB", minimum=1024, maximum=2048) == 1024
    assert parse_size("2KiB", minimum=1024, maximum=2048) == 2048
    for text in ("999ms", "2001ms"):
        with pytest.raises(OptionError):
            parse_duration(text, minimum=1, maximum=2)
    for text in ("1023", "2049"):
        with pytest.raises(OptionError):
            parse_size(text, minimum=1024, maximum=2048)


def test_a_name_is_taken_as_it_is() -> None:
    assert parse_text("lines:max_size=64KiB,oversize=skip") == "lines:max_size=64KiB,oversize=skip"


def test_the_defaults_bound_everything() -> None:
    options = Options()
    assert options == Options.make()
    assert (options.connect_timeout, options.close_timeout, options.grace) == (10, 5, 10)
    assert (options.high_water, options.receive_size) == (64 * 1024, 256 * 1024)
    assert (options.nodelay, options.keepalive, options.reuse_port) == (True, True, False)
    assert (options.keepalive_idle, options.keepalive_interval, options.keepalive_count) == (60, 10, 6)
    assert (options.backlog, options.reuse_address, options.mode) == (None, None, None)
    assert (options.max_connections, options.framing, options.engine) == (10_000, None, None)


def test_keywords_override_sources() -> None:
    """Later sources win and keywords win over all."""
    options = Options.make({"grace": "1s", "backlog": "1"}, {"grace": "2s", "nodelay": "no"}, nodelay=True)
    assert (options.grace, options.backlog, options.nodelay) == (2, 1, True)


def test_losing_value_is_still_checked() -> None:
    """A wrong value is refused also where it would not win."""
    with pytest.raises(OptionError, match="grace: 'soon'"):
        Options.make({"grace": "soon"}, grace=1)


def test_none_is_read_where_it_is_a_value() -> None:
    options = Options.make(connect_timeout="none", backlog=None, mode="None")
    assert (options.connect_timeout, options.backlog, options.mode) == (None, None, None)
    assert format_option("connect_timeout", None) == "none"


def test_options_are_frozen() -> None:
    """Options are frozen and hold nothing else."""
    options = Options()
    with pytest.raises(AttributeError):
        options.grace = 1  # type: ignore[misc]
    assert not hasattr(options, "__dict__")
    assert hash(options) == hash(Options())


@pytest.mark.parametrize("entry", Options.describe(), ids=lambda entry: entry.name)
def test_option_has_sentence_and_legal_default(entry: Description) -> None:
    """Every option is described by a sentence and its default is a legal text."""
    assert entry.sentence.endswith(".")
    assert ";" in entry.sentence, "the meaning; then the reason of the default"
    default = parse_option(entry.name, entry.default)
    assert default == getattr(Options(), entry.name)
    assert type(default) is type(getattr(Options(), entry.name))
    assert format_option(entry.name, default) == entry.default


def test_description_order_matches_page() -> None:
    """The description is a table in the order of the page."""
    table = Options.describe()
    assert [entry.name for entry in table] == NAMES
    assert (table[0].default, table[0].kind) == ("10s", "time")


@given(st.sampled_from(NAMES), st.text(max_size=8) | st.from_regex(r"\A[0-9.]{1,5}(ms|s|m|h|B|KiB|MB)?\Z"))
def test_any_text_is_value_or_option_error(name: str, text: str) -> None:
    """Any text is an option with one canonical text or an option error."""
    try:
        value = parse_option(name, text)
    except OptionError as error:
        assert_one_line(str(error))
        return
    canonical = format_option(name, text)
    assert parse_option(name, canonical) == value
    assert format_option(name, canonical) == canonical


@given(
    st.sampled_from(NAMES),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=4)
    | st.lists(st.integers(), max_size=2),
)
@example("headers", b"\x00")
@example("headers", [1, 2])
def test_any_object_is_value_or_option_error(name: str, value: object) -> None:
    """Any native value is taken or refused by an option error."""
    try:
        Options.make({name: value})
    except OptionError as error:
        assert_one_line(str(error))


def assert_one_line(text: str) -> None:
    assert text.isprintable(), text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("grace", "10x", f"grace: '10x' has the unknown unit 'x'; {TIME}"),
        ("grace", "10 s", f"grace: '10 s' has the unknown unit ' s'; {TIME}"),
        ("grace", "10S", f"grace: '10S' has the unknown unit 'S'; {TIME}"),
        ("grace", "1.2.3s", f"grace: '1.2.3s' has the unknown unit '.3s'; {TIME}"),
        ("grace", "soon", f"grace: 'soon' is not a time; {TIME}"),
        ("grace", "", f"grace: '' is not a time; {TIME}"),
        ("grace", "٣s", f"grace: '٣s' is not a time; {TIME}"),
        ("grace", "+3s", f"grace: '+3s' is not a time; {TIME}"),
        ("grace", "1_000", f"grace: '1_000' has the unknown unit '_000'; {TIME}"),
        ("grace", "nan", f"grace: 'nan' is not a time; {TIME}"),
        ("grace", "inf", f"grace: 'inf' is not a time; {TIME}"),
        ("grace", "none", f"grace: 'none' is not a time; {TIME}"),
        ("grace", "-5s", f"grace: '-5s' is less than 0s; {TIME}"),
        ("grace", "876001h", f"grace: '876001h' is more than 876000h; {TIME}"),
        ("grace", -5, f"grace: -5 is less than 0s; {TIME}"),
        ("grace", math.nan, f"grace: nan is not a time; {TIME}"),
        ("grace", math.inf, f"grace: inf is more than 876000h; {TIME}"),
        ("grace", True, f"grace: True is not a time; {TIME}"),
        ("grace", "5\x1b[31m", f"grace: '5\\x1b[31m' has the unknown unit '\\x1b[31m'; {TIME}"),
        ("connect_timeout", "10x", f"connect_timeout: '10x' has the unknown unit 'x'; {TIME}, or none"),
        ("keepalive_idle", "500ms", f"keepalive_idle: '500ms' is less than 1s; {TIME}"),
        ("keepalive_idle", "10h", f"keepalive_idle: '10h' is more than 32767s; {TIME}"),
        ("high_water", "64kb", f"high_water: '64kb' has the unknown unit 'kb'; {SIZE}"),
        ("high_water", "1.5MiB", f"high_water: '1.5MiB' has the unknown unit '.5MiB'; {SIZE}"),
        ("high_water", "much", f"high_water: 'much' is not a size; {SIZE}"),
        ("high_water", 1.5, f"high_water: 1.5 is not a size in whole bytes; {SIZE}"),
        ("high_water", -1, f"high_water: -1 is less than 0B; {SIZE}"),
        ("high_water", "9" * 5000, f"high_water: '{'9' * 60}'... is more than 9223372036854775807B; {SIZE}"),
        ("receive_size", "0", f"receive_size: '0' is less than 1B; {SIZE}"),
        ("nodelay", "maybe", f"nodelay: 'maybe' is not a switch; {SWITCH}"),
        ("nodelay", 2, f"nodelay: 2 is not a switch; {SWITCH}"),
        ("nodelay", None, f"nodelay: None is not a switch; {SWITCH}"),
        (
            "backlog",
            "many",
            "backlog: 'many' is not a whole number; allowed is a whole number from 0 to 2147483647, or none",
        ),
        (
            "backlog",
            "5s",
            "backlog: '5s' is not a whole number; allowed is a whole number from 0 to 2147483647, or none",
        ),
        ("backlog", "-1", "backlog: '-1' is out of range; allowed is a whole number from 0 to 2147483647, or none"),
        ("keepalive_count", 128, "keepalive_count: 128 is out of range; allowed is a whole number from 1 to 127"),
        ("mode", "800", f"mode: '800' is not a file mode; {MODE}"),
        ("mode", "rw", f"mode: 'rw' is not a file mode; {MODE}"),
        ("mode", 600, f"mode: 600 is out of range; {MODE}"),
        ("mode", "1777", f"mode: '1777' is out of range; {MODE}"),
        ("framing", "", "framing: '' is not a name; allowed is a text that is not empty, or none"),
        ("engine", 7, "engine: 7 is not a name; allowed is a text that is not empty, or none"),
        ("nodely", "yes", f"unknown option 'nodely' (did you mean nodelay?); {ALL}"),
        ("connect-timeout", "1s", f"unknown option 'connect-timeout' (did you mean connect_timeout?); {ALL}"),
        ("x", "1", f"unknown option 'x'; {ALL}"),
    ],
)
def test_error_names_option_and_allowed(name: str, value: object, message: str) -> None:
    """A refusal names the option quotes the part and says what is allowed."""
    with pytest.raises(OptionError) as caught:
        Options.make({name: value})
    assert str(caught.value) == message
    assert isinstance(caught.value, SocketkitError)
    assert_one_line(message)


def test_oversized_number_refused() -> None:
    """A number too long to be written is refused like any other."""
    for name in ("grace", "high_water", "backlog", "mode"):
        with pytest.raises(OptionError, match=f"{name}: <int> is "):
            Options.make({name: 10**5000})


def test_error_without_option_name() -> None:
    """Without a name the refusal is of the value alone."""
    with pytest.raises(OptionError) as caught:
        parse_duration("soon")
    assert str(caught.value) == f"'soon' is not a time; {TIME}"


def test_quote_never_fails_one_line() -> None:
    """Quoting never fails and stays on one line."""

    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    class Loud:
        def __repr__(self) -> str:
            return "a\nb\x1b"

    assert quote("a\nb") == r"'a\nb'"
    assert quote("x" * 61) == repr("x" * 60) + "..."
    assert quote("x" * 60) == repr("x" * 60)
    assert quote(Rude()) == "<Rude>"
    assert quote(Loud()) == r"a\nb\x1b"
    assert quote("\u202e") == r"'\u202e'"


def test_suggest_only_near_names() -> None:
    """A suggestion is made only where something is near."""
    assert suggest("backlo", ["backlog", "grace"]) == " (did you mean backlog?)"
    assert suggest("tpc", ["tcp", "unix"], form="{}://") == " (did you mean tcp://?)"
    assert suggest("zebra", ["backlog", "grace"]) == ""


def test_config_imports_nothing_slow() -> None:
    """The modules of addresses and options load neither socket nor anything slow."""
    code = (
        "import sys, types; before = set(sys.modules);"
        f"house = sys.modules['socketkit'] = types.ModuleType('socketkit'); house.__path__ = {[str(HOUSE)]};"
        "import socketkit.config.address;"
        "print(*{'socket', '_socket', 'ipaddress', 'urllib', 'difflib', 'unicodedata', 'ssl', 'asyncio'}"
        " & (set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
