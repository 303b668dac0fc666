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
