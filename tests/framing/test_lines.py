"""Lines: where the field disagrees about their ends, and what becomes of characters."""

from __future__ import annotations

import pytest

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, OptionError, TruncatedFrameError


def lines(text="lines", **options):
    return (framing.Lines(**options) if options else framing.parse(text)).codec()


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\n", ["a", "b"]),
        (b"\n\r\n\n", ["", "", ""]),
        (b"a\rb\n", ["a\rb"]),
        (b"a\r\r\n", ["a\r"]),
        (b"\r\n", [""]),
        ("a\x85b\u2028c\x0bd\n".encode(), ["a\x85b\u2028c\x0bd"]),
    ],
)
def test_line_ends_lf_and_crlf(data, messages):
    """A line ends with a line feed and one return before it."""
    assert lines().feed(data) == messages
    assert lines(crlf=True).feed(data) == messages
    assert [line.decode() for line in lines(encoding=None).feed(data)] == messages


def test_unterminated_last_line():
    """The last line of a stream needs no end."""
    codec = lines()
    assert codec.feed(b"a\nb") == ["a"]
    assert codec.buffered == 1
    assert codec.feed_eof() == ["b"]
    assert codec.feed_eof() == []
    assert codec.buffered == 0


def test_final_lf_adds_no_line():
    """A stream that ends with a line feed has no empty line behind it."""
    codec = lines()
    assert codec.feed(b"a\n") + codec.feed_eof() == ["a"]


def test_lone_cr_at_eof_is_payload():
    """A lone return at the end of the stream is part of the line."""
    codec = lines()
    assert codec.feed(b"a\r") + codec.feed_eof() == ["a\r"]


def test_crlf_split_across_reads():
    """A return cut from its line feed by a packet still belongs to the end."""
    codec = lines()
    assert codec.feed(b"a\r") + codec.feed(b"\n") == ["a"]


def test_what_is_sent():
    assert lines().encode(["a", "", "привет"]) == "a\n\nпривет\n".encode()
    assert lines(crlf=True).encode(["a", ""]) == b"a\r\n\r\n"
    assert lines(encoding="cp1251").encode(["я"]) == b"\xff\n"
    assert lines(encoding=None).encode([b"a", bytearray(b"b"), memoryview(b"c")]) == b"a\nb\nc\n"
    assert lines().encode([]) == lines(encoding=None).encode(iter(())) == b""


@pytest.mark.parametrize("message", ["a\nb", "\n", "a\r\nb", "a\n"])
@pytest.mark.parametrize("crlf", [True, False])
def test_line_containing_lf_refused(message, crlf):
    """A line with an end in it is refused and nothing is encoded."""
    with pytest.raises(FramingError, match="message 1 contains the end of a line"):
        lines(crlf=crlf).encode(["good", message])
    with pytest.raises(FramingError, match="message 1 contains the end of a line"):
        lines(crlf=crlf, encoding=None).encode([b"good", message.encode()])


def test_line_ending_in_cr_needs_crlf():
    """A line that ends with a return can only be sent with crlf."""
    with pytest.raises(FramingError, match=r"message 0 ends with '\\r', which the peer would drop; use crlf"):
        lines().encode(["a\r"])
    with pytest.raises(FramingError, match="message 0 ends with"):
        lines(encoding=None).encode([b"a\r"])
    assert lines().feed(lines(crlf=True).encode(["a\r"])) == ["a\r"]


def test_cr_inside_line():
    """A return inside a line is like any character."""
    assert lines().encode(["a\rb"]) == b"a\rb\n"


def test_character_split_across_reads():
    """A character cut in two by a packet is whole."""
    codec = lines()
    data = "привет\n".encode()
    assert [codec.feed(data[index : index + 1]) for index in range(len(data))][-1] == ["привет"]


def test_invalid_utf8_after_good_lines():
    """Bytes that are no text are a fault behind the good lines."""
    codec = lines()
    assert codec.feed(b"good\nbad \xff\nunread\n") == ["good"]
    for _ in range(2):
        with pytest.raises(FramingError, match="byte 0xff at position 4 is not utf-8") as caught:
            codec.feed(b"")
        assert caught.value.offset == 5
    assert codec.encode(["still"]) == b"still\n"
    assert codec.take_rest() == b"bad \xff\nunread\n"


def test_character_cut_by_eof():
    """A character cut by the end of the stream is a cut line."""
    codec = lines()
    codec.feed("a\nя".encode()[:-1])
    with pytest.raises(TruncatedFrameError, match="the last character is not whole") as caught:
        codec.feed_eof()
    assert (caught.value.partial, caught.value.offset) == (b"\xd1", 2)


def test_unencodable_character_refused():
    """A character that the encoding does not have is refused."""
    with pytest.raises(FramingError, match=r"message 1 has the character '\\u20ac' at position 2, which latin-1"):
        lines(encoding="latin-1").encode(["ok", "5 €"])
    with pytest.raises(FramingError, match="which utf-8 does not have"):
        lines().encode(["\ud800"])


@pytest.mark.parametrize("message", [b"bytes", 1, None])
def test_wrong_type_names_the_fix(message):
    """Another type is refused with what to do."""
    with pytest.raises(TypeError, match=r"lines sends str: .*; use encoding=none for bytes"):
        lines().encode(["a", message])


def test_text_refused_for_bytes_lines():
    """Text is refused where bytes are sent."""
    with pytest.raises(TypeError, match=r"lines:encoding=none sends bytes: .*encode text first"):
        lines(encoding=None).encode(["a"])


def test_line_end_not_counted():
    """The end of a line does not count toward the limit."""
    for end in (b"\n", b"\r\n"):
        assert lines(max_size=3).feed(b"abc" + end) == ["abc"]
        with pytest.raises(FrameTooLongError):
            lines(max_size=3).feed(b"abcd" + end)


def test_limit_counts_bytes():
    """The limit counts bytes not characters."""
    assert lines(max_size=4).feed("яя\n".encode()) == ["яя"]
    with pytest.raises(FrameTooLongError):
        lines(max_size=4).feed("яяя\n".encode())
    with pytest.raises(FrameTooLongError, match="message 0 has 6 bytes, over max_size=4B"):
        lines(max_size=4).encode(["яяя"])


def test_line_refused_at_first_byte_over():
    """A line is refused with the first byte over the limit."""
    codec = lines(max_size=4)
    assert codec.feed(b"abcd") == []
    assert codec.feed(b"\r") == []
    with pytest.raises(FrameTooLongError):
        codec.feed(b"x")


def test_truncated_line_keeps_characters():
    """A truncated line keeps whole characters."""
    codec = lines(max_size=4, oversize="truncate")
    assert codec.feed("aяяя\nb\n".encode()) == ["aя", "b"]
    assert [(fault.offset, fault.size) for fault in codec.take_faults()] == [(0, 7)]
    assert codec.take_faults() == []


def test_skipped_line_reported_once():
    """A skipped line is reported once and not held."""
    codec = lines(max_size=4, oversize="skip")
    assert codec.feed(b"a\nlong line ") == ["a"]
    assert len(codec.take_faults()) == 1
    assert codec.feed(b"x" * 100_000) == []
    assert codec.take_faults() == []
    assert codec.buffered == 1
    assert codec.feed(b"end\nb\n") == ["b"]
    assert codec.buffered == 0


def test_skipped_line_at_eof():
    """A skipped line at the end of the stream is over."""
    codec = lines(max_size=4, oversize="skip")
    codec.feed(b"long line")
    assert codec.feed_eof() == []


def test_skipped_bytes_not_reframed():
    """What was skipped cannot be given to another framing."""
    codec = lines(max_size=4, oversize="skip")
    codec.feed(b"long line")
    with pytest.raises(FramingError, match="an over-long frame is being skipped at offset 9"):
        codec.take_rest()


def test_more_than_came_cannot_be_given_back():
    codec = lines()
    codec.feed(b"a\n")
    with pytest.raises(ValueError, match="the last call returned fewer than 2 messages"):
        codec.take_rest(2)


def test_unterminated_line_is_rest():
    """The last line without an end can be given back."""
    codec = lines()
    codec.feed(b"a\nb")
    assert codec.feed_eof() == ["b"]
    assert codec.take_rest(1) == b"b"


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("utf8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("latin1", "latin-1"),
        ("iso-8859-1", "latin-1"),
        ("windows-1251", "cp1251"),
    ],
)
def test_an_encoding_has_one_name(given, canonical):
    assert framing.Lines(encoding=given).encoding == canonical


@pytest.mark.parametrize(
    "encoding",
    ["utf-16", "utf-32", "utf-7", "utf-8-sig", "hz", "cp037", "unicode_escape", "idna", "punycode"],
)
def test_encoding_with_foreign_lf_refused(encoding):
    """An encoding whose line ends are not its own is refused."""
    with pytest.raises(OptionError, match="does not extend ASCII"):
        framing.Lines(encoding=encoding)


@pytest.mark.parametrize("encoding", ["rot13", "hex", "nonsense", "", "\0"])
def test_non_text_encoding_refused(encoding):
    """What is no encoding of text is refused."""
    with pytest.raises(OptionError, match="is no encoding of text"):
        framing.Lines(encoding=encoding)


def test_stateful_encoding_restarts():
    """An encoding with a state begins anew with each line."""
    codec = lines(encoding="iso2022_jp")
    data = codec.encode(["日本", "a", "語"])
    assert codec.feed(data) == ["日本", "a", "語"]
    assert data.count(b"\x1b(B") == 2
