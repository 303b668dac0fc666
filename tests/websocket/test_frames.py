"""Frames: the examples of RFC 6455, section 5.7, laws, and every error with its close code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit.errors import FrameTooLongError, FramingError
from socketkit.websocket import frames
from socketkit.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    apply_mask,
    encode_close,
    encode_frame,
    parse_close,
    split_frames,
)

HELLO_MASK = bytes.fromhex("37fa213d")

EXAMPLES = [  # RFC 6455, 5.7
    (FIN | TEXT, b"Hello", None, "810548656c6c6f"),
    (FIN | TEXT, b"Hello", HELLO_MASK, "818537fa213d7f9f4d5158"),
    (TEXT, b"Hel", None, "010348656c"),
    (FIN | CONTINUATION, b"lo", None, "80026c6f"),
    (FIN | PING, b"Hello", None, "890548656c6c6f"),
    (FIN | PONG, b"Hello", HELLO_MASK, "8a8537fa213d7f9f4d5158"),
    (FIN | BINARY, bytes(256), None, "827e0100" + bytes(256).hex()),
    (FIN | BINARY, bytes(65536), None, "827f0000000000010000" + bytes(65536).hex()),
]


@pytest.mark.parametrize(("first", "payload", "mask", "wire"), EXAMPLES)
def test_the_examples_of_the_rfc(first: int, payload: bytes, mask: bytes | None, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert encode_frame(first, payload, mask) == data
    batch = split_frames(data, 0, is_masked=mask is not None, max_size=65536)
    assert batch == ([(first, payload)], len(data), 2, None)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_a_mask_is_xor_and_comes_off_again(data: bytes, mask: bytes) -> None:
    masked = apply_mask(data, mask)
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    assert apply_mask(masked, mask) == data


def test_a_mask_of_much_data_goes_on_across_portions() -> None:
    data = bytes(range(256)) * 2100
    masked = apply_mask(data, b"\x01\x02\x03\x04")
    assert len(masked) == len(data)
    assert masked[524_288:524_292] == bytes(byte ^ key for byte, key in zip(range(4), (1, 2, 3, 4), strict=True))
    assert apply_mask(masked, b"\x01\x02\x03\x04") == data


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY, FIN | TEXT, FIN | PING]), st.binary(max_size=120)), max_size=8),
    st.booleans(),
    st.data(),
)
def test_whole_frames_come_out_and_a_part_says_what_it_lacks(
    sent: list[tuple[int, bytes]], is_masked: bool, data: st.DataObject
) -> None:
    wires = [encode_frame(first, payload, b"abcd" if is_masked else None) for first, payload in sent]
    wire = b"".join(wires)
    cut = data.draw(st.integers(0, len(wire)))
    batch = split_frames(wire[:cut], 0, is_masked=is_masked, max_size=1000)
    count = len(batch.frames)
    assert batch.frames == sent[:count]
    assert batch.end == sum(map(len, wires[:count]))
    if count < len(wires):
        assert cut - batch.end < batch.needed <= len(wires[count])
    assert batch.fault is None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_each_form_of_the_length_is_read_as_written(size: int) -> None:
    wire = encode_frame(FIN | BINARY, bytes(size))
    for cut in (1, 2, 3, min(9, len(wire) - 1)):
        part = split_frames(wire[:cut], 0, is_masked=False, max_size=size)
        assert part.frames == [] or cut >= len(wire)
        assert part.fault is None
    assert split_frames(wire, 0, is_masked=False, max_size=size).frames == [(FIN | BINARY, bytes(size))]


ERRORS = [
    ("a100", "reserved bits", 1002),
    ("9100", "reserved bits", 1002),
    ("8300", "unknown opcode 3", 1002),
    ("8700", "unknown opcode 7", 1002),
    ("8b00", "unknown opcode 11", 1002),
    ("8f00", "unknown opcode 15", 1002),
    ("0900", "control frame is fragmented", 1002),
    ("c900", "reserved bit RSV1", 1002),
    ("897e007e", "more than 125 bytes", 1002),
    ("818037fa213d", "a server's frame has a mask", 1002),
    ("827e007d", "badly written", 1002),
    ("827f000000000000ffff", "badly written", 1002),
    ("827f8000000000000000", "badly written", 1002),
    ("827e0081", "max_size is 128", 1009),
]


@pytest.mark.parametrize(("wire", "text", "code"), ERRORS)
def test_what_a_peer_may_not_send_has_a_close_code(wire: str, text: str, code: int) -> None:
    good = encode_frame(FIN | TEXT, b"before")
    batch = split_frames(good + bytes.fromhex(wire), 0, is_masked=False, max_size=128)
    assert batch.frames == [(FIN | TEXT, b"before")]
    assert batch.end == len(good)
    assert batch.fault is not None
    assert text in str(batch.fault)
    assert batch.fault.close_code == code


def test_a_client_has_to_mask() -> None:
    fault = split_frames(encode_frame(FIN | TEXT, b"x"), 0, is_masked=True, max_size=9).fault
    assert fault is not None
    assert "a client's frame has no mask" in str(fault)


def test_a_size_is_refused_by_its_head_alone() -> None:
    fault = split_frames(bytes.fromhex("827f0000000100000000"), 0, is_masked=False, max_size=1024).fault
    assert isinstance(fault, FrameTooLongError)
    assert (fault.size, fault.max_size, fault.close_code) == (2**32, 1024, 1009)


# Closing.


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_code_and_a_reason_go_through_a_close_frame(code: int) -> None:
    wire = encode_close(code, "до свидания")
    first, payload = split_frames(wire, 0, is_masked=False, max_size=125).frames[0]
    assert first == FIN | CLOSE
    assert parse_close(payload) == (code, "до свидания")


def test_a_close_without_a_code_is_1005() -> None:
    assert encode_close(None) == b"\x88\x00"
    assert parse_close(b"") == (1005, "")


def test_a_long_reason_is_cut_between_two_characters() -> None:
    wire = encode_close(1000, "ж" * 100)
    assert parse_close(wire[2:]) == (1000, "ж" * 61)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_a_code_that_no_frame_may_have_is_an_error(code: int) -> None:
    with pytest.raises(FramingError, match=str(code)) as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.close_code == 1002


def test_half_a_code_is_an_error_and_so_is_a_reason_that_is_not_utf_8() -> None:
    with pytest.raises(FramingError) as caught:
        parse_close(b"\x03")
    assert caught.value.close_code == 1002
    with pytest.raises(FramingError) as caught:
        parse_close(b"\x03\xe8\xce\xba\xff")
    assert caught.value.close_code == 1007


def test_masks_differ() -> None:
    masks = frames.Masks()
    several = [masks.next() for _ in range(2000)]
    assert all(len(mask) == 4 for mask in several)
    assert len(set(several)) > 1990
