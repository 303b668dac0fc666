"""Framings of serial lines: cobs and slip, against the vectors of their definitions."""

from __future__ import annotations

import pytest

from socketkit import framing
from socketkit.errors import FramingError, TruncatedFrameError

RUN = bytes(range(1, 255))

# Cheshire and Baker's examples, as Wikipedia's article on COBS lists them.
COBS = [
    (b"", b"\x01"),
    (b"\0", b"\x01\x01"),
    (b"\0\0", b"\x01\x01\x01"),
    (b"\0\x11\0", b"\x01\x02\x11\x01"),
    (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
    (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
    (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
    (RUN, b"\xff" + RUN),
    (b"\0" + RUN, b"\x01\xff" + RUN),
    (RUN + b"\xff", b"\xff" + RUN + b"\x02\xff"),
    (RUN[1:] + b"\xff\0", b"\xff" + RUN[1:] + b"\xff\x01\x01"),
    (RUN[2:] + b"\xff\0\x01", b"\xfe" + RUN[2:] + b"\xff\x02\x01"),
    (RUN + RUN, b"\xff" + RUN + b"\xff" + RUN),
]


@pytest.mark.parametrize(("message", "frame"), COBS, ids=range(len(COBS)))
def test_cobs_by_its_vectors(message, frame):
    codec = framing.Cobs().codec()
    assert codec.encode([message]) == frame + b"\0"
    assert codec.feed(frame + b"\0") == [message]


def test_redundant_code_after_full_run():
    """A needless code behind a full run is accepted."""
    assert framing.Cobs().codec().feed(b"\xff" + RUN + b"\x01\0") == [RUN]


def test_zeros_in_a_row_are_no_messages():
    assert framing.Cobs().codec().feed(b"\0\0\x02a\0\0") == [b"a"]


def test_a_cut_run_is_a_fault():
    codec = framing.Cobs().codec()
    assert codec.feed(b"\x02a\0\x05abc\0") == [b"a"]
    with pytest.raises(FramingError, match="a run of 4 bytes is cut 1 bytes short in the frame at offset 3"):
        codec.feed(b"")


def test_cobs_limit_counts_message():
    """The limit of cobs counts the message."""
    codec = framing.Cobs(max_size=254).codec()
    assert codec.feed(b"\xff" + RUN + b"\0") == [RUN]
    assert codec.feed(b"\xff" + RUN + b"\x01\0") == [RUN]


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (b"a", b"a"),
        (b"\xc0", b"\xdb\xdc"),
        (b"\xdb", b"\xdb\xdd"),
        (b"\xdb\xdc", b"\xdb\xdd\xdc"),
        (b"\xc0\xdb", b"\xdb\xdc\xdb\xdd"),
    ],
)
def test_slip_by_rfc_1055(message, frame):
    codec = framing.Slip().codec()
    assert codec.encode([message]) == frame + b"\xc0"
    assert codec.feed(b"\xc0" + frame + b"\xc0") == [message]


def test_empty_packets():
    """Empty packets are no messages and cannot be sent."""
    codec = framing.Slip().codec()
    assert codec.feed(b"\xc0\xc0a\xc0\xc0") == [b"a"]
    with pytest.raises(FramingError, match="message 1 is empty, which receivers drop"):
        codec.encode([b"a", b""])


@pytest.mark.parametrize(
    ("frame", "said"), [(b"\xdba", "byte 0x61"), (b"a\xdb", "nothing"), (b"\xdb\xdb\xdc", "nothing")]
)
def test_an_escape_of_nothing_is_a_fault(frame, said):
    with pytest.raises(FramingError, match=f"the escape 0xdb is followed by {said}, not by 0xdc or 0xdd"):
        framing.Slip().codec().feed(frame + b"\xc0")


def test_the_limit_of_slip_counts_the_packet():
    codec = framing.Slip(max_size=2).codec()
    assert codec.feed(b"\xdb\xdc\xdb\xdd\xc0") == [b"\xc0\xdb"]


@pytest.mark.parametrize("policy", ["skip", "truncate"])
@pytest.mark.parametrize("made", [framing.Cobs, framing.Slip])
def test_eof_inside_frame(made, policy):
    """The stream cannot end inside a frame."""
    codec = made(max_size=1, oversize=policy).codec()
    codec.feed(b"\x05ab")
    with pytest.raises(TruncatedFrameError, match="and its end is missing"):
        codec.feed_eof()
    codec = made().codec()
    codec.feed(b"\x03a")
    with pytest.raises(TruncatedFrameError) as caught:
        codec.feed_eof()
    assert caught.value.partial == b"\x03a"
