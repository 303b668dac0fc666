"""The compiled core beside its oracle: one session that decodes natively, one whose codec has every byte.

Both are fed the same bytes, cut alike. What they return, and the error that ends them, must be the same.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

from socketkit.connection.session import Session
from socketkit.errors import EndOfStream, FramingError, SocketkitError
from socketkit.framing import of
from socketkit.framing.adapter import adapt
from socketkit.framing.codec import ConnectionCodec, Framing

__all__ = ["NATIVE", "Outcome", "compare", "outcome", "random_stream"]

NATIVE = [
    "lines",
    "lines:crlf",
    "lines:max_size=7",
    "lines:encoding=latin-1",
    "lines:encoding=ascii",
    "lines:encoding=none",
    r"delimited:\0",
    r"delimited:\r\n",
    "delimited:aa",
    "delimited:abab",
    r"delimited:\0,max_size=7",
    "fixed:1",
    "fixed:5",
    "length:1",
    "length:2le,includes=header",
    "length:3,includes=all,before=1,after=2",
    "length:4,max_size=64",
    "length:8le",
    "length:2,before=1,keep_header",
    "varint",
    "varint:max_size=200",
    "netstring",
    "netstring:max_size=9",
    "octets",
]
"""Framings that the compiled core decodes, with their limits."""

Outcome = tuple[list[Any], tuple[type[BaseException], str] | None, int]


class PlainSession(Session):
    """A session in which no framing is native."""

    __slots__ = ()

    def _use(self, framing: Framing, codec: ConnectionCodec | None) -> None:
        super()._use(framing, adapt(framing.codec()) if codec is None else codec)


def outcome(session: Session, pieces: list[bytes], *, has_end: bool) -> Outcome:
    """Feed the pieces; return the messages, the error behind them, and how many messages were counted."""
    messages: list[Any] = []
    error: SocketkitError | None = None

    def take() -> SocketkitError | None:
        while True:
            end = session.end()
            if not session.waiting:
                return end
            messages.extend(session.take_all())

    for piece in pieces:
        session.feed(piece)
        if (error := take()) is not None:
            break
    if error is None and has_end:
        session.feed_eof(EndOfStream("the end"))
        error = take()
    if isinstance(error, FramingError):
        return messages, (type(error), f"{error} at {error.offset}"), session.received_count
    return messages, None if error is None else (type(error), str(error)), session.received_count


def compare(framing: str, pieces: list[bytes], *, has_end: bool = True) -> None:
    """Assert that both sessions make the same of these bytes."""
    native = outcome(Session(of(framing)), pieces, has_end=has_end)
    plain = outcome(PlainSession(of(framing)), pieces, has_end=has_end)
    assert native == plain, f"{framing}: {pieces!r}"


def random_stream(dice: random.Random, framing: str) -> list[bytes]:
    """Bytes that mostly follow a framing, cut anywhere, sometimes with something wrong in them."""
    codec = of(framing).codec()
    size = getattr(of(framing), "size", None)
    made = bytearray()
    letters = dice.choice(("ab\r\0 0é\N{SNOWMAN}", "ab 0"))
    for _ in range(dice.choices((dice.randrange(6), 40, 600), (90, 9, 1))[0]):
        text = "".join(dice.choices(letters, k=dice.choice((0, 1, 3, 8, 200))))
        message: Any = text.encode() if size is None else dice.randbytes(size)
        if framing.startswith("lines") and "none" not in framing:
            message = text
        try:
            made += codec.encode([message])
        except (SocketkitError, TypeError, ValueError):
            made += text.encode()  # cannot be framed: then it is something wrong
    if dice.random() < 0.3 and made:
        made[dice.randrange(len(made))] = dice.choice(b"\n\r\0a0:, \xff\x80")
    if dice.random() < 0.2:
        made += dice.randbytes(dice.randrange(12))
    cuts = sorted(dice.choices(range(len(made) + 1), k=dice.randrange(5)))
    return [bytes(made[a:b]) for a, b in itertools.pairwise([0, *cuts, len(made)])]
