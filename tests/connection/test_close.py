"""What is unsent goes first, then the end, within a time that a virtual clock counts."""

from __future__ import annotations

import pytest

from socketkit import framing
from socketkit.connection.close import close_gracefully
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream, closed_error
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.running import Running, turns


class Talk:
    """One end of a pair in memory that holds 10 bytes, and its session."""

    def __init__(self) -> None:
        self.engine, self.clock = virtual_engine()
        self.near, self.far = memory_pair(self.engine, size=10)
        self.session = Session(framing.parse("chunks"))
        self.outgoing = Sender(self.session, self.near, high_water=64, number=1, observer=None)

    def goodbye(self, timeout: float = 5.0):
        return close_gracefully(self.session, self.outgoing, self.near, peer=self.near.peer, timeout=timeout)


def test_unsent_data_then_eof() -> None:
    """What is unsent goes first then the end."""
    talk = Talk()

    async def main():
        talk.session.queue((b"0123456789" * 3,), 1)
        goodbye = Running(talk.engine, talk.goodbye())
        heard = b""
        with pytest.raises(EndOfStream):
            while True:
                heard += await talk.far.receive()
        assert heard == b"0123456789" * 3
        assert await goodbye.outcome() is None
        with pytest.raises(ClosedError):
            talk.near.send_now(b"x")

    talk.engine.run(main())


def test_stalled_peer_reset_after_timeout() -> None:
    """A peer that takes nothing has so many seconds and is then reset."""
    talk = Talk()

    async def main():
        talk.session.queue((b"0123456789" * 3,), 1)
        with pytest.raises(DeadlineError, match=r"20 bytes were left unsent, because it did not take them within 5 s"):
            await talk.goodbye()
        assert talk.clock.moment == pytest.approx(5)
        with pytest.raises(BrokenError):
            while True:
                await talk.far.receive()

    talk.engine.run(main())


def test_no_message_is_taken_from_then_on() -> None:
    talk = Talk()

    async def main():
        talk.session.queue((b"0123456789" * 3,), 1)
        goodbye = Running(talk.engine, talk.goodbye(1))
        await turns(talk.engine)
        with pytest.raises(ClosedError, match="was closed at this end"):
            talk.session.queue((b"more",), 1)
        assert isinstance(await goodbye.outcome(), DeadlineError)

    talk.engine.run(main())


def test_unreported_loss_is_raised() -> None:
    """A loss that no one was reported of is reported."""
    talk = Talk()

    async def main():
        talk.session.queue((b"lost",), 1)
        talk.far.abort()
        with pytest.raises(BrokenError):
            await talk.goodbye()

    talk.engine.run(main())


def test_reported_loss_not_raised_again() -> None:
    """A loss that was reported is not reported again."""
    talk = Talk()

    async def main():
        talk.far.abort()
        talk.session.queue((b"lost",), 1)
        talk.outgoing.flush()
        with pytest.raises(BrokenError):
            talk.session.queue((b"more",), 1)
        await talk.goodbye()

    talk.engine.run(main())


def test_cancelled_it_resets_and_goes() -> None:
    talk = Talk()

    async def main():
        talk.session.queue((b"0123456789" * 3,), 1)
        goodbye = Running(talk.engine, talk.goodbye(1000))
        await turns(talk.engine)
        goodbye.cancel()
        assert isinstance(await goodbye.outcome(), talk.engine.cancelled)
        with pytest.raises(BrokenError):
            while True:
                await talk.far.receive()

    talk.engine.run(main())


def test_use_after_close_names_the_closer() -> None:
    """Who uses it afterwards is reported who closed it."""
    talk = Talk()
    error = closed_error(talk.near.peer)
    assert str(error) == f"the connection with {talk.near.peer} was closed at this end"
