"""The compiled core and the Python codecs make the same messages and the same errors of the same bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import _core
from socketkit.connection.session import Session
from socketkit.framing import of
from support.oracle import NATIVE, compare, random_stream

pytestmark = pytest.mark.skipif(not _core.native, reason="the core is not compiled, or SOCKETKIT_PURE is set")


@pytest.mark.parametrize("framing", NATIVE)
def test_framing_is_native(framing: str) -> None:
    """Each framing of the list is decoded by the core, so that the tests below compare two things."""
    assert Session(of(framing)).is_native


@pytest.mark.parametrize(
    "framing",
    [
        r"length:2,before=1,beside=\x07",
        "lines:oversize=skip",
        "lines:encoding=shift_jis",
        "json",
        "cobs",
        "chunks",
        "varint:before=1",
        r"delimited:\r\n,\n",
    ],
)
def test_others_stay_with_codec(framing: str) -> None:
    """A framing that the core does not know, or a policy, leaves every byte to the codec."""
    assert not Session(of(framing)).is_native


@pytest.mark.parametrize("framing", NATIVE)
def test_streams_that_follow_the_framing(framing: str) -> None:
    """Bytes that mostly follow the framing, cut anywhere: the same messages, errors, offsets and counts."""
    dice = random.Random(framing)
    for _ in range(300):
        compare(framing, random_stream(dice, framing), has_end=dice.random() < 0.8)


@given(st.sampled_from(NATIVE), st.lists(st.binary(max_size=24), max_size=6), st.booleans())
def test_any_bytes(framing: str, pieces: list[bytes], has_end: bool) -> None:
    """Any bytes at all: the same."""
    compare(framing, pieces, has_end=has_end)


@pytest.mark.parametrize("framing", NATIVE)
def test_encoding(framing: str) -> None:
    """What the core encodes is what the codec encodes; what it does not is left to the codec, and nothing is added."""
    codec = of(framing).codec()
    for message in [
        "",
        "a",
        "é",
        "a" * 300,
        "a\nb",
        "a\r",
        b"",
        b"abcde",
        b"a" * 300,
        b"a\0",
        bytearray(b"abc"),
        7,
        None,
    ]:
        session = Session(of(framing))
        try:
            expected = codec.encode([message])
        except Exception:
            assert not session._encode([message])
            assert session._out_size == 0
            continue
        if session._encode([message]):
            assert session._take_out() == expected
        else:
            assert session._out_size == 0


def test_batch_is_encoded_whole_or_not() -> None:
    """One message that the core cannot encode takes back those before it."""
    session = Session(of("lines"))
    assert session._encode(["a", "b"])
    assert not session._encode(["c", "d\n"])
    assert (session._take_out(), session.sent_count, session.outgoing_size) == (b"a\nb\n", 2, 4)


def test_more_messages_than_a_turn() -> None:
    """A flood is decoded in portions, in order, without a gap."""
    session = Session(of("lines"))
    lines = [str(number) for number in range(5000)]
    session.feed("".join(line + "\n" for line in lines).encode())
    received: list[str] = []
    while session.end() is None and session.waiting:
        assert len(session.waiting) <= 512
        received += session.take_all()
    assert received == lines


def test_unread_messages_become_bytes_again() -> None:
    """`reframe` in the middle of a batch gives the bytes behind the last message that was received."""
    session = Session(of("lines"))
    session.feed(b"one\n\x03abc\x02deg")
    assert session.waiting.pop() == "one"
    session.reframe(of("length:1"))
    assert session.end() is None
    assert session.take_all() == [b"abc", b"de"]
    assert (session.received_count, session.received_size) == (3, 12)


def test_reframe_with_unread_messages_behind() -> None:
    """Messages that were decoded and not received are decoded anew, also where the framing behind is not native."""
    session = Session(of("lines"))
    session.feed(b"one\ntwo\nthree\n")
    assert session.waiting.pop() == "one"
    session.reframe(of("chunks"))
    assert session.take_all() == [b"two\nthree\n"]
    assert session.received_count == 2


def test_buffer_is_bounded_by_what_it_holds() -> None:
    """A long line in many pieces, received: nothing of it stays."""
    session = Session(of("lines:max_size=2MiB"))
    for _ in range(1024):
        session.feed(b"x" * 1024)
    session.feed(b"\nrest")
    assert len(session.waiting.pop()) == 2**20
    assert session.end() is None
    assert session._take_bytes() == b"rest"
