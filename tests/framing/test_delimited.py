"""Delimited: the delimiter as text, longer ones, and ones that overlap with themselves."""

from __future__ import annotations

import pytest

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, OptionError


@pytest.mark.parametrize(
    ("text", "delimiter", "canonical"),
    [
        (r"delimited:\0", b"\0", r"delimited:\0"),
        ("delimited:|", b"|", "delimited:|"),
        (r"delimited:\r\n", b"\r\n", r"delimited:\r\n"),
        (r"delimited:\x0d\x0A", b"\r\n", r"delimited:\r\n"),
        (r"delimited:\x2c", b",", r"delimited:\x2c"),
        (r"delimited:\x3d", b"=", r"delimited:\x3d"),
        (r"delimited:=", b"=", r"delimited:\x3d"),
        (r"delimited:\\n", b"\\n", r"delimited:\\n"),
        (r"delimited:\01", b"\x001", r"delimited:\01"),
        ("delimited:я", "я".encode(), r"delimited:\xd1\x8f"),
        ("delimited: ", b" ", r"delimited:\x20"),
        (r"delimited:delimiter=END", b"END", "delimited:END"),
        (r"delimited:\t,max_size=4KiB,oversize=skip", b"\t", r"delimited:\t,max_size=4KiB,oversize=skip"),
    ],
)
def test_the_delimiter_as_text(text, delimiter, canonical):
    made = framing.parse(text)
    assert made.delimiter == delimiter
    assert str(made) == canonical
    assert framing.parse(canonical) == made


@pytest.mark.parametrize(
    "text", ["delimited", "delimited:", r"delimited:\q", "delimited:\\", r"delimited:\x1", "delimited:,"]
)
def test_what_is_no_delimiter_is_refused(text):
    with pytest.raises(OptionError, match="delimited: "):
        framing.parse(text)


@pytest.mark.parametrize("value", [b"", "", None, 0, 10])
def test_bad_delimiter_refused(value):
    """What is no delimiter is refused as an object too."""
    with pytest.raises(OptionError, match="is no delimiter; allowed are"):
        framing.Delimited(value)


def test_empty_message_between_delimiters():
    """Between two delimiters is an empty message and at the end there is none."""
    codec = framing.Delimited(b"\0").codec()
    assert codec.feed(b"\0a\0\0b") == [b"", b"a", b""]
    assert codec.feed_eof() == [b"b"]
    assert codec.feed_eof() == []


def test_leftmost_delimiter_no_overlap():
    """A delimiter is found from the left without overlap."""
    codec = framing.Delimited(b"aa").codec()
    assert codec.feed(b"aaa") == [b""]
    assert codec.feed(b"a") == [b""]
    assert codec.feed(b"baaa") == [b"b"]
    assert codec.feed_eof() == [b"a"]


def test_delimiter_split_across_reads():
    """A delimiter cut by a packet is found."""
    codec = framing.Delimited(b"END").codec()
    assert codec.feed(b"aEN") == []
    assert codec.feed(b"EN") == []
    assert codec.feed(b"Db") == [b"aEN"]
    assert codec.feed_eof() == [b"b"]


@pytest.mark.parametrize("message", [b"xEND", b"END", b"aENDb"])
def test_message_containing_delimiter_refused(message):
    """A message with the delimiter in it is refused."""
    with pytest.raises(FramingError, match="message 1 contains the delimiter b'END'"):
        framing.Delimited(b"END").codec().encode([b"good", message])


def test_message_completing_delimiter_refused():
    """A message that would complete a delimiter too early is refused."""
    with pytest.raises(FramingError, match="or the beginning of one at its end"):
        framing.Delimited(b"aa").codec().encode([b"ba"])
    assert framing.Delimited(b"END").codec().encode([b"xEN"]) == b"xENEND"


def test_delimiter_prefix_not_counted():
    """What may be the beginning of the delimiter does not count toward the limit."""
    codec = framing.Delimited(b"END", max_size=2).codec()
    assert codec.feed(b"abEN") == []
    assert codec.feed(b"D") == [b"ab"]
    codec.feed(b"abE")
    with pytest.raises(FrameTooLongError):
        codec.feed(b"x")


def test_delimiter_prefix_at_eof_is_payload():
    """At the end of the stream the beginning of a delimiter is part of the message."""
    codec = framing.Delimited(b"END", max_size=2).codec()
    codec.feed(b"abE")
    with pytest.raises(FrameTooLongError, match="a frame of 3 bytes at offset 0"):
        codec.feed_eof()


def test_skip_finds_split_delimiter():
    """Passing over finds a delimiter that a packet cuts."""
    codec = framing.Delimited(b"END", max_size=2, oversize="skip").codec()
    assert codec.feed(b"a long oneE") == []
    assert codec.feed(b"N") == []
    assert codec.feed(b"Dok") == []
    assert codec.feed(b"END") == [b"ok"]
    assert codec.offset == len("a long oneENDokEND")


# Several delimiters


@pytest.mark.parametrize(
    ("text", "delimiters", "canonical"),
    [
        (r"delimited:\r\n,\n", (b"\r\n", b"\n"), r"delimited:\r\n,\n"),
        (r"delimited:delimiter=\r\n,delimiter=\n", (b"\r\n", b"\n"), r"delimited:\r\n,\n"),
        (
            r"delimited:\n,max_size=4KiB,\r\n,oversize=skip",
            (b"\n", b"\r\n"),
            r"delimited:\n,\r\n,max_size=4KiB,oversize=skip",
        ),
        (r"delimited:;,delimiter=skip", (b";", b"skip"), "delimited:;,delimiter=skip"),
        (r"delimited:\x2c,;", (b",", b";"), r"delimited:\x2c,;"),
    ],
)
def test_several_delimiters_as_text(text, delimiters, canonical):
    made = framing.parse(text)
    assert made.delimiter == made.delimiters == delimiters
    assert str(made) == canonical
    assert framing.parse(canonical) == made == framing.Delimited(delimiters, made.max_size, made.oversize)


def test_delimiters_is_a_tuple_for_one_too():
    assert framing.Delimited([b"\n"]) == framing.Delimited(b"\n") == framing.Delimited((r"\n",))
    assert framing.Delimited(b"\n").delimiters == (b"\n",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (r"delimited:\n,\n", r"given twice"),
        (r"delimited:\r,\r\n", r"is sent, and is the beginning of"),
        ("delimited:x,abcd,b", "has b'b' inside"),
        (r"delimited:\n,", "is no delimiter"),
        (r"delimited:\0,skip", r"'skip' behind the delimiter; .*oversize"),
        (r"delimited:\0,max_size", r"'max_size' behind the delimiter"),
    ],
)
def test_delimiters_that_cannot_be_told_apart_refused(text, problem):
    with pytest.raises(OptionError, match=problem):
        framing.parse(text)


def test_first_and_longest_delimiter_wins():
    """The delimiter that begins first ends a message, and the longest of those that begin there."""
    codec = framing.Delimited((b"\r\n", b"\n", b"\r")).codec()
    assert codec.feed(b"a\nb\r\nc\rd\n\re\r\r\n") == [b"a", b"b", b"c", b"d", b"", b"e", b""]
    assert codec.encode([b"one", b"two"]) == b"one\r\ntwo\r\n"


def test_several_delimiters_split_across_reads():
    """A delimiter that may be the beginning of another is decided by the next byte, or by the end."""
    codec = framing.Delimited((b"\r\n", b"\n", b"\r")).codec()
    assert codec.feed(b"a\r") == []
    assert codec.feed(b"\n") == [b"a"]
    assert codec.feed(b"b\r") == []
    assert codec.feed(b"c\n") == [b"b", b"c"]
    assert codec.feed(b"d\r") == []
    assert codec.feed_eof() == [b"d"]
    assert codec.feed_eof() == []


def test_several_delimiters_limit():
    """An open delimiter does not count toward the limit; skipping stops at the first delimiter of any kind."""
    codec = framing.Delimited((b"\r\n", b"\n"), max_size=2).codec()
    assert codec.feed(b"ab\r") == []
    assert codec.feed(b"\nab\r") == [b"ab"]
    with pytest.raises(FrameTooLongError, match="a frame of at least 4 bytes at offset 4"):
        codec.feed(b"x")
    codec = framing.Delimited((b"END", b";"), max_size=2, oversize="skip").codec()
    assert codec.feed(b"a long oneEN") == []
    assert codec.feed(b"Dok;a longer one;EN") == [b"ok"]
    assert codec.feed(b"D") == [b""]


@pytest.mark.parametrize("message", [b"a\nb", b"\r\n", b"a\r"])
def test_message_containing_any_delimiter_refused(message):
    """A message with any of the delimiters inside is refused, and so is one that completes another one too early."""
    with pytest.raises(FramingError, match="message 1 contains the delimiter"):
        framing.Delimited((b"\n", b"\r\n")).codec().encode([b"good", message])
    assert framing.Delimited((b"\r\n", b"\n")).codec().encode([b"a\r"]) == b"a\r\r\n"
