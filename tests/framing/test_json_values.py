"""JSON, by the line and without lines: strict, and the same with msgspec and without."""

from __future__ import annotations

import sys

import pytest

from socketkit import framing
from socketkit.errors import FramingError, OptionError, TruncatedFrameError


@pytest.fixture(params=["msgspec", "standard library"], autouse=True)
def backend(request, monkeypatch):
    if request.param == "standard library":
        monkeypatch.setitem(sys.modules, "msgspec", None)
    return request.param


both = pytest.mark.parametrize("name", ["json", "json-stream"])


def refusal(name, data):
    codec = framing.parse(name).codec()
    with pytest.raises(FramingError) as caught:
        codec.feed(data)
    return str(caught.value)


@both
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,2.5,-0.0,null,true,false]}', {"a": [1, 2.5, -0.0, None, True, False]}),
        ('"привет"'.encode(), "привет"),
        (b'"\\u043f\\ud83d\\ude00\\n\\u0000"', "п😀\n\0"),
        (b"18446744073709551616", 2**64),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[" * 100 + b"]" * 100, None),
        (b"1e2", 100.0),
        (b' {"a" :\t1 } ', {"a": 1}),
    ],
)
def test_values(name, text, value):
    codec = framing.parse(name).codec()
    messages = codec.feed(text + b"\n")
    assert len(messages) == 1
    assert value is None or messages == [value]


@both
@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"[NaN]",
        b"1e999",
        b"[-1e999]",
        b'"\\ud800"',
        b'["\\udc00\\ud800"]',
        b'"\xff"',
        b'"\x01"',
        b"\xef\xbb\xbf1",
        b"01",
        b"1.",
        b"+1",
        b".5",
        b"[1,]",
        b"{'a':1}",
        b"{1:2}",
        b"nul",
        b"truefalse",
        b"[}",
        b"1" * 5000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\x00",
        "\N{NO-BREAK SPACE}1".encode(),
    ],
)
def test_invalid_json_offset(name, text):
    """What is no json is a fault at its offset."""
    codec = framing.parse(name).codec()
    assert codec.feed(b"[1]\n" + text + b"\n2\n") == [[1]]
    with pytest.raises(FramingError) as caught:
        codec.feed(b"")
    assert caught.value.offset == 4
    assert codec.encode([1]) == b"1\n"


@both
@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": [-float("inf"), None]}, "\ud800"])
def test_unencodable_value_encodes_nothing(name, value):
    """A value that json cannot say is refused and nothing is encoded."""
    with pytest.raises(FramingError, match=f"{name}: message 1 cannot be written as JSON"):
        framing.parse(name).codec().encode([None, value])


@both
def test_endless_nesting_is_refused(name):
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(FramingError, match="message 0 is nested too deep"):
        framing.parse(name).codec().encode([value])


@both
def test_unsupported_type_refused(name):
    """A type that json does not have is refused."""
    with pytest.raises(TypeError, match="message 1 is no JSON value"):
        framing.parse(name).codec().encode([1, object()])


@both
def test_none_is_a_value_like_any_other(name):
    codec = framing.parse(name).codec()
    assert codec.encode([None, {"a": None}]) == b'null\n{"a":null}\n'
    assert codec.feed(b"null\n") == [None]


@both
def test_to_truncate_json_makes_no_sense(name):
    with pytest.raises(OptionError, match="'truncate' is none of fail, skip"):
        framing.parse(f"{name}:oversize=truncate")


def test_blank_lines_mean_nothing():
    codec = framing.Json().codec()
    assert codec.feed(b"\n1\n \t\n\r\n2\r\n") == [1, 2]
    assert codec.feed(b"  ") == []
    assert codec.feed_eof() == []


@pytest.mark.parametrize("line", [b"1 2", b"[1][2]", b"[1,"])
def test_a_line_is_one_value(line):
    assert "json takes one value a line; values over several lines are json-stream" in refusal("json", line + b"\n2]\n")


def test_multiline_values_refused():
    """Values over two lines are not read however many are good together."""
    assert "in the line at offset 0" in refusal("json", b"[1,\n2]\n3 4\n")


def test_last_value_without_end():
    """The last value needs no end and must be whole."""
    codec = framing.Json().codec()
    assert codec.feed(b'1\n{"a":2}') == [1]
    assert codec.feed_eof() == [{"a": 2}]
    codec.feed(b'{"a":')
    with pytest.raises(TruncatedFrameError, match="in a line that is no JSON value") as caught:
        codec.feed_eof()
    assert caught.value.partial == b'{"a":'


@pytest.mark.parametrize(
    ("stream", "values"),
    [
        (b'{"a":1}{"b":2}[3]"x""y"4 5', [{"a": 1}, {"b": 2}, [3], "x", "y", 4, 5]),
        (b"1\n2\r\n\t3", [1, 2, 3]),
        (b"true false null[]", [True, False, None, []]),
        (b'{\n  "a": [\n    1,\n    2\n  ]\n}\n', [{"a": [1, 2]}]),
        (b'"}{\\"][\\\\"{}', ['}{"][\\', {}]),
        (b"12[]34{}", [12, [], 34, {}]),
        (b"[[[[[[[[[[[[1]]]]]]]]]]]] 2", [[[[[[[[[[[[[1]]]]]]]]]]]], 2]),
        (b'[[[[[[[["]"]]]]]]]] 2', [[[[[[[[["]"]]]]]]]], 2]),
        (b"", []),
        (b" \n ", []),
    ],
)
def test_values_side_by_side(stream, values):
    codec = framing.JsonStream().codec()
    assert codec.feed(stream) + codec.feed_eof() == values
    codec = framing.JsonStream().codec()
    one_by_one = [value for index in range(len(stream)) for value in codec.feed(stream[index : index + 1])]
    assert one_by_one + codec.feed_eof() == values


def test_number_ends_at_next_character():
    """A number is whole when the next character says so."""
    codec = framing.JsonStream().codec()
    assert codec.feed(b"12") == []
    assert codec.feed(b"3") == []
    assert codec.feed(b" ") == [123]


def test_sent_value_is_whole_at_once():
    """A value sent is whole for the peer at once."""
    codec = framing.JsonStream().codec()
    assert codec.feed(codec.encode((12,))) == [12]


@pytest.mark.parametrize("first", [b"]", b"}", b",", b":", b"N", b"\x00", b"\xff", b"'"])
def test_invalid_start_refused_at_once(first):
    """What begins no value is refused at once."""
    assert "no JSON value begins with" in refusal("json-stream", first)


@pytest.mark.parametrize("cut", [b"{", b'"abc', b'"abc\\', b"[1,2", b"tru"])
def test_eof_inside_value(cut):
    """The stream cannot end inside a value."""
    codec = framing.JsonStream().codec()
    assert codec.feed(b"1 " + cut) == [1]
    with pytest.raises(TruncatedFrameError) as caught:
        codec.feed_eof()
    assert (caught.value.partial, caught.value.offset) == (cut, 2)


def test_oversized_value_skipped_unbuffered():
    """An over long value is passed over without being held."""
    codec = framing.JsonStream(max_size=8, oversize="skip").codec()
    assert codec.feed(b'{"a":["]}\\"') == []
    assert len(codec.take_faults()) == 1
    for _ in range(100):
        assert codec.feed(b"[[]]" * 100 + b'\\"') == []
        assert codec.buffered == 1
    assert codec.feed(b'"]}[1]') == [[1]]
    assert codec.take_faults() == []
    assert codec.buffered == 0


class Markup(str):
    """A subclass of text, as template engines have it."""


class Level(int):
    """A subclass of a number."""


class Ratio(float):
    """A subclass of a number."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Markup("x"), b'"x"'),
        (Level(3), b"3"),
        (Ratio(1.5), b"1.5"),
        ({Markup("k"): [Markup("v")]}, b'{"k":["v"]}'),
        ({True: 1, False: 2}, b'{"true":1,"false":2}'),
        ({None: 1}, b'{"null":1}'),
        ({1: {2.5: None}}, b'{"1":{"2.5":null}}'),
        ({"banan": 1, "inf": None}, b'{"banan":1,"inf":null}'),
        ((1, [True, None]), b"[1,[true,null]]"),
    ],
)
@pytest.mark.parametrize("name", ["json", "json-stream"])
def test_same_values_without_msgspec(name, value, text):
    """What the standard library sends goes out with msgspec too, in the same bytes."""
    codec = framing.parse(name).codec()
    assert codec.encode([value, 1]) == text + b"\n1\n"


@pytest.mark.parametrize("value", [{float("nan"): 1}, {"a": {float("inf"): 1}}, [{float("-inf"): 1}], float("nan")])
@pytest.mark.parametrize("name", ["json", "json-stream"])
def test_nan_is_refused_as_key_too(name, value):
    with pytest.raises(FramingError, match="message 1 cannot be written as JSON"):
        framing.parse(name).codec().encode([1, value])
