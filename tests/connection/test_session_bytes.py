"""Bytes beside messages against a model that knows the whole stream: any order of calls, any cut of the bytes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.bytes_contract import Numbered
from socketkit import framing
from socketkit.connection.session import CALM_COUNT, Session
from socketkit.connection.unread_bytes import Exactly, Peek, Until
from socketkit.errors import EndOfStream, FrameTooLongError, FramingError, SocketkitError
from support.given_codec import GivenCodec

FRAMINGS = {
    "lines:encoding=none,max_size=6": [b"abc\n", b"\n", b"ab\r\n", b"0123456789\n"],
    r"delimited:\r\n,max_size=6": [b"abc\r\n", b"\r\r\n", b"\r\n", b"\n\r"],
    r"delimited:\r\n,\n": [b"abc\r\n", b"a\r", b"\r\n", b"\nb"],
    "delimited:aa": [b"baa", b"aaa", b"aa", b"ba"],
    "length:1": [b"\3abc", b"\0", b"\1\n", b"\5ab"],
    "length:2,includes=header,max_size=6": [b"\0\3a", b"\0\2", b"\0\1", b"\0\x40abc"],
    "varint": [b"\3abc", b"\x83\x00abc", b"\0", b"\x80"],
    "netstring": [b"3:abc,", b"0:,", b"3:ab", b"1:x;"],
    "fixed:3": [b"abc", b"d", b"ef"],
    "content-length": [b"Content-Length: 3\r\n\r\nabc", b"content-length:1\r\n\r\n", b"x"],
}
CALLS = st.one_of(
    st.just(("receive", 0)),
    st.just(("receive", 0)),
    st.tuples(st.just("exactly"), st.integers(0, 9)),
    st.tuples(st.just("peek"), st.integers(0, 9)),
    st.tuples(st.just("until"), st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"aa"])),
)
MANY = settings(max_examples=150, deadline=None, derandomize=True, database=None)


class Model:
    """The whole stream and a position: each call has one right answer."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.at = 0

    def answer(self, call: tuple[str, Any]) -> Any:
        verb, argument = call
        return getattr(self, verb)(argument)

    def receive(self, _: object) -> Any:
        codec = framing.parse(self.name).codec()
        try:
            for end in range(self.at, len(self.data)):
                messages = codec.feed(self.data[end : end + 1])
                if messages:
                    self.at = end + 1
                    return messages[0]
            messages = codec.feed_eof()
        except FramingError as error:
            return type(error), None if error.offset is None else error.offset + self.at
        if messages:
            self.at = len(self.data)
            return messages[0]
        return EndOfStream

    def exactly(self, size: int) -> Any:
        if len(self.data) - self.at < size:
            return self._cut()
        self.at += size
        return self.data[self.at - size : self.at]

    def peek(self, size: int) -> Any:
        return self.data[self.at : self.at + size] or (b"" if not size else EndOfStream)

    def until(self, mark: bytes) -> Any:
        found = self.data.find(mark, self.at, self.at + 5 + len(mark))
        if found < 0:
            if len(self.data) - self.at >= 5 + len(mark):
                return FrameTooLongError, self.at
            return self._cut()
        begin, self.at = self.at, found + len(mark)
        return self.data[begin:found]

    def _cut(self) -> Any:
        return EndOfStream if self.at == len(self.data) else ("cut", self.data[self.at :])


class Feeding:
    """A session that gets its bytes piece by piece, only when it asks for more."""

    def __init__(self, made: Any, pieces: list[bytes]) -> None:
        self.session = Session(made)
        self.pieces = pieces

    def more(self) -> None:
        if self.pieces:
            self.session.feed(self.pieces.pop(0))
        else:
            self.session.feed_eof(EndOfStream("over"))

    def answer(self, call: tuple[str, Any]) -> Any:
        verb, argument = call
        try:
            if verb == "receive":
                return self.receive()
            return self.take(verb, argument)
        except EndOfStream:
            return EndOfStream
        except FramingError as error:
            if verb != "receive" and not isinstance(error, FrameTooLongError):
                return "cut", error.partial  # type: ignore[attr-defined]
            return type(error), error.offset

    def receive(self) -> Any:
        while True:
            end: SocketkitError | None = None
            if not self.session.waiting:
                end = self.session.end()
            if self.session.waiting:
                return self.session.waiting.pop()
            if end is not None:
                raise end
            self.more()

    def take(self, verb: str, argument: Any) -> bytes:
        wanted = {"exactly": Exactly, "peek": Peek, "until": lambda mark: Until(mark, 5)}[verb](argument)
        while (found := self.session.take_bytes(wanted)) is None:
            self.more()
        return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the data in pieces."""
    borders = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


@pytest.mark.parametrize("name", FRAMINGS)
@MANY
@given(data=st.data())
def test_any_order_of_calls(name: str, data: st.DataObject) -> None:
    """Every call gives what the model says, and a fault's offset is that in the stream."""
    stream = b"".join(data.draw(st.lists(st.sampled_from(FRAMINGS[name]), max_size=12)))
    model = Model(name, stream)
    feeding = Feeding(framing.parse(name), cut(stream, data.draw(st.lists(st.integers(0, 80), max_size=6))))
    for call in data.draw(st.lists(CALLS, max_size=25)):
        assert feeding.answer(call) == model.answer(call), call
    assert feeding.session.received_size == len(stream) - sum(map(len, feeding.pieces))


@MANY
@given(st.lists(st.integers(0, 60)), st.lists(st.one_of(st.just(0), st.integers(1, 5)), max_size=20))
def test_own_state_goes_back(places: list[int], sizes: list[int]) -> None:
    """A codec that counts its messages counts those that were received, whatever was read ahead."""
    stream = bytes(range(60))
    feeding = Feeding(GivenCodec(Numbered()), cut(stream, places))
    at = count = 0
    for size in sizes:
        want = size or 2
        if at + want > len(stream):
            break
        expected = stream[at : at + want]
        at += want
        if size:
            assert feeding.take("exactly", size) == expected
        else:
            assert feeding.receive() == (count, expected)
            count += 1
    assert feeding.session.received_count - feeding.session.unread_count == count


def test_reads_only_what_is_asked() -> None:
    """A change between messages and bytes decodes what is received, and nothing behind it."""
    decoded = 0

    class Counting(Numbered):
        def feed(self, data: bytes) -> list[Any]:
            nonlocal decoded
            decoded += len(data)
            return super().feed(data)

    session = Session(GivenCodec(Counting()))
    session.feed(b"ab" * 100_000)
    assert session.take_bytes(Exactly(2)) == b"ab"
    decoded = 0
    for number in range(50):
        assert session.end() is None
        assert session.waiting.pop()[1] == b"ab"
        assert session.take_bytes(Exactly(2)) == b"ab", number
    assert decoded < 50 * 200


def test_batches_after_calm() -> None:
    """After so many messages without bytes between them they are decoded in batches again."""
    session = Session(framing.parse("lines"))
    session.feed(b"x\n" * (CALM_COUNT + 200))
    assert session.take_bytes(Exactly(2)) == b"x\n"
    session.end()
    assert len(session.waiting) == 1
    for _ in range(CALM_COUNT + 1):
        session.end()
        session.waiting.pop()
    session.end()
    assert len(session.waiting) > 1
