"""Header fields beside the number: `length` with `beside` and `fill`, `varint` with `before`."""

from __future__ import annotations

import struct

import pytest

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, OptionError


def test_fixed_fields_around_the_number():
    """Type, flags and a reserved byte are sent as they were given, in all ways of encoding."""
    made = framing.parse(r"length:2,before=2,after=1,beside=\x07\x80\xff")
    frame = b"\x07\x80" + struct.pack(">H", 5) + b"\xffhello"
    assert made.codec().encode_one(b"hello") == made.codec().encode([b"hello"]) == frame
    assert made.codec().feed(frame * 2) == [b"hello", b"hello"]
    assert framing.parse(str(made)) == made
    assert framing.Length(3, before=1, beside=b"T").codec().encode([b"ab"]) == b"T\0\0\2ab"


def test_number_is_filled_in():
    """A frame with any number in it is sent with the right one, here one that counts itself (PostgreSQL)."""
    codec = framing.parse("length:4,before=1,includes=header,keep_header,fill").codec()
    right = b"Q" + struct.pack(">I", 12) + b"select 1"
    assert codec.encode([b"Q\0\0\0\0select 1", right]) == right + right
    assert codec.encode_one(b"Qxxxxselect 1") == right
    assert codec.feed(right) == [right]
    with pytest.raises(FramingError, match="fewer than its header"):
        codec.encode([b"Q\0\0"])
    with pytest.raises(FramingError, match="can say at most 255"):
        framing.parse("length:1,keep_header,fill").codec().encode([bytes(257)])


def test_mqtt_packets():
    """The fixed header's byte and the body are a message; the remaining length is between them (MQTT 3.1.1, 2.2)."""
    codec = framing.parse("varint:before=1").codec()
    publish = b"\x30" + b"\0\3a/b" + b"x" * 200
    wire = b"\x30\xcd\x01" + publish[1:]
    assert codec.encode([publish, b"\xc0"]) == wire + b"\xc0\0"
    assert codec.feed(wire + b"\xc0\0" + b"\xd0") == [publish, b"\xc0"]
    assert codec.feed(b"\0") == [b"\xd0"]
    with pytest.raises(FramingError, match="has 0 bytes, and begins with the 1 before"):
        codec.encode([b""])


def test_truncated_with_bytes_before():
    codec = framing.parse("varint:before=2,max_size=3,oversize=truncate").codec()
    assert codec.feed(b"ab\5hello" + b"cd\1x") == [b"abhel", b"cdx"]
    assert [type(fault) for fault in codec.take_faults()] == [FrameTooLongError]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r"length:2,before=1,beside=ab", "beside has 2 bytes; there are 1 before and 0 after"),
        (r"length:2,before=1,keep_header,beside=a", "beside is for messages without a header"),
        ("length:2,fill", "give keep_header too"),
        (r"length:2,before=1,beside=\q", "is no escape"),
        ("varint:before=-1", "before"),
        ("varint:after=1", "unknown option"),
    ],
)
def test_bad_specification(text, told):
    with pytest.raises(OptionError, match=told):
        framing.parse(text)
