"""The compiled decoder of WebSocket beside its oracle in Python: the same bytes, cut alike."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

from socketkit.connection.session import Session
from socketkit.websocket.deflate import Deflate, DeflateParameters
from socketkit.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, encode_frame
from socketkit.websocket.messages import Decoder, MessageDecoder, new_decoder
from socketkit.websocket.protocol import Protocol, WebSocketFraming
from support.given_codec import GivenCodec
from support.oracle import outcome

__all__ = ["compare_decoders", "compare_sessions", "random_frames"]

Setting = tuple[bool, int, bool]
"""Whether the peer masks, `max_size`, whether compression was agreed on."""

SETTINGS: list[Setting] = [(True, 300, False), (False, 300, False), (True, 70_000, True), (False, 200, True)]


def _decoded(made: Decoder, pieces: Iterable[bytes]) -> list[Any]:
    """What a decoder returns for each piece, with what it holds then; then its fault."""
    seen: list[Any] = [(made.feed(piece), made.buffered if made.fault is None else 0) for piece in pieces]
    fault = made.fault
    seen.append(None if fault is None else (type(fault), str(fault), fault.close_code, fault.close_reason))
    return seen


def compare_decoders(setting: Setting, pieces: list[bytes]) -> None:
    """Assert that both make the same of these bytes."""
    is_masked, max_size, has_deflate = setting

    def deflate() -> Deflate | None:
        return Deflate(DeflateParameters(), is_server=is_masked) if has_deflate else None

    compiled = new_decoder(is_masked=is_masked, max_size=max_size, deflate=deflate())
    plain = MessageDecoder(is_masked=is_masked, max_size=max_size, deflate=deflate())
    assert type(compiled) is not type(plain)
    assert _decoded(compiled, pieces) == _decoded(plain, pieces), f"{setting}: {pieces!r}"


def _session(setting: Setting, *, is_native: bool) -> tuple[Session, Protocol, list[int]]:
    is_server, max_size, has_deflate = setting
    deflate = Deflate(DeflateParameters(), is_server=is_server) if has_deflate else None
    protocol = Protocol("ws://peer:1", is_server=is_server, max_size=max_size, deflate=deflate)
    written: list[int] = []
    protocol.write = lambda data: written.append(len(data))  # the masks differ
    framing = WebSocketFraming(protocol, None)
    return Session(framing if is_native else GivenCodec(framing.codec())), protocol, written


def compare_sessions(setting: Setting, pieces: list[bytes]) -> None:
    """Assert that a session that decodes natively, and one whose codec has every byte, make the same of these bytes:
    messages, errors, close codes, answers."""
    native, native_protocol, native_written = _session(setting, is_native=True)
    plain, plain_protocol, plain_written = _session(setting, is_native=False)
    told = f"{setting}: {pieces!r}"
    assert outcome(native, pieces, has_end=False) == outcome(plain, pieces, has_end=False), told
    assert native_written == plain_written, told
    assert native_protocol.received_close == plain_protocol.received_close, told
    assert native_protocol.sent_close == plain_protocol.sent_close, told
    assert native.has_part == plain.has_part or native_protocol.received_close is not None, told


def random_frames(dice: random.Random, setting: Setting) -> list[bytes]:
    """Frames that mostly follow the rules, cut anywhere, sometimes with something wrong in them."""
    is_masked, max_size, has_deflate = setting
    peer = Deflate(DeflateParameters(), is_server=not is_masked)
    wire = bytearray()

    def add(first: int, payload: bytes) -> None:
        wire.extend(encode_frame(first, payload, dice.randbytes(4) if is_masked else None))

    for _ in range(dice.randrange(8)):
        if dice.random() < 0.2:
            add(FIN | dice.choice((PING, PONG)), dice.randbytes(dice.choice((0, 1, 125))))
            continue
        size = dice.choice((0, 1, 2, 7, 8, 9, 60, 125, 126, 127, max_size, max_size + 1))
        is_text = dice.random() < 0.6
        text = "".join(dice.choices("ab é\N{SNOWMAN}\N{GRINNING FACE}", k=size)).encode()
        data = text[: min(len(text), max_size)] if is_text else dice.randbytes(size)
        rsv1 = RSV1 if has_deflate and dice.random() < 0.5 else 0
        data = peer.compress(data) if rsv1 else data
        cuts = sorted(dice.choices(range(len(data) + 1), k=dice.choice((0, 0, 1, 3))))
        parts = [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]
        for number, part in enumerate(parts):
            if number and dice.random() < 0.3:
                add(FIN | PING, b"amid")
            kind = (TEXT if is_text else BINARY) | rsv1 if number == 0 else CONTINUATION
            add(kind | (FIN if number == len(parts) - 1 else 0), part)
    if dice.random() < 0.2:
        add(FIN | CLOSE, dice.choice((b"", b"\x03\xe8bye", b"x")))
    if dice.random() < 0.4 and wire:
        wire[dice.randrange(len(wire))] ^= 1 << dice.randrange(8)
    if dice.random() < 0.2:
        wire += dice.randbytes(dice.randrange(12))
    cuts = sorted(dice.choices(range(len(wire) + 1), k=dice.randrange(6)))
    return [bytes(wire[a:b]) for a, b in itertools.pairwise([0, *cuts, len(wire)])]
