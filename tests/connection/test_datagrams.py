"""Framing datagram by datagram: any datagrams give the messages that each gives alone, and a fault is one's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketkit import framing
from socketkit.connection.datagrams import DatagramSession
from socketkit.errors import (
    BrokenError,
    ClosedError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    SocketkitError,
    TruncatedFrameError,
)

FRAMINGS = [
    "chunks",
    "lines",
    "lines:encoding=none",
    "netstring",
    "length:2",
    "cobs",
    "slip",
    "varint",
    "fixed:3",
    "json",
]


def session_of(name: str = "chunks", *, max_size: int = 1000, is_connectionless: bool = True) -> DatagramSession:
    return DatagramSession(framing.parse(name), max_size=max_size, is_connectionless=is_connectionless)


def drained(session: DatagramSession) -> tuple[list[object], SocketkitError | None]:
    """What a receiver gets of one datagram: messages, then perhaps an error."""
    messages = session.waiting[::-1]
    session.waiting.clear()
    return messages, session.end()


def alone(name: str, datagram: bytes) -> tuple[list[object], type | None]:
    """What a datagram gives a codec that has seen nothing else."""
    codec = framing.parse(name).codec()
    messages: list[object] = []
    try:
        messages += codec.feed(datagram)
        messages += codec.feed_eof()
    except FramingError as error:
        return messages, type(error)
    return messages, None


@given(name=st.sampled_from(FRAMINGS[1:]), datagrams=st.lists(st.binary(max_size=40), max_size=6))
def test_datagram_framed_alone(name: str, datagrams: list[bytes]) -> None:
    """Each datagram gives what it would give alone."""
    session = session_of(name)
    for datagram in datagrams:
        session.feed(datagram)
        messages, error = drained(session)
        assert (messages, type(error) if error else None) == alone(name, datagram)
        assert session.end() is None  # told once


@given(st.lists(st.binary(max_size=40)))
def test_chunks_one_message_per_datagram(datagrams: list[bytes]) -> None:
    """As chunks a datagram is a message an empty one too."""
    session = session_of()
    for datagram in datagrams:
        session.feed(datagram)
    assert session.waiting[::-1] == datagrams
    assert session.received_size == sum(map(len, datagrams))
    assert session.received_count == len(datagrams)


@given(name=st.sampled_from(["chunks", "netstring", "length:2", "cobs", "varint"]), data=st.data())
def test_message_per_datagram_round_trip(name: str, data: st.DataObject) -> None:
    """Each message leaves as a datagram that gives it back."""
    messages = data.draw(st.lists(st.binary(max_size=40), max_size=6))
    near, far = session_of(name), session_of(name)
    near.queue(messages, len(messages))
    assert len(near.outgoing) == len(messages) == near.sent_count
    for frame in near.outgoing:
        far.feed(frame)
    assert far.waiting[::-1] == messages


def test_cut_frame_never_joined() -> None:
    """A cut frame is never joined to the next datagram."""
    session = session_of("netstring")
    session.feed(b"2:ab,5:hel")
    messages, error = drained(session)
    assert messages == [b"ab"]
    assert isinstance(error, TruncatedFrameError)
    assert error.partial == b"5:hel"
    session.feed(b"lo,1:x,")
    messages, error = drained(session)
    assert messages == []
    assert isinstance(error, FramingError)
    session.feed(b"1:y,")
    assert drained(session) == ([b"y"], None)


def test_oversized_message_refused_both_sizes() -> None:
    """A message that does not fit is refused with both sizes and none of its call is sent."""
    session = session_of(max_size=10)
    session.queue([b"x" * 10], 1)
    with pytest.raises(FrameTooLongError, match="11 bytes does not go into one datagram, which holds 10") as caught:
        session.queue([b"short", b"x" * 11], 2)
    assert (caught.value.size, caught.value.max_size) == (11, 10)
    assert list(session.outgoing) == [b"x" * 10]


def test_datagram_loss_raised_once() -> None:
    """A loss without a connection is reported once to whatever comes first."""
    session = session_of()
    loss = BrokenError("refused")
    assert session.fail(loss) is False
    session.lose(BrokenError("refused again"))
    with pytest.raises(BrokenError, match=r"^refused$"):
        session.queue([b"x"], 1)
    assert not session.outgoing
    session.queue([b"x"], 1)
    assert session.end() is None
    session.fail(loss)
    assert session.end() is loss
    assert session.end() is None


def test_a_loss_with_a_connection_stays() -> None:
    session = session_of(is_connectionless=False)
    loss = BrokenError("reset")
    assert session.fail(loss) is True
    assert session.end() is session.end() is loss


def test_datagram_close_is_final() -> None:
    """A close stays without a connection too."""
    session = session_of()
    session.fail(ClosedError("closed"))
    assert isinstance(session.end(), ClosedError)
    assert session.has_ended


def test_the_end_comes_after_the_last_fault() -> None:
    session = session_of("netstring")
    session.feed(b"nonsense")
    session.feed_eof(EndOfStream("over"))
    assert [type(session.end()) for _ in range(3)][1:] == [EndOfStream, EndOfStream]


def test_reframe_from_next_datagram() -> None:
    """Another framing counts from the next datagram."""
    session = session_of()
    session.feed(b"1:a,")
    session.reframe(framing.parse("netstring"))
    session.feed(b"1:b,")
    assert session.waiting[::-1] == [b"1:a,", b"b"]


def test_empty_datagram_counts_at_high_water() -> None:
    """An empty datagram counts at the high water mark."""
    session = session_of()
    session.queue([b"", b"", b"abc"], 3)
    assert session.outgoing_size == 5
    for frame in list(session.outgoing):
        session.sent(len(frame))
    assert (session.outgoing_size, session.sent_size) == (0, 3)


def test_own_close_outlasts_a_loss() -> None:
    """After our own close neither an earlier loss nor a fault is met."""
    session = session_of("netstring")
    session.lose(BrokenError("refused"))
    session.feed(b"nonsense")
    session.close(ClosedError("closed"))
    assert str(session.end()) == "closed"
    with pytest.raises(ClosedError):
        session.queue([b"x"], 1)
