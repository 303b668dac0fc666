"""The contract of every framing, as laws that hold for any messages, any bytes and any cut of them.

A subject has what is particular: its name, its messages, and fragments that make garbage look real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from socketkit import framing
from socketkit.errors import FrameTooLongError, FramingError, TruncatedFrameError

LAW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Subject:
    """One framing under the laws.

    Attributes:
        text: its name with options.
        message: makes messages.
        fragments: bytes that mean something to it.
        payload: makes a message whose payload has exactly so many bytes; None where there is no limit to meet.
        beside: bytes that a frame may hold beside its payload while it is gathered, for so large a limit.
        policies: what `oversize` may be.
        head: bytes of a message that are no payload: they stay where it is truncated.
    """

    text: str
    message: SearchStrategy[Any]
    fragments: tuple[bytes, ...]
    payload: Callable[[int], Any] | None = lambda size: b"x" * size
    beside: Callable[[int], int] = lambda limit: 32
    policies: tuple[str, ...] = ("fail", "skip", "truncate")
    head: int = 0

    def framing(self, **limits: object) -> Any:
        """Return the framing with other limits."""
        made = framing.parse(self.text)
        given = {name: getattr(made, name) for name in type(made).fields}
        return type(made)(**(given | limits))


@dataclass
class Decoded:
    """All that a codec returned: messages, the frames that were skipped, and the error that ended it."""

    messages: list[Any]
    passed: list[tuple[int | None, type[FramingError]]]
    fault: FramingError | None

    @property
    def story(self) -> Any:
        """Return what must not depend on how the bytes were cut."""
        return self.messages, self.passed, self.fault and (type(self.fault), self.fault.offset)


def decode_all(codec: Any, pieces: Iterable[bytes], *, eof: bool = True) -> Decoded:
    """Feed all pieces, then the end; check that an error is raised again and again."""
    decoded = Decoded([], [], None)
    calls = [*((lambda piece=piece: codec.feed(piece)) for piece in pieces), lambda: codec.feed(b"")]
    for call in [*calls, codec.feed_eof] if eof else calls:
        try:
            decoded.messages += call()
        except FramingError as error:
            decoded.fault = error
            assert_stays_faulty(codec, error)
            break
        finally:
            decoded.passed += [(fault.offset, type(fault)) for fault in codec.take_faults()]
    return decoded


class OneByOne:
    """A codec that decodes all it is fed, but message by message."""

    def __init__(self, codec: Any) -> None:
        self.codec = codec
        self.faults: list[FrameTooLongError] = []
        self.feed_eof = codec.feed_eof

    def feed(self, data: bytes) -> list[Any]:
        messages: list[Any] = []
        at = 0
        if not data:
            messages += self.codec.feed(data)
        while at < len(data) and self.codec.fault is None:
            was_skipping = self.codec.is_skipping
            found, end = self.codec.feed_first(data, at)
            assert len(found) <= 1
            has_ended = found or (was_skipping and not self.codec.is_skipping)  # a number ends before the next byte
            assert at < end <= len(data) or (at == end and has_ended)
            messages += found
            self.faults += self.codec.take_faults()
            at = end
        if self.codec.fault is not None and not messages:
            raise self.codec.fault
        return messages

    def take_faults(self) -> list[FrameTooLongError]:
        faults = self.faults + self.codec.take_faults()
        self.faults = []
        return faults


def assert_stays_faulty(codec: Any, error: FramingError) -> None:
    for call in (lambda: codec.feed(b""), lambda: codec.feed(b"more"), codec.feed_eof):
        try:
            call()
        except FramingError as again:
            assert again is error
        else:
            raise AssertionError(f"{error!r} was raised once only")


@st.composite
def cut(draw: Any, data: bytes) -> list[bytes]:
    """Draw the same bytes in pieces, some of them empty."""
    style = draw(st.sampled_from(["whole", "bytes", "few", "even"]))
    if style == "whole":
        return [data]
    if style == "bytes":
        return [data[index : index + 1] for index in range(len(data))]
    if style == "even":
        size = draw(st.integers(1, 9))
        return [data[index : index + size] for index in range(0, len(data), size)]
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


def garbage(subject: Subject) -> SearchStrategy[bytes]:
    """Bytes that look like the framing here and there."""
    fragment = st.one_of(st.sampled_from(subject.fragments), st.binary(max_size=6))
    return st.lists(fragment, max_size=24).map(b"".join)


def draw_limits(subject: Subject, data: Any) -> dict[str, Any]:
    """A limit, and what comes of a longer frame; nothing for a framing without them."""
    if subject.payload is None:
        return {}
    return {
        "max_size": data.draw(st.sampled_from([0, 1, 3, 8, 1000])),
        "oversize": data.draw(st.sampled_from(subject.policies)),
    }


class FramingLaws:
    """The laws. Mix in with a `subject`."""

    chunky = False
    """Whether messages have no borders: then only their concatenation is promised."""

    def same(self, decoded: list[Any], sent: list[Any]) -> bool:
        return b"".join(decoded) == b"".join(sent) if self.chunky else decoded == sent

    def check_round_trip(self, subject: Subject, data: Any) -> None:
        """`feed` returns what `encode` took, for any cut; nothing is left over."""
        messages = data.draw(st.lists(subject.message, max_size=12))
        codec = subject.framing().codec()
        encoded = codec.encode(messages)
        assert type(encoded) is bytes
        decoded = decode_all(codec, data.draw(cut(encoded)))
        assert self.same(decoded.messages, messages)
        assert decoded.fault is None
        assert codec.buffered == 0
        assert codec.offset == len(encoded)

    def check_batches(self, subject: Subject, data: Any) -> None:
        """Frames stand alone: encoded one by one, shuffled and joined, they are the shuffled messages."""
        messages = data.draw(st.lists(subject.message, min_size=10, max_size=10))
        codec = subject.framing().codec()
        order = data.draw(st.permutations(range(10)))
        encoded = [codec.encode((message,)) for message in messages]
        assert codec.encode(messages) == b"".join(encoded)
        assert codec.encode(iter(messages)) == b"".join(encoded)
        decoded = decode_all(codec, [b"".join(encoded[index] for index in order)])
        assert self.same(decoded.messages, [messages[index] for index in order])

    def check_one(self, subject: Subject, data: Any) -> None:
        """`encode_one` returns, or raises, the same as `encode` of one message; also for what is no message."""
        limit = {} if subject.payload is None else {"max_size": data.draw(st.integers(1, 300))}
        codec = subject.framing(**limit).codec()
        strange = st.sampled_from(["a\nb", "a\r", "", "\udc80", b"a\nb", b"a\r", b"", bytearray(b"a"), 7, None])
        message = data.draw(subject.message | strange)

        def result_of(encode: Callable[[], bytes]) -> Any:
            try:
                return encode()
            except (FramingError, TypeError) as error:
                return type(error), str(error)

        assert result_of(lambda: codec.encode_one(message)) == result_of(lambda: codec.encode((message,)))

    def check_garbage(self, subject: Subject, data: Any) -> None:
        """Any bytes are messages or a documented error, the same ones for any cut; what is held is bounded."""
        stream = data.draw(garbage(subject))
        limits = draw_limits(subject, data)
        made = subject.framing(**limits)
        whole = decode_all(made.codec(), [stream])
        codec = made.codec()
        pieces = data.draw(cut(stream))
        decoded = decode_all(codec, pieces)
        if not self.chunky:
            assert decoded.story == whole.story
        limit = limits.get("max_size", 0)
        for again in (made.codec(),) if limits else ():
            longest = max(map(len, pieces), default=0)
            for piece in pieces:
                try:
                    again.feed(piece)
                except FramingError:
                    break
                assert again.buffered <= limit + subject.beside(limit) + longest

    def check_one_by_one(self, subject: Subject, data: Any) -> None:
        """`feed_first` takes one message at a time, at most; the messages and the errors are those of `feed`."""
        stream = data.draw(garbage(subject))
        limits = draw_limits(subject, data)
        made = subject.framing(**limits)
        whole = decode_all(made.codec(), [stream])
        pieces = data.draw(cut(stream))
        decoded = decode_all(OneByOne(made.codec()), pieces)
        if self.chunky:
            assert b"".join(decoded.messages) == stream
        else:
            assert decoded.story == whole.story

    def check_giving_back(self, subject: Subject, data: Any) -> None:
        """Messages that were not received become bytes again; decoded anew they are the same, and so is the error."""
        stream = data.draw(garbage(subject))
        pieces = data.draw(cut(stream))
        whole = decode_all(subject.framing().codec(), pieces, eof=False)
        codec = subject.framing().codec()
        received: list[Any] = []
        stop = data.draw(st.integers(0, len(pieces)))
        for index, piece in enumerate(pieces):
            try:
                batch = codec.feed(piece)
            except FramingError:
                batch = []
            unread = data.draw(st.integers(0, len(batch))) if index == stop or codec_is_faulty(codec) else 0
            received += batch[: len(batch) - unread]
            if index == stop or codec_is_faulty(codec):
                break
        else:
            index, unread = len(pieces) - 1, 0
        rest = codec.take_rest(unread)
        assert stream[: sum(map(len, pieces[: index + 1]))].endswith(rest)
        assert codec.buffered == 0
        again = subject.framing().codec()
        again.offset = codec.offset
        decoded = decode_all(again, [rest, *pieces[index + 1 :]], eof=False)
        assert self.same(received + decoded.messages, whole.messages)
        assert (decoded.fault and decoded.fault.offset) == (whole.fault and whole.fault.offset)

    def check_end(self, subject: Subject, data: Any) -> None:
        """At the end of stream the partial frame is a message, or an error that carries its bytes."""
        messages = data.draw(st.lists(subject.message, max_size=4))
        codec = subject.framing().codec()
        encoded = codec.encode(messages)
        came = encoded[: data.draw(st.integers(0, len(encoded)))]
        before = codec.feed(came)
        assert self.same(before, messages[: len(before)]) or self.chunky
        held = codec.buffered
        try:
            last = codec.feed_eof()
        except TruncatedFrameError as error:
            assert error.partial == came[error.offset :]
            assert len(error.partial) == held
        else:
            assert len(last) <= 1
            assert bool(last) <= bool(held)
            assert codec.feed_eof() == []

    def check_limit(self, subject: Subject, data: Any) -> None:
        """A payload of `max_size` passes both ways; one byte more is refused both ways, and encoding goes on."""
        assume(subject.payload is not None)
        limit = data.draw(st.sampled_from([1, 2, 7, 100]))
        fitting, longer = subject.payload(limit), subject.payload(limit + 1)
        assume(fitting is not None and longer is not None)
        codec = subject.framing(max_size=limit).codec()
        encoded = codec.encode([fitting])
        assert decode_all(codec, data.draw(cut(encoded))).messages == [fitting]
        for messages in ([longer], [fitting, longer]):
            try:
                codec.encode(messages)
            except FrameTooLongError as error:
                assert (error.size, error.max_size, error.offset) == (limit + 1, limit, None)
            else:
                raise AssertionError("an over-long message was encoded")
        codec = subject.framing(max_size=limit).codec()
        decoded = decode_all(codec, data.draw(cut(encoded + subject.framing().codec().encode([longer, fitting]))))
        assert decoded.messages == [fitting]
        assert isinstance(decoded.fault, FrameTooLongError)
        assert decoded.fault.offset == len(encoded)
        assert decoded.fault.size > decoded.fault.max_size == limit
        assert codec.encode([fitting]) == encoded

    def check_passing_over(self, subject: Subject, data: Any) -> None:
        """Skipped or truncated: one error value for each over-long frame, and the frames beside it are right."""
        assume(subject.payload is not None)
        limit = data.draw(st.sampled_from([1, 2, 7, 100]))
        sizes = data.draw(st.lists(st.sampled_from([1, limit, limit + 1, limit + 2, 3 * limit + 5]), max_size=8))
        messages = [subject.payload(size) for size in sizes]
        assume(None not in messages)
        policy = data.draw(st.sampled_from([policy for policy in subject.policies if policy != "fail"]))
        encoded = [subject.framing().codec().encode([message]) for message in messages]
        offsets = [sum(map(len, encoded[:index])) for index, size in enumerate(sizes) if size > limit]
        codec = subject.framing(max_size=limit, oversize=policy).codec()
        decoded = decode_all(codec, data.draw(cut(b"".join(encoded))))
        assert decoded.fault is None
        assert decoded.passed == [(offset, FrameTooLongError) for offset in offsets]
        shortened = [message[: limit + subject.head] if policy == "truncate" else message for message in messages]
        assert decoded.messages == [
            message for message, size in zip(shortened, sizes, strict=True) if size <= limit or policy == "truncate"
        ]
        assert codec.buffered == 0

    def check_buffers(self, subject: Subject, data: Any) -> None:
        """Fed from a buffer that is used again, a codec changes nothing in it and nothing changes in the codec."""
        messages = data.draw(st.lists(subject.message, min_size=1, max_size=6))
        codec = subject.framing().codec()
        decoded: list[Any] = []
        for piece in data.draw(cut(codec.encode(messages))):
            buffer = bytearray(piece)
            decoded += codec.feed(memoryview(buffer))
            assert buffer == piece
            buffer[:] = b"\xee" * len(buffer)
        assert self.same(decoded, messages)


def codec_is_faulty(codec: Any) -> bool:
    return getattr(codec, "fault", None) is not None
