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
def test_what_is_no_delimiter_is_refused_as_an_object_too(value):
    with pytest.raises(OptionError, match="is no delimiter; allowed are"):
        framing.Delimited(value)


def test_between_two_delimiters_is_an_empty_message_and_at_the_end_there_is_none():
    codec = framing.Delimited(b"\0").codec()
    assert codec.feed(b"\0a\0\0b") == [b"", b"a", b""]
    assert codec.feed_eof() == [b"b"]
    assert codec.feed_eof() == []


def test_a_delimiter_is_found_from_the_left_without_overlap():
    codec = framing.Delimited(b"aa").codec()
    assert codec.feed(b"aaa") == [b""]
    assert codec.feed(b"a") == [b""]
    assert codec.feed(b"baaa") == [b"b"]
    assert codec.feed_eof() == [b"a"]


def test_a_delimiter_cut_by_a_packet_is_found():
    codec = framing.Delimited(b"END").codec()
    assert codec.feed(b"aEN") == []
    assert codec.feed(b"EN") == []
    assert codec.feed(b"Db") == [b"aEN"]
    assert codec.feed_eof() == [b"b"]


@pytest.mark.parametrize("message", [b"xEND", b"END", b"aENDb"])
def test_a_message_with_the_delimiter_in_it_is_refused(message):
    with pytest.raises(FramingError, match="message 1 contains the delimiter b'END'"):
        framing.Delimited(b"END").codec().encode([b"good", message])


def test_a_message_that_would_complete_a_delimiter_too_early_is_refused():
    with pytest.raises(FramingError, match="or the beginning of one at its end"):
        framing.Delimited(b"aa").codec().encode([b"ba"])
    assert framing.Delimited(b"END").codec().encode([b"xEN"]) == b"xENEND"


def test_what_may_be_the_beginning_of_the_delimiter_does_not_count_toward_the_limit():
    codec = framing.Delimited(b"END", max_size=2).codec()
    assert codec.feed(b"abEN") == []
    assert codec.feed(b"D") == [b"ab"]
    codec.feed(b"abE")
    with pytest.raises(FrameTooLongError):
        codec.feed(b"x")


def test_at_the_end_of_the_stream_the_beginning_of_a_delimiter_is_part_of_the_message():
    codec = framing.Delimited(b"END", max_size=2).codec()
    codec.feed(b"abE")
    with pytest.raises(FrameTooLongError, match="a frame of 3 bytes at offset 0"):
        codec.feed_eof()


def test_passing_over_finds_a_delimiter_that_a_packet_cuts():
    codec = framing.Delimited(b"END", max_size=2, oversize="skip").codec()
    assert codec.feed(b"a long oneE") == []
    assert codec.feed(b"N") == []
    assert codec.feed(b"Dok") == []
    assert codec.feed(b"END") == [b"ok"]
    assert codec.offset == len("a long oneENDokEND")
