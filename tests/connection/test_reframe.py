"""Another framing in mid-stream: not a byte is lost or read twice, whatever had been decoded already."""

from __future__ import annotations

import asyncio

import pytest

from socketkit import EndOfStream, FramingError, OptionError, connect, pair, serve


class Reversed:
    """A codec of one's own that cannot hand over."""

    def encode(self, messages):
        return b"".join(messages)

    def feed(self, data):
        return [data[::-1]] if data else []

    def feed_eof(self):
        return []


def test_reframe_rereads_buffered_messages():
    """Messages that came in the same packet are read anew."""
    with pair(framing="lines") as (left, right):
        left.send_many(["header: 1", "", "abc", "de"])
        assert right.receive() == "header: 1"
        assert right.receive() == ""
        right.reframe("fixed:3")
        assert right.receive_many() == [b"abc", b"\nde"]


def test_reframe_keeps_partial_message():
    """A part of a message is handed over too."""
    with pair() as (left, right):
        left.send(b"ready\n5:hel")
        right.reframe("lines")
        assert right.receive() == "ready"
        right.reframe("netstring")
        left.send(b"lo,")
        assert right.receive() == b"hello"


def test_from_inside_an_iteration():
    async def main():
        async with pair() as (left, right):
            await left.send(b"1\n2\ngo\n5:three,4:four,")
            await left.send_eof()
            right.reframe("lines")
            seen = []
            async for message in right:
                seen.append(message)
                if message == "go":
                    right.reframe("netstring")
            assert seen == ["1", "2", "go", b"three", b"four"]

    asyncio.run(main())


def test_reframe_inside_plain_iteration():
    """From inside an iteration of plain code."""
    with pair() as (left, right):
        left.send(b"1\n2\ngo\n5:three,4:four,")
        left.send_eof()
        right.reframe("lines")
        seen = []
        for message in right:
            seen.append(message)
            if message == "go":
                right.reframe("netstring")
        assert seen == ["1", "2", "go", b"three", b"four"]


def test_reframe_after_eof():
    """The end that came already is met again by the new codec."""
    with pair(framing="lines") as (left, right):
        left.send_many(["one", "two"])
        left.send_eof()
        assert right.receive() == "one"
        with pytest.raises(EndOfStream):
            while True:
                right.receive()
        left.close()
        right.reframe("chunks")
        with pytest.raises(EndOfStream):
            right.receive()


def test_reframe_drops_old_fault():
    """A fault of the old framing is for the new one to judge."""
    with pair(framing="netstring") as (left, right):
        right.send(b"x")
        left.reframe("lines")
        left.send_many(["plain text", "more"])
        with pytest.raises(FramingError):
            right.receive()
        right.reframe("lines")
        assert [right.receive(), right.receive()] == ["plain text", "more"]


def test_sent_before_reframe_unchanged():
    """What was sent before keeps its framing."""
    with pair(framing="lines") as (left, right):
        left.send("as a line")
        left.reframe("netstring")
        left.send(b"as a netstring")
        assert right.receive() == "as a line"
        right.reframe("netstring")
        assert right.receive() == b"as a netstring"


def test_offsets_go_on_counting_the_stream():
    with pair(framing="lines") as (left, right):
        left.send_many(["12345", "not a netstring"])
        right.receive()
        right.reframe("netstring")
        with pytest.raises(FramingError) as caught:
            right.receive()
        assert caught.value.offset == 6


def test_statistics_count_a_message_once():
    with pair(framing="lines") as (left, right):
        left.send_many(["a", "b", "c"])
        right.receive()
        right.reframe("lines")
        assert right.receive_many() == ["b", "c"]
        assert right.statistics().received_count == 3
        assert right.statistics().received_size == 6


def test_reframe_without_take_rest():
    """A codec that cannot hand over says so and goes on."""
    with pair(framing=Reversed) as (left, right):
        left.send(b"abc")
        with pytest.raises(TypeError, match="Reversed has no take_rest"):
            right.reframe("lines")
        assert right.receive() == b"cba"


def test_a_wrong_name_changes_nothing():
    with pair(framing="lines") as (left, right):
        left.send_many(["a", "b"])
        right.receive()
        with pytest.raises(OptionError):
            right.reframe("nonsense")
        assert right.receive() == "b"


def test_custom_codec_serves_and_connects():
    """A framing of ones own serves and connects."""

    async def mirror(connection):
        async for message in connection:
            await connection.send(message)

    with (
        serve(mirror, "tcp://127.0.0.1:0", framing=Reversed, engine="epoll") as server,
        connect(server.addresses[0]) as client,
    ):
        client.send(b"abc")
        assert client.receive() == b"cba"
