"""Any bytes through every framing: messages or a documented error, the same ones for any cut, and nothing else ever.

`make fuzz` runs this for a minute under atheris (libFuzzer). The `except` clauses are the list of documented errors:
any other exception is a finding, and so is a broken promise. The input chooses the framing, its limits and the cuts.
Without atheris, `python fuzz/framing.py FILE...` replays findings.
"""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

if atheris is not None:
    with atheris.instrument_imports(include=["socketkit.framing"]):
        from socketkit import framing
else:
    from socketkit import framing

from socketkit.errors import FrameTooLongError, FramingError, TruncatedFrameError

NAMES = [
    "lines",
    "lines:crlf",
    "lines:encoding=latin-1",
    "lines:encoding=shift_jis",
    "lines:encoding=none",
    r"delimited:\0",
    r"delimited:\r\n",
    "delimited:aa",
    "delimited:abab",
    r"delimited:\r\n,\n,\r",
    "delimited:abc,ca,aab",
    "fixed:1",
    "fixed:5",
    "length:1",
    "length:2le,includes=header",
    "length:3,includes=all,before=1,after=2",
    "length:4",
    "length:8le",
    "length:2,before=1,keep_header",
    "varint",
    "netstring",
    "octets",
    "content-length",
    "cobs",
    "slip",
    "json",
    "json-stream",
    "msgpack",
    "chunks",
]
LIMITS = [0, 1, 7, 64, 2**20]
BESIDE = 8 * 1024 + 64
"""Bytes that a codec may hold beside its payload and what it was fed last: a block of headers is the most."""


def made(choice: int) -> Any:
    """One of all framings with one of its policies and a limit."""
    described = framing.parse(NAMES[choice % len(NAMES)])
    given = {name: getattr(described, name) for name in type(described).fields}
    if "max_size" in given:
        policies = (
            ["fail", "skip"] if described.name in ("json", "json-stream", "msgpack") else ["fail", "skip", "truncate"]
        )
        given["max_size"] = LIMITS[choice // 32 % len(LIMITS)]
        given["oversize"] = policies[choice // 256 % len(policies)]
    return type(described)(**given)


def pieces_of(data: bytes, cuts: bytes) -> list[bytes]:
    """The data cut where the cuts say, one of them after the other, over and over."""
    pieces, position = [], 0
    for cut in itertools.cycle(cuts or b"\0"):
        if position >= len(data):
            return pieces
        pieces.append(data[position : position + cut % 32 + 1])
        position += cut % 32 + 1
    return pieces


def told(value: Any) -> str:
    """The value in words, to be compared: NaN equals itself, True is not 1, and objects have no address."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def heard(described: Any, pieces: list[bytes]) -> tuple[Any, ...]:
    """All that comes out: messages, passed frames, the fault's kind and place."""
    codec = described.codec()
    messages: list[Any] = []
    passed = []
    limit = getattr(described, "max_size", 0)
    for piece in [*pieces, b""]:
        try:
            messages += codec.feed(piece)
        except (FramingError, FrameTooLongError) as error:
            check_fault(codec, error)
            return messages, passed, type(error), error.offset
        finally:
            passed += [fault.offset for fault in codec.take_faults()]
        assert codec.buffered <= 2 * limit + BESIDE + len(piece), codec.buffered
    try:
        messages += codec.feed_eof()
    except (FramingError, TruncatedFrameError) as error:
        check_fault(codec, error)
        return messages, passed, type(error), error.offset
    finally:
        passed += [fault.offset for fault in codec.take_faults()]
    return messages, passed, None, None


def check_fault(codec: Any, error: FramingError) -> None:
    """A fault is told again, and has a place and a name."""
    try:
        codec.feed(b"more")
    except FramingError as again:
        assert again is error
    else:
        raise AssertionError("a fault was told once only")
    assert error.framing
    assert error.offset is not None


def check_round_trip(described: Any, messages: list[Any]) -> None:
    """What was received can be sent, or is refused; what was sent is received."""
    codec = described.codec()
    try:
        data = codec.encode(messages)
    except FramingError:
        return
    again = codec.feed(data) + codec.feed_eof()
    assert told(again) == told(messages), (again, messages)


def check_rest(described: Any, data: bytes, unread: int) -> None:
    """What nobody received becomes bytes again, and the same messages."""
    codec = described.codec()
    try:
        messages = codec.feed(data)
    except FramingError:
        messages = []
    unread = unread % (len(messages) + 1)
    try:
        rest = codec.take_rest(unread)
    except FramingError:
        return  # an over-long frame was being passed over
    assert data.endswith(rest)
    try:
        again = described.codec().feed(rest)
    except FramingError:
        again = []
    assert told(again) == told(messages[len(messages) - unread :])


def test_one_input(data: bytes) -> None:
    """One input: two bytes choose the framing, one says how many of the next are cuts, one how many are unread."""
    if len(data) < 4:
        return
    described = made(data[0] << 8 | data[1])
    count = data[2] % 8
    cuts, stream = data[4 : 4 + count], data[4 + count :]
    whole = heard(described, [stream])
    story = heard(described, pieces_of(stream, cuts))
    if described.name == "chunks":
        assert b"".join(whole[0]) == b"".join(story[0])
        return
    assert told(story) == told(whole), (str(described), story, whole)
    check_round_trip(described, whole[0])
    check_rest(described, stream, data[3])


def main() -> None:
    """Fuzz; or replay the files that are named."""
    if atheris is None:
        for name in sys.argv[1:]:
            test_one_input(Path(name).read_bytes())
        return
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
