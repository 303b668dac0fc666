"""The order is always the same: the messages that arrived whole, then the end, then errors. No socket is needed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import framing
from socketkit.connection.session import Session
from socketkit.errors import (
    BrokenError,
    ClosedError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    TruncatedFrameError,
)
from support.given_codec import GivenCodec


def session(name: str = "lines") -> Session:
    return Session(framing.parse(name))


def drain(talk: Session) -> list[object]:
    """What a receiver gets, and what it meets then."""
    got: list[object] = []
    while True:
        while talk.waiting:
            got.append(talk.waiting.pop())
        end = talk.end()
        if not talk.waiting:
            return [*got, end]


@given(st.lists(st.integers(0, 40)))
def test_any_cutting_gives_the_same_messages(cuts: list[int]) -> None:
    data, talk = b"one\ntwo\r\n\nthree\nfo", session()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in itertools.pairwise(places):
        talk.feed(data[start:stop])
    assert talk.take_all() == ["one", "two", "", "three"]
    assert talk.received_size == len(data)
    assert talk.received_count == 4
    assert not talk.has_ended


def test_no_end_before_whole_message() -> None:
    """While nothing is whole there is no end to meet."""
    talk = session()
    talk.feed(b"half")
    assert talk.end() is None
    assert not talk.is_between_messages


def test_end_after_last_message_is_final() -> None:
    """The end comes after the last message and stays."""
    talk, end = session(), EndOfStream("over")
    talk.feed(b"one\ntwo")
    talk.feed_eof(end)
    assert drain(talk) == ["one", "two", end]
    assert talk.end() is end
    assert talk.received_count == 2


def test_loss_after_messages_first_wins() -> None:
    """A loss comes after the whole messages and the first reason stays."""
    talk, loss = session(), BrokenError("reset")
    talk.feed(b"one\ntwo\nthr")
    talk.fail(loss)
    talk.fail(BrokenError("later"))
    assert drain(talk) == ["one", "two", loss]


def test_own_close_overrides_end() -> None:
    """An end is not overruled by a loss but by our own closing."""
    talk, end, closed = session(), EndOfStream("over"), ClosedError("closed")
    talk.feed_eof(end)
    talk.fail(BrokenError("reset"))
    assert talk.end() is end
    talk.fail(closed)
    assert talk.end() is closed


def test_fault_after_good_messages() -> None:
    """A fault behind good messages is met after them."""
    talk = session("netstring")
    talk.feed(b"3:one,3:two,nonsense")
    *messages, error = drain(talk)
    assert messages == [b"one", b"two"]
    assert isinstance(error, FramingError)
    assert error.offset == 12
    assert talk.end() is error


def test_truncated_frame_error_carries_bytes() -> None:
    """A frame cut by the end is an error that carries it."""
    talk = session("netstring")
    talk.feed(b"3:one,3:tw")
    talk.feed_eof(EndOfStream("over"))
    message, error = drain(talk)
    assert message == b"one"
    assert isinstance(error, TruncatedFrameError)
    assert error.partial == b"3:tw"


def test_skipped_frames_are_reported() -> None:
    """Skipped frames are reported and not raised."""
    talk = session("lines:max_size=3,oversize=skip")
    talk.feed(b"one\nlong one\ntwo\n")
    (fault,) = talk.take_faults()
    assert isinstance(fault, FrameTooLongError)
    assert (fault.size, fault.max_size) == (8, 3)
    assert drain(talk) == ["one", "two", None]


def test_minimal_codec() -> None:
    """A codec that reports nothing of itself is used as it is."""

    class Plain:
        def encode(self, messages):
            return b"".join(messages)

        def feed(self, data):
            return [data] if data else []

        def feed_eof(self):
            return []

    talk = Session(GivenCodec(Plain()))
    talk.feed(b"x")
    assert talk.take_faults() == []
    assert not talk.is_between_messages
    assert drain(talk) == [b"x", None]
    assert talk.is_between_messages


def test_outgoing_batch_is_counted_in_order() -> None:
    """The batch is one piece in order and counted until it is sent."""
    talk = session()
    talk.queue(("a",), 1)
    talk.queue(("b", "c"), 2)
    assert (talk.outgoing_size, talk.sent_count) == (6, 3)
    assert talk.take() == b"a\nb\nc\n"
    assert talk.outgoing_size == 6
    talk.sent(4)
    assert (talk.outgoing_size, talk.sent_size) == (2, 4)
    assert talk.outgoing == []


def test_unencodable_message_leaves_nothing() -> None:
    """A message that cannot be framed leaves nothing behind."""
    talk = session()
    with pytest.raises(FramingError):
        talk.queue(("good", "a\nb"), 2)
    with pytest.raises(TypeError):
        talk.queue((b"bytes",), 1)
    assert (talk.outgoing, talk.outgoing_size, talk.sent_count) == ([], 0, 0)


def test_refused_session_keeps_queued() -> None:
    """After a refusal nothing is taken but what was is still to go."""
    talk, reason = session(), ClosedError("closed")
    talk.queue(("a",), 1)
    talk.refuse(reason)
    talk.refuse(BrokenError("later"))
    with pytest.raises(ClosedError, match="closed") as caught:
        talk.queue(("b",), 1)
    assert caught.value is reason
    assert talk.refusal is reason
    assert talk.take() == b"a\n"


def test_incoming_fault_allows_sending() -> None:
    """A fault in what came does not keep us from answering."""
    talk = session("netstring")
    talk.feed(b"nonsense")
    assert isinstance(talk.end(), FramingError)
    talk.queue((b"sorry",), 1)
    assert talk.take() == b"5:sorry,"


def test_unread_messages_become_bytes() -> None:
    """What was not received becomes bytes again."""
    talk = session()
    talk.feed(b"one\ntwo\n3:")
    assert talk.waiting.pop() == "one"
    talk.reframe(framing.parse("chunks"))
    assert drain(talk) == [b"two\n3:", None]


def test_the_end_that_came_is_met_again() -> None:
    talk, end = session(), EndOfStream("over")
    talk.feed(b"one\ntw")
    talk.waiting.pop()
    talk.feed_eof(end)
    talk.reframe(framing.parse("chunks"))
    assert drain(talk) == [b"tw", end]
