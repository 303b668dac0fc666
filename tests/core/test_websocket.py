"""The compiled codec of WebSocket and the one in Python make the same of the same bytes."""

from __future__ import annotations

import os
import random
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import _core
from socketkit._core import websocket as twin
from socketkit.connection.session import Session
from socketkit.framing import of
from socketkit.websocket.frames import split_frames
from socketkit.websocket.protocol import Protocol, WebSocketFraming
from support.websocket_oracle import SETTINGS, compare_decoders, compare_sessions, random_frames

pytestmark = pytest.mark.skipif(not _core.native, reason="the core is not compiled, or SOCKETKIT_PURE is set")


@pytest.mark.parametrize("setting", SETTINGS)
def test_frames_that_follow_the_rules(setting) -> None:
    """Fragments, control frames, compression, mistakes, cut anywhere: the same messages, errors and close codes."""
    dice = random.Random(str(setting))
    for _ in range(500):
        pieces = random_frames(dice, setting)
        compare_decoders(setting, pieces)
        compare_sessions(setting, pieces)


@given(st.sampled_from(SETTINGS), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes(setting, pieces: list[bytes]) -> None:
    """Any bytes at all: the same."""
    compare_decoders(setting, pieces)
    compare_sessions(setting, pieces)


def new_session(*, is_server: bool) -> Session:
    return Session(WebSocketFraming(Protocol("ws://peer:1", is_server=is_server, max_size=1000), None))


def test_the_core_decodes_again_behind_what_it_leaves_to_the_codec() -> None:
    """Fragments and control frames go to the codec; the next whole message is the core's again."""
    session = new_session(is_server=False)
    assert session.is_native
    for first, is_native in ((0x01, False), (0x89, False), (0x80, True), (0x81, True), (0x89, True), (0x82, True)):
        session.feed(twin.encode_frame(first, b"abc"))
        assert session.end() is None
        session.take_all()
        assert session.end() is None
        assert session.is_native is is_native
    session.feed(twin.encode_frame(0x88, b""))
    assert session.end() is None
    assert not session.is_native  # the end is the stream's to say


@pytest.mark.parametrize("is_server", [True, False])
@pytest.mark.parametrize(
    "message", ["", "a", "é", "x" * 125, "x" * 126, "ж" * 40_000, b"", b"\0" * 65_535, b"y" * 65_536]
)
def test_messages_are_encoded_alike(is_server: bool, message: str | bytes) -> None:
    """What the core encodes, the decoder in Python reads; a server's frames are the same bytes."""
    session = new_session(is_server=is_server)
    assert session._encode([message, message])
    data = session._take_out()
    if is_server:
        assert data == Protocol("", is_server=True, max_size=1).encode(message) * 2
    payload = message.encode() if isinstance(message, str) else message
    frames = split_frames(data, 0, is_masked=not is_server, max_size=10**6).frames
    assert frames == [(0x81 if isinstance(message, str) else 0x82, payload)] * 2


def test_what_is_no_message_is_left_to_the_codec() -> None:
    session = new_session(is_server=True)
    for wrong in (7, None, bytearray(b"x"), "\ud800"):
        assert not session._encode([wrong])
    assert session._out_size == 0


def test_masks_of_the_core_differ() -> None:
    session = new_session(is_server=False)
    assert session._encode(["x"] * 2000)
    data = session._take_out()
    assert len({data[at + 2 : at + 6] for at in range(0, len(data), 7)}) > 1990


def test_masks_differ_in_a_child() -> None:
    """A child of fork(2) does not go on with its parent's random bytes."""
    session = new_session(is_server=False)
    session._encode(["x"])
    session._take_out()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not use
        child = os.fork()
    if child == 0:
        session._encode(["x"] * 60)
        os.write(writer, session._take_out())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    theirs = os.read(reader, 1000)
    os.close(reader)
    session._encode(["x"] * 60)
    ours = session._take_out()
    masks = [{data[at + 2 : at + 6] for at in range(0, len(data), 7)} for data in (ours, theirs)]
    assert not masks[0] & masks[1]


def test_reframing_makes_unread_messages_anew() -> None:
    """Messages that wait are framed in the new way, natively decoded or not."""
    session = new_session(is_server=False)
    codec = session._codec
    session.feed(b"".join(twin.encode_frame(0x81, text) for text in (b"one", b'{"a":1}', b"[2]")))
    assert session.waiting.pop() == "one"
    session.reframe_messages(lambda count: codec.retake(of("json"), count))
    assert session.end() is None
    assert session.take_all() == [{"a": 1}, [2]]
    assert session.received_count == 3
    session.reframe_messages(lambda count: codec.retake(of("chunks"), count))
    session.feed(twin.encode_frame(0x81, b"last"))
    assert session.take_all() == ["last"]


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
