"""One connection's flood of tiny messages leaves the others their turns, and is decoded in portions."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from framing.subjects import SUBJECTS
from socketkit import framing, pair
from socketkit.connection.connection import Connection
from socketkit.connection.session import LARGE_FEED, TURN_MESSAGES, Session
from socketkit.errors import EndOfStream, FramingError
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.given_codec import GivenCodec
from support.running import Running

SHORTEST = {
    "lines": b"\n",
    "delimited:\\0": b"\0",
    "fixed:1": b"x",
    "length:1": b"\0",
    "length:4": bytes(4),
    "varint": b"\0",
    "netstring": b"0:,",
    "octets": b"1 x",
    "cobs": b"\1\0",
    "slip": b"x\xc0",
    "json": b"1\n",
    "json-stream": b"1 ",
    "msgpack": b"\1",
}
"""The shortest frame of each framing."""

SIZE = 256 * 1024
"""Bytes that one system call brings at most."""


def session_of(name: str) -> Session:
    return Session(framing.parse(name))


def receive_all(session: Session) -> list[object]:
    """Every message of a session, taken as a receiver does; the end as the last one, if there is one."""
    messages: list[object] = []
    while True:
        end = session.end()
        if not session.waiting:
            return messages if end is None else [*messages, end]
        assert len(session.waiting) <= TURN_MESSAGES
        messages += session.take_all()


@pytest.mark.parametrize("name", SHORTEST)
def test_flood_is_decoded_in_portions(name: str) -> None:
    """Of a batch of the shortest frames, a turn's messages are decoded at a time, once their size is known."""
    codec = framing.parse(name).codec()
    data = SHORTEST[name] * (SIZE // len(SHORTEST[name]))
    session = session_of(name)
    session.feed(data)
    assert len(session.waiting) <= TURN_MESSAGES
    assert session.received_count <= codec.portion
    received: list[object] = []
    steps = []
    while session.waiting:
        before = session.received_count
        received += session.take_all()
        session.end()
        steps.append(session.received_count - before)
    assert max(steps[len(steps) // 4 :]) <= 2 * TURN_MESSAGES
    assert received == codec.feed(data)
    assert session.received_size == len(data)


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.payload], ids=lambda subject: subject.text)
def test_portions_give_the_same_messages(subject) -> None:
    """However large what is fed, the messages, the fault and the counts are those of the codec alone."""
    messages = [message for size in (1, 300, 9000, 1, 20_000, 3) if (message := subject.payload(size)) is not None]
    made = subject.framing(max_size=1024 * 1024)
    try:
        data = made.codec().encode(messages * 20)
    except FramingError:  # a number of one byte says no more
        messages = [message for size in (1, 30, 3) if (message := subject.payload(size)) is not None]
        data = made.codec().encode(messages * 400)
    session = Session(made)
    got = []
    for start in range(0, len(data), SIZE):
        session.feed(data[start : start + SIZE])
        got += receive_all(session)
    assert got == made.codec().feed(data)
    assert session.received_count == len(got)
    assert session.is_between_messages


def test_fault_behind_portions_is_met_last() -> None:
    """An error in the last portion is raised after all messages before it, with its own offset."""
    session = session_of("netstring")
    session.feed(b"1:x," * 20_000 + b"garbage" + bytes(9000))
    *messages, error = receive_all(session)
    assert messages == [b"x"] * 20_000
    assert isinstance(error, FramingError)
    assert error.offset == 80_000


def test_end_behind_portions_is_met_last() -> None:
    session = session_of("lines")
    session.feed(b"x\n" * 20_000 + b"last")
    got = receive_all(session)
    session.feed_eof(EndOfStream("over"))
    *rest, end = receive_all(session)
    assert got + rest == ["x"] * 20_000 + ["last"]
    assert isinstance(end, EndOfStream)


@pytest.mark.parametrize("taken", [0, 1, TURN_MESSAGES, TURN_MESSAGES + 1, 5000])
def test_reframe_amid_portions(taken: int) -> None:
    """Another codec reads on behind the last message that was received, though most was not decoded yet."""
    session = session_of("lines")
    session.feed(b"line\n" * 20_000)
    for _ in range(taken):
        if not session.waiting:
            session.end()
        assert session.waiting.pop() == "line"
    session.reframe(framing.parse("fixed:5"))
    assert receive_all(session) == [b"line\n"] * (20_000 - taken)
    assert session.received_size == 100_000


def test_skipped_frames_of_portions_are_reported() -> None:
    """Each over-long frame is reported once, also where a portion holds nothing else."""
    session = session_of("lines:max_size=3,oversize=skip")
    session.feed(b"long one\n" * 9000 + b"end\n")
    faults = session.take_faults()
    assert receive_all(session) == ["end"]
    assert len(faults + session.take_faults()) == 9000


@pytest.mark.parametrize("name", ["lines", "netstring", "length:4", "json-stream", "cobs", "chunks"])
def test_received_message_is_not_held(name: str) -> None:
    """Before a wait a codec lets go of the bytes of messages that were received."""
    subject = next(one for one in SUBJECTS if one.text == name) if name != "chunks" else None
    message = b"x" * 500_000 if subject is None else subject.payload(500_000)
    codec = framing.parse(name).codec()
    session = Session(GivenCodec(codec))
    session.feed(codec.encode([message]))
    assert receive_all(session) == [message]
    held = [getattr(codec, slot, b"") for kind in type(codec).__mro__ for slot in getattr(kind, "__slots__", ())]
    assert sum(len(value) for value in held if isinstance(value, (bytes, bytearray))) < LARGE_FEED
    assert codec.take_rest() == b""


@pytest.mark.parametrize("name", ["lines", "msgpack", "netstring"])
def test_receiver_yields_between_portions(name: str) -> None:
    """A handler of a flood is interrupted at least every `TURN_MESSAGES` messages, where each takes 10 us."""
    engine, clock = virtual_engine()
    runs: list[int] = []

    async def main() -> None:
        near, far = memory_pair(engine, size=SIZE)
        connection = Connection(near, framing.parse(name))
        received = 0

        async def others() -> None:
            seen = 0
            while True:
                runs.append(received - seen)
                seen = received
                await engine.sleep(0)

        counting = Running(engine, others())
        count = SIZE // len(SHORTEST[name])
        assert far.send_now(SHORTEST[name] * count)
        while received < count:
            await connection.receive()
            received += 1
            clock.moment += 0.00001
        counting.cancel()
        await counting.outcome()
        connection.abort()
        far.abort()

    engine.run(main())
    assert max(runs) <= TURN_MESSAGES


def test_sender_of_tiny_messages_yields() -> None:
    """A handler that sends tiny messages without end lets the others run, long before 16 KiB have gathered."""
    engine, clock = virtual_engine()
    turns: list[int] = []

    async def main() -> None:
        near, far = memory_pair(engine, size=SIZE)
        connection = Connection(near, framing.parse("chunks"))
        sent = 0

        async def others() -> None:
            while True:
                turns.append(sent)
                await far.receive()

        counting = Running(engine, others())
        for sent in range(5000):  # noqa: B007
            await connection.send(b"x")
            clock.moment += 0.00001
        counting.cancel()
        await counting.outcome()
        connection.abort()
        far.abort()

    engine.run(main())
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * TURN_MESSAGES
    assert len(turns) >= 4


def test_cancelled_scope_stops_buffered_receives() -> None:
    """A scope of trio that is over ends a loop of receives, though every message is there already."""
    trio = pytest.importorskip("trio")

    async def main() -> int:
        received = 0
        async with pair(framing="lines") as (near, far):
            await near.send_many(["x"] * 20_000)
            await far.receive()
            with trio.move_on_after(0):
                while received < 19_000:
                    await far.receive()
                    received += 1
            rest = [await far.receive() for _ in range(19_999 - received)]
            assert rest == ["x"] * len(rest)
        return received

    assert trio.run(main) < 19_000


def test_busy_connection_leaves_tasks_their_turns() -> None:
    """Under asyncio another task runs while 20000 buffered messages are received."""

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        async with pair(framing="netstring") as (near, far):
            await near.send_many([b""] * 50_000)
            task = asyncio.create_task(tick())
            await asyncio.sleep(0)
            before = ticks
            for _ in range(50_000):
                await far.receive()
            task.cancel()
        return ticks - before

    assert asyncio.run(main()) >= 4
