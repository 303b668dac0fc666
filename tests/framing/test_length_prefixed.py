"""Framings that say the size first: fixed, length, varint, netstring, octets, content-length; their headers' edges."""

from __future__ import annotations

import pytest

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, OptionError, TruncatedFrameError


def refusal(text, data):
    """What a fresh codec says about these bytes; it must say it at once."""
    with pytest.raises(FramingError) as caught:
        framing.parse(text).codec().feed(data)
    return str(caught.value)


def test_fixed_cuts_by_size_alone():
    codec = framing.Fixed(3).codec()
    assert codec.feed(b"abcde") == [b"abc"]
    assert codec.feed(b"f\0\n") == [b"def"]
    with pytest.raises(TruncatedFrameError, match="2 bytes of it came, 1 of its 3 are missing") as caught:
        codec.feed_eof()
    assert caught.value.partial == b"\0\n"


def test_fixed_size_only():
    """Fixed takes messages of its size alone."""
    with pytest.raises(FramingError, match="message 1 has 2 bytes, not 3"):
        framing.Fixed(3).codec().encode([b"abc", b"ab"])


@pytest.mark.parametrize("text", ["fixed", "fixed:0", "fixed:-1", "fixed:x", "fixed:3,4", "fixed:3,max_size=4"])
def test_fixed_needs_a_size_and_nothing_else(text):
    with pytest.raises(OptionError, match="fixed: "):
        framing.parse(text)


def test_a_size_may_have_a_unit():
    assert framing.parse("fixed:4KiB") == framing.Fixed(4096)
    assert str(framing.Fixed(4096)) == "fixed:4096"


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("length:1", b"\3abc"),
        ("length:2", b"\0\3abc"),
        ("length:2le", b"\3\0abc"),
        ("length:3", b"\0\0\3abc"),
        ("length:3le", b"\3\0\0abc"),
        ("length:4", b"\0\0\0\3abc"),
        ("length:8le", b"\3\0\0\0\0\0\0\0abc"),
        ("length:2,includes=header", b"\0\5abc"),
        ("length:2,includes=all", b"\0\5abc"),
        ("length:2,includes=rest", b"\0\3abc"),
        ("length:2,before=1", b"\0\0\3abc"),
        ("length:2,before=1,after=2", b"\0\0\3\0\0abc"),
        ("length:2,before=1,after=2,includes=rest", b"\0\0\5\0\0abc"),
        ("length:2,before=1,after=2,includes=header", b"\0\0\7\0\0abc"),
        ("length:2,before=1,after=2,includes=all", b"\0\0\10\0\0abc"),
        ("length:3,includes=all,before=1,after=2", b"\0\0\0\11\0\0abc"),
    ],
)
def test_what_the_number_counts(text, frame):
    made = framing.parse(text)
    assert made.codec().encode([b"abc"]) == frame
    assert made.codec().feed(frame) == [b"abc"]
    assert framing.parse(f"{text},keep_header").codec().feed(frame) == [frame]
    assert framing.parse(f"{text},keep_header").codec().encode([frame]) == frame


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("length:2le,includes=header", framing.Length(2, order="little", includes="header")),
        ("length:2,order=le,includes=header", framing.Length(2, "le", "header")),
        ("length:width=2,order=little,includes=header", framing.Length(2, order="le", includes="header")),
        ("length:4be", framing.Length(4)),
        ("length:4,keep-header", framing.Length(4, keep_header=True)),
        ("length:4,max_size=0,oversize=truncate", framing.Length(4, max_size=0, oversize="truncate")),
    ],
)
def test_the_text_of_a_length(text, made):
    assert framing.parse(text) == made
    assert framing.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("length", "the width is missing"),
        ("length:5", "'5' is no width of a number; allowed are 1, 2, 3, 4, 8 bytes"),
        ("length:4xe", "'4xe' is no width"),
        ("length:le", "'le' is no width"),
        ("length:4,order=middle", "'middle' is no byte order; allowed are big, little"),
        ("length:4le,order=be", "order is given twice"),
        ("length:4,includes=everything", "'everything' is none of payload, rest, header, all"),
        ("length:4,before=9999", "'9999' is out of range; allowed is a whole number from 0 to 1024"),
        ("length:4,include=all", "unknown option 'include' (did you mean includes?)"),
    ],
)
def test_bad_length_option_message(text, said):
    """A wrong length is reported what is allowed."""
    with pytest.raises(OptionError) as caught:
        framing.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["length:2,includes=header", "length:3,includes=header", "length:2,before=3,includes=all"]
)
def test_length_below_its_minimum(text):
    """A number too small for what it counts is refused at once."""
    assert "the number 1 is too small: it counts the" in refusal(
        text, framing.parse(text).before * b"t" + b"\0\0\1"[-framing.parse(text).width :]
    )


@pytest.mark.parametrize("policy", ["fail", "skip", "truncate"])
def test_absurd_length_refused_by_any_policy(policy):
    """An absurd number is refused whatever the policy."""
    assert "a frame of 18446744073709551615 bytes" in refusal(f"length:8,oversize={policy}", b"\xff" * 8)


def test_oversized_frame_refused_at_header():
    """An over long frame is refused before a byte of it has come."""
    codec = framing.Length(4).codec()
    with pytest.raises(FrameTooLongError, match="a frame of 4294967295 bytes at offset 0 is over max_size=1MiB"):
        codec.feed(b"\xff\xff\xff\xff")
    assert codec.buffered == 4


@pytest.mark.parametrize(("width", "most"), [(1, 255), (2, 65535)])
def test_message_beyond_length_field(width, most):
    """A message that the number cannot say is refused."""
    codec = framing.Length(width).codec()
    assert codec.feed(codec.encode([b"x" * most])) == [b"x" * most]
    with pytest.raises(FramingError, match=f"message 1 has {most + 1} bytes, and a number of {width} bytes can say"):
        codec.encode([b"", b"x" * (most + 1)])
    with pytest.raises(FramingError, match=f"can say at most {most - width};"):
        framing.Length(width, includes="header").codec().encode([b"x" * most])


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b"t\0", "has 2 bytes, fewer than its header (3)"),
        (b"t\0\3ab", "has 2 bytes behind its header, which says 3"),
        (b"t\0\0a", "has 1 bytes behind its header, which says 0"),
    ],
)
def test_a_kept_header_must_be_right(frame, said):
    with pytest.raises(FramingError) as caught:
        framing.parse("length:2,before=1,keep_header").codec().encode([frame])
    assert said in str(caught.value)


def test_truncated_frame_keeps_header():
    """A truncated frame keeps its header where headers are kept."""
    codec = framing.parse("length:1,keep_header,max_size=2,oversize=truncate").codec()
    assert codec.feed(b"\5hello\1a") == [b"\5he", b"\1a"]


def test_limit_counts_payload_with_header():
    """The limit counts the payload where headers are kept."""
    codec = framing.parse("length:1,before=1,keep_header,max_size=2").codec()
    assert codec.encode([b"t\2ab"]) == b"t\2ab"
    with pytest.raises(FrameTooLongError, match="has 3 bytes, over max_size=2B"):
        codec.encode([b"t\3abc"])


def test_truncated_error_counts_missing():
    """The end inside a frame says how much is missing."""
    codec = framing.Length(4).codec()
    codec.feed(b"\0\0\0\5he")
    with pytest.raises(TruncatedFrameError, match="6 bytes of it came, at least 3 more are missing") as caught:
        codec.feed_eof()
    assert caught.value.partial == b"\0\0\0\5he"


def test_the_end_inside_a_header():
    codec = framing.Length(4).codec()
    codec.feed(b"\0\0\0\0\0")
    with pytest.raises(TruncatedFrameError, match="1 bytes of it came, its header is not whole") as caught:
        codec.feed_eof()
    assert caught.value.offset == 4


def test_the_end_inside_a_skipped_frame():
    codec = framing.Length(4, max_size=1, oversize="skip").codec()
    codec.feed(b"\0\0\0\5he")
    with pytest.raises(
        TruncatedFrameError, match="inside a frame of an over-long frame at offset 6: 0 bytes of it came"
    ):
        codec.feed_eof()


@pytest.mark.parametrize(
    ("size", "header"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2"), (16384, b"\x80\x80\1")]
)
def test_varint_shortest_form_sent(size, header):
    """A varint is sent in its shortest form."""
    assert framing.Varint().codec().encode([b"x" * size]) == header + b"x" * size


@pytest.mark.parametrize("header", [b"\3", b"\x83\0", b"\x83\x80\0", b"\x83" + b"\x80" * 8 + b"\0"])
def test_varint_long_form_accepted(header):
    """A longer form of the same number is accepted up to ten bytes."""
    assert framing.Varint().codec().feed(header + b"abc") == [b"abc"]


def test_varint_eleven_bytes_refused():
    """A varint of eleven bytes is refused with its tenth."""
    assert "a varint of more than 10 bytes" in refusal("varint", b"\x83" + b"\x80" * 9)


def test_a_varint_over_64_bits_is_refused():
    assert "the size does not fit 64 bits" in refusal("varint", b"\xff" * 9 + b"\2")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"03:abc,", "the size b'03' has a leading zero"),
        (b"00:,", "the size b'00' has a leading zero"),
        (b":,", "a decimal size and ':' must come first, not b''"),
        (b"3,", "a decimal size and ':' must come first, not b'3,'"),
        (b"-1:,", "must come first, not b'-1'"),
        (b"+1:a,", "must come first, not b'+1'"),
        (b" 1:a,", "must come first, not b' 1'"),
        (b"1_0:a,", "must come first, not b'1_0'"),
        ("٣:abc,".encode(), "must come first"),
        (b"3:abcd", "',' must follow the payload, not b'd'"),
        (b"9" * 20, "the size has more than 19 digits"),
    ],
)
def test_what_is_no_netstring(data, said):
    assert said in refusal("netstring", data)


def test_an_empty_netstring():
    assert framing.Netstring().codec().encode([b""]) == b"0:,"
    assert framing.Netstring().codec().feed(b"0:,3:abc,") == [b"", b"abc"]


@pytest.mark.parametrize("policy", ["skip", "truncate"])
def test_skipped_netstring_needs_comma(policy):
    """A netstring that is passed over must be closed too."""
    codec = framing.Netstring(max_size=1, oversize=policy).codec()
    codec.feed(b"5:hello")
    with pytest.raises(FramingError, match="',' must follow the payload, not b'!'"):
        codec.feed(b"!")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"0 ", "the size 0 is not allowed (RFC 6587)"),
        (b"03 abc", "the size b'03' has a leading zero"),
        (b"<13>1 - x", "a decimal size and ' ' must come first, not b'<13>1'"),
        (b"\n3 abc", "must come first"),
    ],
)
def test_what_is_not_octet_counted(data, said):
    assert said in refusal("octets", data)


def test_empty_octet_counted_refused():
    """An empty message cannot be octet counted."""
    with pytest.raises(FramingError, match="message 1 is empty, which octet counting cannot have"):
        framing.Octets().codec().encode([b"a", b""])


def test_octets():
    assert framing.Octets().codec().encode([b"abc", b"d"]) == b"3 abc1 d"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 3\r\n",
        b"content-length:3\r\n",
        b"CONTENT-LENGTH: \t3 \r\n",
        b"Content-Length: 003\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nX-Unknown: \r\n",
        b"Content-Length: 3\r\ncontent-length: 3\r\n",
    ],
)
def test_headers_in_any_case_and_order(headers):
    assert framing.ContentLength().codec().feed(headers + b"\r\nabc") == [b"abc"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (b"X: y\r\n\r\n", "the headers must give one Content-Length, not none"),
        (b"\r\n\r\n", "b'' is no header line"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "not different ones (3, 4)"),
        (b"Content-Length : 3\r\n\r\n", "b'Content-Length : 3' is no header line"),
        (b" Content-Length: 3\r\n\r\n", "is no header line"),
        (b"Content-Length\r\n\r\n", "b'Content-Length' is no header line"),
        (b"Content-Length: -3\r\n\r\n", "b'-3' is no size"),
        (b"Content-Length: 3, 3\r\n\r\n", "b'3, 3' is no size"),
        (b"Content-Length: \r\n\r\n", "b'' is no size"),
        (b"Content-Length: 99999999999999999999\r\n\r\n", "is no size"),
        (b"Content-Length: 3\n\n", "a header line ends with a bare line feed"),
        (b"X: a\nContent-Length: 3\r\n\r\n", "is no header line"),
        (b"X: a\rb\r\nContent-Length: 3\r\n\r\n", "is no header line"),
        (b"X: " + b"y" * 8189, "the headers are longer than 8192 bytes"),
    ],
)
def test_what_is_no_header_block(headers, said):
    assert said in refusal("content-length", headers)


def test_headers_of_8_kib_are_taken():
    headers = b"Content-Length: 3\r\nX: "
    headers += b"y" * (8192 - len(headers) - 4)
    assert framing.ContentLength().codec().feed(headers + b"\r\n\r\nabc") == [b"abc"]


def test_what_is_sent_with_a_content_length():
    assert (
        framing.ContentLength().codec().encode([b"abc", b""])
        == b"Content-Length: 3\r\n\r\nabcContent-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "name", ["fixed:1", "length:4", "varint", "netstring", "octets", "content-length", "cobs", "slip", r"delimited:\0"]
)
def test_text_is_refused_with_what_to_do(name):
    with pytest.raises(
        TypeError, match=r"sends bytes: .*encode text first \('...'.encode\(\)\), or use framing='lines'"
    ):
        framing.parse(name).codec().encode(["a"])
    with pytest.raises(TypeError, match="not int"):
        framing.parse(name).codec().encode([5])


def test_trickling_headers_are_not_searched_again():
    """Headers that come byte by byte are looked at when a line ends, not with each byte."""
    codec = framing.parse("content-length").codec()
    looks = 0

    class Counting(type(codec)):
        __slots__ = ()

        def _header(self, data, start):
            nonlocal looks
            looks += 1
            return super()._header(data, start)

    codec = Counting(framing.parse("content-length"))
    block = b"X-Padding: " + b"x" * 4000 + b"\r\nContent-Length: 2\r\n\r\n"
    messages = []
    for byte in block + b"ok":
        messages += codec.feed(bytes([byte]))
    assert messages == [b"ok"]
    assert looks <= 8


@pytest.mark.parametrize("block", [b"\nContent-Length: 1\r\n\r\n", b"A: b\nContent-Length: 1\r\n\r\n", b"A: \r\r\n\n"])
def test_bare_line_feed_in_headers(block):
    """A bare line feed is refused, also as the first byte behind a body that ends with a carriage return."""
    codec = framing.parse("content-length").codec()
    assert codec.feed(b"Content-Length: 1\r\n\r\n\r") == [b"\r"]
    with pytest.raises(FramingError):
        codec.feed(block)
        codec.feed_eof()


@pytest.mark.parametrize("cut", range(1, 8))
def test_unclosed_skipped_frame_offset(cut):
    """The error of a skipped frame that is not closed names where the frame begins, wherever the bytes are cut."""
    codec = framing.parse("netstring:max_size=2,oversize=skip").codec()
    data = b"1:a,3:abcX"
    with pytest.raises(FramingError) as caught:
        codec.feed(data[: 4 + cut - 1])
        codec.feed(data[4 + cut - 1 :])
        codec.feed(b"")
    assert caught.value.offset == 4
