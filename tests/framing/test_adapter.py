"""A codec of the user's own: what it lacks is replaced, and what it returns is held to the contract."""

from __future__ import annotations

import pytest

from socketkit import framing, pair, serve
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, EndOfStream, FramingError
from socketkit.framing.adapter import CodecAdapter, adapt
from support.given_codec import GivenCodec


class Plain:
    """Bytes as they come, with the three methods alone."""

    def encode(self, messages):
        return b"".join(messages)

    def feed(self, data):
        return [bytes(data)] if data else []

    def feed_eof(self):
        return []


def test_own_codecs_are_not_wrapped_twice() -> None:
    for name in framing.FRAMINGS:
        text = {"delimited": "delimited:;", "fixed": "fixed:3", "length": "length:2"}.get(name, name)
        codec = framing.parse(text).codec()
        assert adapt(codec) is codec
    adapted = adapt(Plain())
    assert adapt(adapted) is adapted


def test_missing_members_are_replaced() -> None:
    codec = adapt(Plain())
    assert (codec.offset, codec.fault, codec.buffered, codec.take_faults(), codec.feed_whole) == (0, None, 0, [], None)
    codec.offset = 7
    assert codec.encode_one(b"ab") == b"ab"
    with pytest.raises(TypeError, match="Plain has no take_rest"):
        codec.take_rest()


def test_present_members_are_used() -> None:
    class Rich(Plain):
        offset = 3
        buffered = 2
        fault = FramingError("seen")

        def encode_one(self, message):
            return b"one"

        def take_faults(self):
            return ["skipped"]

        def take_rest(self, unread=0):
            return bytearray(b"rest")

        def feed_whole(self, data):
            return ["whole"]

    codec = adapt(Rich())
    assert (codec.offset, codec.buffered, str(codec.fault)) == (3, 2, "seen")
    assert codec.encode_one(b"") == b"one"
    assert codec.take_faults() == ["skipped"]
    assert codec.take_rest() == b"rest"
    assert codec.feed_whole is not None
    assert codec.feed_whole(b"") == ["whole"]
    codec.offset = 9
    assert codec.offset == 9


@pytest.mark.parametrize("made", [bytearray(b"ab"), memoryview(b"ab"), b"ab"])
def test_bytes_like_results_are_bytes(made: object) -> None:
    class Own(Plain):
        def encode(self, messages):
            return made

    assert adapt(Own()).encode([]) == b"ab"
    assert type(adapt(Own()).encode([])) is bytes


@pytest.mark.parametrize("method", ["encode", "encode_one", "feed", "feed_eof", "take_rest"])
@pytest.mark.parametrize("made", ["text", None, 7])
def test_wrong_result_names_the_method(method: str, made: object) -> None:
    codec = adapt(type("Own", (Plain,), {method: lambda self, *arguments: made})())
    argument = {"encode": ([],), "encode_one": (b"",), "feed": (b"",), "take_rest": (0,)}.get(method, ())
    with pytest.raises(TypeError, match=rf"^Own\.{method} returned {type(made).__name__}, not "):
        getattr(codec, method)(*argument)


def test_error_behind_messages_is_found() -> None:
    class Late(Plain):
        def feed(self, data):
            if data:
                return [data]
            raise FramingError("behind")

    session = Session(GivenCodec(Late()))
    session.feed(b"good")
    assert session.end() is None
    assert session.waiting.pop() == b"good"
    assert str(session.end()) == "behind"


def test_messages_from_nothing_are_an_error() -> None:
    """A codec that makes messages of no bytes would keep a receiver from every wait."""

    class Endless(Plain):
        def feed(self, data):
            return [data]

    session = Session(GivenCodec(Endless()))
    session.feed(b"x")
    session.waiting.clear()
    with pytest.raises(TypeError, match=r"^Endless\.feed\(b''\) returned 1 messages"):
        session.end()


@pytest.mark.parametrize("engine", ["epoll", "asyncio", "uvloop", "trio"])
def test_bad_codec_ends_its_connection_only(engine: str) -> None:
    """`encode` that returns text is the handler's error, and the other connections go on."""
    from socketkit import connect

    class Own(Plain):
        def encode(self, messages):
            joined = b"".join(messages)
            return joined.decode() if joined == b"bad" else joined

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    failures = []

    def observe(event):
        if type(event).__name__ == "HandlerFailed":
            failures.append(event.error)

    if engine in ("uvloop", "trio"):
        pytest.importorskip(engine)
    with serve(echo, "tcp://127.0.0.1:0", framing=Own, engine=engine, observer=observe) as server:
        (address,) = server.addresses
        with connect(address) as bystander, connect(address) as breaker:
            bystander.send(b"one")
            assert bystander.receive(timeout=20) == b"one"
            breaker.send(b"bad")
            with pytest.raises((EndOfStream, BrokenError)):
                breaker.receive(timeout=20)
            bystander.send(b"two")
            assert bystander.receive(timeout=20) == b"two"
            with connect(address) as late:
                late.send(b"three")
                assert late.receive(timeout=20) == b"three"
    assert [str(failure) for failure in failures] == ["Own.encode returned str, not bytes"]


def test_adapter_over_a_pair() -> None:
    with pair(framing=Plain) as (near, far):
        near.send(b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += far.receive()
        assert got == b"x" * 100_000
    assert isinstance(adapt(Plain()), CodecAdapter)
