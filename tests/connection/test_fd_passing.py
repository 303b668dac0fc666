"""Descriptors travel with the message they were sent with, on every engine; none is leaked, none lost in silence."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from socketkit import connect, listen, pair
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, EndOfStream, OptionError, StreamError
from socketkit.framing import parse
from socketkit.streams.from_socket import stream_from_socket
from support.programs import PATIENCE
from support.running import Running, turns, until
from support.streams import open_descriptors

pytestmark = pytest.mark.skipif(not hasattr(socket, "SCM_RIGHTS"), reason="this system passes no descriptors")

Ends = Callable[[Connection, Connection], Coroutine[Any, Any, None]]


def run(engine: Engine, talk: Ends, *, framing: str = "lines", buffer: int | None = None) -> None:
    """Two ends, closed at the end; nothing may be left open."""

    async def main() -> None:
        await turns(engine)
        before = open_descriptors()
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
            if buffer is not None:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        left, right = (Connection(stream_from_socket(engine, end, Options()), parse(framing)) for end in ends)
        try:
            await talk(left, right)
        finally:
            left.abort()
            right.abort()
        await until(engine, lambda: open_descriptors() <= before)  # a thread that has ended may not have tidied up yet

    engine.run(main())


def pipe_with(data: bytes) -> int:
    """A descriptor that is known by what can be read from it."""
    source, sink = os.pipe()
    os.write(sink, data)
    os.close(sink)
    return source


def taken(descriptors: tuple[int, ...]) -> list[bytes]:
    """What each holds; they are closed."""
    held = []
    for descriptor in descriptors:
        assert not os.get_inheritable(descriptor)
        held.append(os.read(descriptor, 100))
        os.close(descriptor)
    return held


async def send(connection: Connection, message: Any, *contents: bytes) -> None:
    """Send a descriptor for each content, and close our own at once."""
    descriptors = [pipe_with(content) for content in contents]
    await connection.send_descriptors(descriptors, message)
    for descriptor in descriptors:
        os.close(descriptor)


def test_they_come_with_their_message(engine: Engine) -> None:
    async def talk(left: Connection, right: Connection) -> None:
        await left.send("none")
        await send(left, "two", b"1", b"2")
        await left.send("none again")
        await send(left, "one", b"3")
        for message, contents in (("none", []), ("two", [b"1", b"2"]), ("none again", []), ("one", [b"3"])):
            said, descriptors = await right.receive_descriptors(timeout=PATIENCE)
            assert (said, taken(descriptors)) == (message, contents)
        await left.send_eof()
        with pytest.raises(EndOfStream):
            await right.receive_descriptors()

    run(engine, talk)


def test_descriptors_arrive_with_message(engine: Engine) -> None:
    """They come with a message of many portions."""

    async def talk(left: Connection, right: Connection) -> None:
        large = "x" * 300_000

        async def say() -> None:
            await send(left, large, b"1")
            await send(left, large, b"2")
            await left.send("end")
            await left.send_eof()

        saying = Running(engine, say())
        for contents in ([b"1"], [b"2"]):
            said, descriptors = await right.receive_descriptors(timeout=PATIENCE)
            assert said == large
            assert taken(descriptors) == contents
        assert await right.receive_descriptors() == ("end", ())
        assert await saying.outcome() is None

    run(engine, talk, buffer=4096)


@pytest.mark.parametrize(
    ("framing", "small", "marked"), [("lines", "x", "fd"), ("json", 1, 2), ("netstring", b"x", b"fd")]
)
def test_large_read_is_decoded_in_portions(engine: Engine, framing: str, small: Any, marked: Any) -> None:
    """Thousands of messages before the one with descriptors come in the same reads: they keep to their message."""

    async def talk(left: Connection, right: Connection) -> None:
        count = 3000  # more than one turn decodes

        async def say() -> None:
            for content in (b"1", b"2"):
                await left.send_many([small] * count)
                await left.flush()
                await send(left, marked, content)
            await left.send_eof()

        saying = Running(engine, say())
        for content in (b"1", b"2"):
            for _ in range(count):
                assert await right.receive_descriptors(timeout=PATIENCE) == (small, ())
            said, descriptors = await right.receive_descriptors(timeout=PATIENCE)
            assert (said, taken(descriptors)) == (marked, [content])
        with pytest.raises(EndOfStream):
            await right.receive_descriptors(timeout=PATIENCE)
        assert await saying.outcome() is None

    run(engine, talk, framing=framing)


def test_chunks_carry_them_too(engine: Engine) -> None:
    async def talk(left: Connection, right: Connection) -> None:
        await send(left, b"\0", b"1")
        said, descriptors = await right.receive_descriptors()
        assert (said, taken(descriptors)) == (b"\0", [b"1"])

    run(engine, talk, framing="chunks")


def test_those_that_nobody_takes_are_closed(engine: Engine) -> None:
    async def talk(left: Connection, right: Connection) -> None:
        await send(left, "first", b"1")
        said, descriptors = await right.receive_descriptors()
        taken(descriptors)
        await send(left, "second", b"2")
        assert await right.receive() == "second"  # held
        await send(left, "third", b"3")
        said, descriptors = await right.receive_descriptors()
        assert (said, taken(descriptors)) == ("third", [b"3"])  # and the second's is closed
        await send(left, "fourth", b"4")
        assert await right.receive() == "fourth"

    run(engine, talk)


def test_who_receives_otherwise_refuses_them(engine: Engine) -> None:
    async def talk(left: Connection, right: Connection) -> None:
        before = open_descriptors()
        await send(left, "first", b"1")
        assert await right.receive() == "first"
        assert open_descriptors() <= before

    run(engine, talk)


def test_too_many_descriptors_is_loss(engine: Engine) -> None:
    """More than are held are a loss that says so."""

    async def talk(left: Connection, right: Connection) -> None:
        right_passes = Running(engine, right.receive_descriptors())
        await turns(engine)
        await send(left, "first", b"1")
        taken((await right_passes.result())[1])
        source = pipe_with(b"")
        for _ in range(2):
            await left.send_descriptors([source] * 200, "many")
        os.close(source)
        assert await right.receive() == "many"
        with pytest.raises(BrokenError, match=r"because 200 received before were not taken \(EMFILE\)"):
            await right.receive()

    run(engine, talk)


def test_unsendable_descriptors_refused(engine: Engine) -> None:
    """What cannot travel is refused and nothing was sent."""

    async def talk(left: Connection, right: Connection) -> None:
        source = pipe_with(b"")
        for descriptors, problem in (
            ([], "0 descriptors cannot be passed; allowed are 1 to 253"),
            ([source] * 254, "254 descriptors cannot be passed"),
            ([source, 9999], r"cannot be passed: Bad file descriptor"),
        ):
            with pytest.raises(OptionError, match=problem):
                await left.send_descriptors(descriptors, b"message")
        with pytest.raises(OptionError, match="this message has none"):
            await left.send_descriptors([source], b"")
        os.close(source)
        await left.send(b"plain")
        assert await right.receive_descriptors() == (b"plain", ())

    run(engine, talk, framing="chunks")


def test_other_sockets_carry_none() -> None:
    with listen("tcp://127.0.0.1:0") as listener, connect(listener.addresses[0]) as near:
        with pytest.raises(StreamError, match="only UNIX sockets carry them"):
            near.send_descriptors([0], b"x")


def test_plain_code_passes_them_too() -> None:
    with pair(framing="lines") as (left, right):
        source = pipe_with(b"hello")
        left.send_descriptors([source], "take it")
        os.close(source)
        said, descriptors = right.receive_descriptors(timeout=PATIENCE)
        assert (said, taken(descriptors)) == ("take it", [b"hello"])


def test_descriptors_match_stdlib() -> None:
    """They are those of the standard library."""
    with (
        listen(f"@socketkit-test-{os.getpid()}-passing", framing="lines") as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(listener.addresses[0].socket_path)
        with listener.accept(timeout=PATIENCE) as connection:
            source = pipe_with(b"theirs")
            socket.send_fds(client, [b"one\n"], [source])
            os.close(source)
            said, descriptors = connection.receive_descriptors(timeout=PATIENCE)
            assert (said, taken(descriptors)) == ("one", [b"theirs"])
            source = pipe_with(b"ours")
            connection.send_descriptors([source], "two")
            os.close(source)
            data, numbers, _, _ = socket.recv_fds(client, 100, 10)
            for number in numbers:
                os.set_inheritable(number, False)
            assert (data, taken(tuple(numbers))) == (b"two\n", [b"ours"])
