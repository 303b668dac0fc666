"""Messages: fragments, control frames between them, text across cuts, compression within bounds."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socketkit.errors import FrameTooLongError, FramingError
from socketkit.websocket.deflate import Deflate, DeflateParameters, accept_offer, agree_on
from socketkit.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    encode_close,
    encode_frame,
)
from socketkit.websocket.messages import Decoder, MessageDecoder, new_decoder


def decoder(max_size: int = 1000, deflate: Deflate | None = None, *, is_masked: bool = False) -> Decoder:
    return new_decoder(is_masked=is_masked, max_size=max_size, deflate=deflate)


def fault_of(wire: bytes, made: Decoder | None = None) -> FramingError:
    made = made or decoder()
    made.feed(wire)
    assert made.fault is not None
    return made.fault


@given(
    st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=200)), max_size=8),
    st.lists(st.integers(0, 50), max_size=30),
    st.integers(1, 20),
    st.booleans(),
)
def test_any_cut_and_any_fragments_give_the_same_messages(
    sent: list[str | bytes], cuts: list[int], fragment: int, is_masked: bool
) -> None:
    mask = b"\x80\x01\xff\x7f" if is_masked else None
    wire = b""
    for message in sent:
        data = message.encode() if isinstance(message, str) else message
        parts = [data[start : start + fragment] for start in range(0, len(data), fragment)] or [b""]
        for number, part in enumerate(parts):
            opcode = (TEXT if isinstance(message, str) else BINARY) if number == 0 else CONTINUATION
            wire += encode_frame(opcode | (FIN if number == len(parts) - 1 else 0), part, mask)
            wire += encode_frame(FIN | PING, b"amid", mask)
    made, got = decoder(is_masked=is_masked), []
    for cut in cuts:
        got += made.feed(wire[:cut])
        wire = wire[cut:]
    got += made.feed(wire)
    assert made.fault is None
    assert [payload for kind, payload in got if kind in (TEXT, BINARY)] == sent
    assert all(payload == b"amid" for kind, payload in got if kind == PING)
    assert made.buffered == 0


ERRORS = [
    (encode_frame(FIN | CONTINUATION, b"x"), "no message was begun", 1002),
    (encode_frame(TEXT, b"a") + encode_frame(FIN | TEXT, b"b"), "before the one before it", 1002),
    (encode_frame(FIN | RSV1 | TEXT, b"x"), "no compression was agreed on", 1002),
    (encode_frame(RSV1 | TEXT, b"x"), "no compression was agreed on", 1002),
    (encode_frame(FIN | TEXT, b"\xff"), "not UTF-8", 1007),
    (encode_frame(FIN | TEXT, b"\xed\xa0\x80"), "not UTF-8", 1007),  # a surrogate
    (encode_frame(TEXT, b"\xce") + encode_frame(FIN | CONTINUATION, b"x"), "not UTF-8", 1007),
    (encode_frame(TEXT, b"\xce") + encode_frame(FIN | CONTINUATION, b""), "not UTF-8", 1007),
    (encode_frame(TEXT, b"\xf4\x90"), "not UTF-8", 1007),  # refused before the message ends
    (encode_frame(TEXT, b"\xed\xa0"), "not UTF-8", 1007),
    (encode_frame(FIN | BINARY, bytes(1001)), "max_size is 1000", 1009),
    (encode_frame(BINARY, bytes(600)) + encode_frame(FIN | CONTINUATION, bytes(401)), "max_size is 1000", 1009),
]


@pytest.mark.parametrize(("wire", "text", "code"), ERRORS)
def test_what_a_peer_may_not_send_has_a_close_code(wire: bytes, text: str, code: int) -> None:
    made = decoder()
    got = made.feed(encode_frame(FIN | TEXT, b"before") + wire + encode_frame(FIN | TEXT, b"behind"))
    assert got == [(TEXT, "before")]
    assert made.fault is not None
    assert text in str(made.fault)
    assert made.fault.close_code == code
    assert made.feed(encode_frame(FIN | TEXT, b"later")) == []


def test_a_message_of_max_size_is_taken_whole_and_in_fragments() -> None:
    made = decoder()
    assert made.feed(encode_frame(FIN | BINARY, bytes(1000))) == [(BINARY, bytes(1000))]
    wire = encode_frame(BINARY, bytes(600)) + encode_frame(FIN | CONTINUATION, bytes(400))
    assert made.feed(wire) == [(BINARY, bytes(1000))]


def test_text_is_checked_across_fragments_that_cut_a_character() -> None:
    data = "привет, 世界 🙂".encode()
    made = decoder()
    got = []
    for at in range(len(data)):
        first = (TEXT if at == 0 else CONTINUATION) | (FIN if at == len(data) - 1 else 0)
        got += made.feed(encode_frame(first, data[at : at + 1]))
    assert got == [(TEXT, "привет, 世界 🙂")]


def wrong_at(data: bytes) -> int:
    """How many bytes are needed to see that they are no UTF-8; one more than there are: they may become some."""
    tails = (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80")
    for size in range(1, len(data) + 1):
        if all((data[:size] + tail).decode(errors="ignore").encode() != data[:size] + tail for tail in tails):
            return size
    return len(data) + 1


TEXTS = [
    b"plain",
    "привет 世界 🙂".encode() * 3,
    b"\xff",
    b"ab\xc0\xaf",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80x",
    b"\xf0\x8f\xbf\xbf",
    b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80tail",
    b"\xe1\xbdx",
    b"a" * 2000 + "ж".encode() * 600 + b"\xfe!",
]


@pytest.mark.parametrize("data", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("cuts", [(), (1,), (2, 3), (1, 2, 3, 5)])
@pytest.mark.parametrize("mask", [None, b"\x80\x01\xff\x7f"])
def test_wrong_text_is_refused_at_its_first_byte(data: bytes, cuts: tuple[int, ...], mask: bytes | None) -> None:
    """Byte by byte, in one frame or in fragments: before the frame is whole, and never sooner than it can be known."""
    ends = [cut for cut in cuts if cut < len(data)] + [len(data)]
    made, seen, start = decoder(10_000, is_masked=mask is not None), 0, 0
    wrong = wrong_at(data)
    for end in ends:
        first = (TEXT if start == 0 else CONTINUATION) | (FIN if end == len(data) else 0)
        wire = encode_frame(first, data[start:end], mask)
        head = len(wire) - (end - start)
        for at in range(len(wire)):
            made.feed(wire[at : at + 1])
            seen = start + max(0, at + 1 - head)
            assert (made.fault is not None) == (seen >= wrong), seen
            if made.fault is not None:
                assert made.fault.close_code == 1007
                return
        start = end
    assert wrong > len(data)


def test_binary_and_compressed_frames_are_not_checked_as_text() -> None:
    made = decoder()
    for first in (FIN | BINARY, BINARY, CONTINUATION, FIN | CONTINUATION):
        for byte in encode_frame(first, b"\xff\xfe"):
            made.feed(bytes((byte,)))
        assert made.fault is None
    deflate = Deflate(DeflateParameters(), is_server=True)
    made = decoder(deflate=Deflate(DeflateParameters(), is_server=False))
    got = []
    for byte in encode_frame(FIN | RSV1 | TEXT, deflate.compress("п".encode() * 90)):
        got += made.feed(bytes((byte,)))
    assert got == [(TEXT, "п" * 90)]


def test_a_flood_of_empty_fragments_holds_nothing() -> None:
    """A million of them: the decoder in Python holds a bounded list, the compiled one the bytes alone."""
    made = decoder()
    made.feed(encode_frame(BINARY, b"x"))
    flood = encode_frame(CONTINUATION, b"") * 10_000
    tracemalloc.start()
    for _ in range(100 if made.__class__ is not MessageDecoder else 20):
        made.feed(flood)
    assert tracemalloc.get_traced_memory()[0] < 400_000
    tracemalloc.stop()
    if isinstance(made, MessageDecoder):
        assert len(made._parts) <= 1025
    assert made.buffered == 2
    assert made.feed(encode_frame(FIN | CONTINUATION, b"y")) == [(BINARY, b"xy")]


def test_nothing_is_decoded_behind_a_close_frame() -> None:
    made = decoder()
    got = made.feed(encode_frame(FIN | PONG, b"") + encode_close(1000) + encode_frame(FIN | TEXT, b"late"))
    assert got == [(PONG, b""), (CLOSE, b"\x03\xe8")]


# Compression.


def both(**parameters: object) -> tuple[Deflate, Deflate]:
    agreed = DeflateParameters(**parameters)
    return Deflate(agreed, is_server=True), Deflate(agreed, is_server=False)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True, "client_max_window_bits": 9},
        {"server_max_window_bits": 9},
        {"server_max_window_bits": 12, "client_max_window_bits": 8},
    ],
)
@settings(max_examples=25)
@given(sent=st.lists(st.binary(max_size=900), max_size=5))
def test_compressed_messages_come_out_as_they_went_in(parameters: dict[str, object], sent: list[bytes]) -> None:
    server, client = both(**parameters)
    made = decoder(deflate=client)
    for message in sent * 2:
        compressed = server.compress(message)
        half = len(compressed) // 2
        wire = encode_frame(RSV1 | BINARY, compressed[:half])
        wire += encode_frame(FIN | PING, b"") + encode_frame(FIN | CONTINUATION, compressed[half:])
        assert made.feed(wire) == [(PING, b""), (BINARY, message)]
        assert made.feed(encode_frame(FIN | BINARY, message)) == [(BINARY, message)]  # not compressed: allowed too
    assert made.fault is None


def test_the_examples_of_rfc_7692() -> None:
    """Section 7.2.3: one block, two messages with the window kept, no compression, BFINAL set."""
    _, client = both()
    made = decoder(deflate=client)
    assert made.feed(bytes.fromhex("c107f248cdc9c90700")) == [(TEXT, "Hello")]
    assert made.feed(bytes.fromhex("c105f200110000")) == [(TEXT, "Hello")]
    assert made.feed(bytes.fromhex("c10b000500faff48656c6c6f00")) == [(TEXT, "Hello")]
    assert decoder(deflate=both()[1]).feed(bytes.fromhex("c108f348cdc9c9070000")) == [(TEXT, "Hello")]


def test_a_bomb_is_refused_while_it_is_inflated() -> None:
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = encoder.compress(bytes(50_000_000)) + encoder.flush(zlib.Z_SYNC_FLUSH)
    fault = fault_of(encode_frame(FIN | RSV1 | BINARY, bomb[:-4]), decoder(100_000, both()[1]))
    assert isinstance(fault, FrameTooLongError)
    assert fault.close_code == 1009
    assert fault.size == 100_001  # and not fifty million


def test_a_compressed_message_of_max_size_is_taken_and_one_byte_more_is_not() -> None:
    server, client = both(server_no_context_takeover=True)
    made = decoder(1000, client)
    assert made.feed(encode_frame(FIN | RSV1 | BINARY, server.compress(bytes(1000)))) == [(BINARY, bytes(1000))]
    assert fault_of(encode_frame(FIN | RSV1 | BINARY, server.compress(bytes(1001))), made).close_code == 1009


def test_what_is_not_deflate_is_1007_and_rsv1_on_a_continuation_1002() -> None:
    assert fault_of(encode_frame(FIN | RSV1 | TEXT, b"\xff\xff\xff\xff"), decoder(deflate=both()[1])).close_code == 1007
    wire = encode_frame(RSV1 | TEXT, b"") + encode_frame(FIN | RSV1 | CONTINUATION, b"")
    assert fault_of(wire, decoder(deflate=both()[1])).close_code == 1002


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("x-webkit-deflate-frame, permessage-deflate;client_no_context_takeover",
         "permessage-deflate; client_no_context_takeover"),
        ('permessage-deflate; client_max_window_bits="12"', "permessage-deflate; client_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; client_max_window_bits=09", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_server_takes_the_first_offer_that_it_can_follow(offer: str, answer: str | None) -> None:
    parameters = accept_offer(offer)
    assert (None if parameters is None else parameters.header()) == answer


def test_a_client_takes_an_answer_to_its_offer_and_nothing_else() -> None:
    answer = agree_on("permessage-deflate; server_no_context_takeover; client_max_window_bits=11")
    assert answer == DeflateParameters(server_no_context_takeover=True, client_max_window_bits=11)
    for wrong in ("x-other", "permessage-deflate; client_max_window_bits", "permessage-deflate, permessage-deflate"):
        with pytest.raises(ValueError):
            agree_on(wrong)
