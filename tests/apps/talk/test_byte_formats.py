"""Ways of writing bytes: any cutting gives the same, and what is not written in the way is refused with what is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.apps.talk.byte_formats import CrLf, Escaped, FromHex, Mixed, ToHex, Visible
from socketkit.apps.talk.telnet import Telnet
from socketkit.errors import FramingError


def through(made, pieces):
    return b"".join([*(made.feed(piece) for piece in pieces), made.end()])


@st.composite
def cut(draw, data):
    whole = draw(data)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return whole, [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


LINES = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"---"]), max_size=12).map(b"".join)


@given(cut(LINES))
def test_bare_lf_gets_cr_at_any_cut(case):
    """Each bare line feed gets its cr wherever it is cut."""
    whole, pieces = case
    expected = whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert through(CrLf(), pieces) == expected


@given(st.binary(), st.data())
def test_hex_reads_what_it_writes(data, more):
    written = through(ToHex(), [data])
    _, pieces = more.draw(cut(st.just(written)))
    assert through(FromHex(), pieces) == data


def test_hex_input_spaces_case_errors():
    """Hex knows spaces cases and what is none."""
    assert through(FromHex(), [b"48 65 6c6C", b"\n6F 2", b"1"]) == b"Hello!"
    with pytest.raises(FramingError, match="'g' is no hex digit"):
        FromHex().feed(b"4g")
    with pytest.raises(FramingError, match="is alone; a byte has two"):
        through(FromHex(), [b"486"])


@given(cut(st.binary(max_size=40).map(lambda data: "".join(f"\\x{byte:02x}" for byte in data).encode())))
def test_escapes_cut_anywhere_mean_the_same(case):
    whole, pieces = case
    assert through(Escaped(), pieces) == bytes.fromhex(whole.decode().replace("\\x", ""))


def test_escapes_are_decoded():
    """Escapes mean what they say and a line end nothing."""
    assert through(Escaped(), [rb"a\n\r\t\0\e\\\x41" + b"\nnext\r\n"]) == b"a\n\r\t\0\x1b\\Anext"
    assert through(Escaped(), [b"\\", b"\\", b"n"]) == b"\\n"
    with pytest.raises(FramingError, match=r"is no escape; allowed are \\n"):
        Escaped().feed(rb"\q")
    with pytest.raises(FramingError, match="is cut at the end"):
        through(Escaped(), [rb"\x4"])


@given(cut(st.binary()))
def test_what_is_shown_moves_no_terminal(case):
    _, pieces = case
    for made in (Mixed(), Visible()):
        shown = through(made, pieces).decode()
        assert not any(
            unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in shown if character not in "\n\t"
        )


def test_visible_lines_and_split_characters():
    """Lines are shown as lines and a character may come in two."""
    assert (
        through(Visible(), [b"one\r", b"\ntwo\r\x1b", "ж".encode()[:1], "ж".encode()[1:]])
        == "one\ntwo\\x0d\\x1bж".encode()
    )
    assert through(Mixed(), [b"one\r\n"]) == b"one\\x0d\n"


def test_visible_end_flushes_held_cr():
    """A CR at the end is held back until the end, and then written out."""
    assert through(Visible(), [b"a\r"]) == b"a\\x0d"


IAC, DO, DONT, WILL, WONT, SB, SE = 255, 253, 254, 251, 252, 250, 240


def test_telnet_offers_refused_once():
    """Offers are declined and requests refused once."""
    telnet = Telnet()
    assert telnet.feed(bytes([IAC, DO, 24, IAC, WILL, 1, IAC, DO, 24]) + b"login: ") == b"login: "
    assert telnet.take_answers() == bytes([IAC, WONT, 24, IAC, DONT, 1])
    assert telnet.take_answers() == b""


def test_what_needs_no_answer_gets_none():
    telnet = Telnet()
    assert telnet.feed(bytes([IAC, DONT, 1, IAC, WONT, 3, IAC, 249])) == b""
    assert telnet.take_answers() == b""


def test_are_you_there_is_answered():
    telnet = Telnet()
    telnet.feed(bytes([IAC, 246]))
    assert telnet.take_answers() == b"[yes]\r\n"


@given(st.binary())
def test_telnet_binary_round_trip(data):
    """Data with every byte goes and comes as it is."""
    telnet = Telnet()
    sent = telnet.escape(data)
    assert telnet.feed(sent) == data.replace(b"\r\0", b"\r")
    assert telnet.take_answers() == b""


COMMANDS = st.lists(
    st.one_of(
        st.binary(max_size=5).map(lambda data: data.replace(b"\xff", b"\xff\xff")),
        st.tuples(st.sampled_from([DO, DONT, WILL, WONT]), st.integers(0, 254)).map(lambda pair: bytes([IAC, *pair])),
        st.binary(max_size=5).map(lambda data: bytes([IAC, SB]) + data.replace(b"\xff", b"") + bytes([IAC, SE])),
    ),
    max_size=8,
).map(b"".join)


@given(cut(COMMANDS))
def test_commands_cut_anywhere_mean_the_same(case):
    whole, pieces = case
    one, many = Telnet(), Telnet()
    assert through(one, [whole]) == through(many, pieces)
    assert one.take_answers() == many.take_answers()


@given(st.binary())
def test_garbage_is_no_harm(data):
    telnet = Telnet()
    assert len(telnet.feed(data)) <= len(data)
    assert len(telnet.take_answers()) <= 7 * len(data)
