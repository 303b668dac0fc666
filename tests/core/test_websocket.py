"""The compiled codec of WebSocket and the one in Python make the same of the same bytes."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import _core
from socketkit._core import websocket as twin
from support.websocket_oracle import SETTINGS, compare_decoders, random_frames

pytestmark = pytest.mark.skipif(not _core.native, reason="the core is not compiled, or SOCKETKIT_PURE is set")


@pytest.mark.parametrize("setting", SETTINGS)
def test_frames_that_follow_the_rules(setting) -> None:
    """Fragments, control frames, compression, mistakes, cut anywhere: the same messages, errors and close codes."""
    dice = random.Random(str(setting))
    for _ in range(500):
        compare_decoders(setting, random_frames(dice, setting))


@given(st.sampled_from(SETTINGS), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes(setting, pieces: list[bytes]) -> None:
    """Any bytes at all: the same."""
    compare_decoders(setting, pieces)


@given(st.lists(st.binary(max_size=5), max_size=4), st.booleans())
def test_any_text_in_fragments(parts: list[bytes], ends: bool) -> None:
    """Bytes that are mostly no UTF-8, in fragments: refused at the same fragment, for the same reason."""
    pieces = []
    for number, part in enumerate(parts):
        is_last = ends and number == len(parts) - 1
        pieces.append(twin.encode_frame((0x80 if is_last else 0) | (1 if number == 0 else 0), part))
    compare_decoders((False, 300, False), pieces)


@given(st.text(max_size=6), st.data())
def test_text_cut_inside_its_characters(text: str, data: st.DataObject) -> None:
    """Right text, cut anywhere, perhaps with one byte changed."""
    wire = bytearray(text.encode())
    if wire and data.draw(st.booleans()):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(
            st.sampled_from([0x80, 0xBF, 0xC1, 0xED, 0xF4, 0xF5])
        )
    cut = data.draw(st.integers(0, len(wire)))
    pieces = [twin.encode_frame(1, bytes(wire[:cut])), twin.encode_frame(0x80, bytes(wire[cut:]))]
    compare_decoders((False, 300, False), pieces)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 300_000])
def test_frames_are_encoded_alike(size: int) -> None:
    """Heads of each length, with and without a mask."""
    payload, mask = os.urandom(size), b"\x01\x80\xff\x7f"
    assert _core.encode_frame(0x82, payload) == twin.encode_frame(0x82, payload)
    assert _core.encode_frame(0x81, payload, mask) == twin.encode_frame(0x81, payload, mask)
    assert _core.apply_mask(payload, mask) == twin.apply_mask(payload, mask)


def test_a_mask_has_four_bytes() -> None:
    for wrong in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="four bytes"):
            _core.apply_mask(b"x", wrong)
        with pytest.raises(ValueError, match="four bytes"):
            _core.encode_frame(0x81, b"x", wrong)


def test_an_error_of_our_own_is_raised_and_not_the_peers() -> None:
    """What decompression raises beside `FramingError` is a bug of ours: it is let out."""

    class Broken:
        def decompress(self, data: bytes, room: int, is_last: bool) -> bytes:
            raise ZeroDivisionError

    from socketkit.websocket.messages import new_decoder

    made = new_decoder(is_masked=False, max_size=100, deflate=Broken())
    with pytest.raises(ZeroDivisionError):
        made.feed(twin.encode_frame(0xC1, b"x"))
    assert made.fault is None
