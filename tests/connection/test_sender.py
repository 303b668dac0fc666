"""What a turn gathers leaves with one call; what the system does not take follows in order, and senders feel it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from socketkit import engines, framing
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, ClosedError, DeadlineError
from socketkit.events import Sent
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.connections import talk
from support.engines import READINESS
from support.recorder import Recorder
from support.running import Running, turns


class Sending:
    """The sending side of one end of a pair in memory that holds 10 bytes; the mark is at 40."""

    def __init__(self, *, high_water: int = 40) -> None:
        self.engine, self.clock = virtual_engine()
        self.near, self.far = memory_pair(self.engine, size=10)
        self.session = Session(framing.parse("chunks"))
        self.recorder = Recorder()
        self.outgoing = Sender(self.session, self.near, high_water=high_water, number=7, observer=self.recorder)

    def queue(self, data: bytes) -> None:
        self.session.queue((data,), 1)

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self.far.receive()
        return data


@pytest.fixture
def sending() -> Sending:
    return Sending()


def test_a_batch_leaves_with_one_call(sending):
    async def main():
        for piece in (b"ab", b"cd", b"ef"):
            sending.queue(piece)
        assert not sending.outgoing.is_empty
        sending.outgoing.flush()
        assert sending.outgoing.is_empty
        assert sending.recorder.events == [Sent(7, b"abcdef")]
        sending.outgoing.flush()
        assert len(sending.recorder.events) == 1

    sending.engine.run(main())


def test_partial_write_keeps_order(sending):
    """What is not taken at once follows in order with what came meanwhile."""

    async def main():
        sending.queue(b"0123456789ABC")
        sending.outgoing.flush()
        assert (sending.session.sent_size, sending.session.outgoing_size) == (10, 3)
        sending.queue(b"DEF")
        sending.outgoing.flush()
        assert not sending.outgoing.is_empty
        assert await sending.read(16) == b"0123456789ABCDEF"
        await sending.outgoing.wait_empty()
        assert sending.outgoing.is_empty
        assert b"".join(event.data for event in sending.recorder.of(Sent)) == b"0123456789ABCDEF"

    sending.engine.run(main())


def test_sender_resumes_at_quarter_mark(sending):
    """A sender goes on when a quarter of the mark is left."""

    async def main():
        sending.queue(bytes(60))
        room = Running(sending.engine, sending.outgoing.drain())
        for _ in range(3):
            assert not room.has_ended
            assert sending.session.outgoing_size > 10
            await sending.read(10)
            await turns(sending.engine)
        await sending.read(10)
        assert await room.outcome() is None
        assert sending.session.outgoing_size <= 10

    sending.engine.run(main())


def test_waiting_senders_are_served_in_turn(sending):
    """Every sender that waits gets its turn though others fill the space first."""

    async def main():
        async def sender(letter: bytes) -> None:
            for _ in range(20):
                sending.queue(letter * 45)
                await sending.outgoing.drain()

        senders = [Running(sending.engine, sender(letter)) for letter in (b"a", b"b", b"c", b"d")]
        data = await sending.read(4 * 20 * 45)
        for each in senders:
            assert await each.outcome() is None
        assert all(len(set(data[start : start + 45])) == 1 for start in range(0, len(data), 45))

    sending.engine.run(main())


def test_busy_sender_yields():
    """A sender whose batches always leave at once lets the others have their turn."""
    sending = Sending(high_water=1)
    others = 0

    async def main():
        async def count() -> None:
            nonlocal others
            while True:
                others += 1
                await sending.engine.sleep(0)

        counting = Running(sending.engine, count())
        for _ in range(64):
            sending.queue(b"")
            sending.clock.moment += 0.0005  # the work of a sender
            await sending.outgoing.drain()
        counting.cancel()
        await counting.outcome()

    sending.engine.run(main())
    assert others >= 4


def test_wait_empty_has_deadline(sending):
    """Waiting until it is empty has an end."""

    async def main():
        sending.queue(bytes(30))
        with pytest.raises(DeadlineError):
            await sending.outgoing.wait_empty(deadline=sending.engine.now() + 3)
        assert sending.clock.moment == pytest.approx(3)
        assert await sending.read(30) == bytes(30)
        await sending.outgoing.wait_empty()

    sending.engine.run(main())


def test_loss_kept_for_next_sender(sending):
    """A loss is kept for the next sender and nothing more is taken."""

    async def main():
        sending.queue(bytes(30))
        room = Running(sending.engine, sending.outgoing.wait_empty())
        await turns(sending.engine)
        sending.far.abort()
        assert await room.outcome() is None
        assert isinstance(sending.outgoing.error, BrokenError)
        with pytest.raises(BrokenError):
            sending.outgoing.check()
        with pytest.raises(BrokenError):
            sending.queue(b"more")
        sending.outgoing.flush()
        assert sending.session.outgoing == []

    sending.engine.run(main())


def test_abort_wakes_waiting_senders(sending):
    """Giving up wakes whatever waits with the reason."""

    async def main():
        sending.queue(bytes(60))
        room = Running(sending.engine, sending.outgoing.drain())
        await turns(sending.engine)
        sending.outgoing.cut(ClosedError("enough"))
        error = await room.outcome()
        assert isinstance(error, ClosedError)
        assert str(error) == "enough"
        sending.near.abort()

    sending.engine.run(main())


@pytest.mark.parametrize("name", READINESS)
def test_interrupt_keeps_the_other_batches(name):
    """^C while the batches of a turn leave: those that are behind it leave as the engine ends."""
    engine = engines.make(name)

    def strike(event):
        if isinstance(event, Sent):
            raise KeyboardInterrupt

    async def main(connections):
        for connection in connections:
            connection.send("hello")
        await engine.sleep(60)

    with ExitStack() as stack:
        observers = [None, strike, None, None]
        both = [stack.enter_context(talk(engine, observer=observer)) for observer in observers]
        with pytest.raises(KeyboardInterrupt):
            engine.run(main([connection for connection, _ in both]))
        assert [far.recv(100) for _, far in both] == [b"hello\n"] * 4
