"""The echo: as many messages at a time as came at a time; for all, or for one caller only."""

from __future__ import annotations

import os
import signal

import pytest

from socketkit import Address, connect
from socketkit.apps.echo import serve_echo
from socketkit.errors import AddressError, BrokenError, ConnectError, FramingError, OptionError
from socketkit.events import Received, Sent
from support.recorder import Recorder
from support.running import Running

ANY = "tcp://127.0.0.1:0"


class Served:
    """An echo that runs beside the test; its addresses when it listens."""

    def __init__(self, engine, *places: str, **options) -> None:
        self._listening = engine.event()
        self._engine = engine
        self.addresses: tuple[Address, ...] = ()
        self.running = Running(engine, serve_echo(engine, *(places or (ANY,)), listening=self._heard, **options))

    def _heard(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = addresses
        self._listening.set()

    async def address(self) -> Address:
        await self._listening.wait(deadline=self._engine.now() + 20)
        return self.addresses[0]


def test_echo_batch_in_batch_out(engine):
    """What came in one batch goes back in one."""
    recorder = Recorder()

    async def main():
        served = Served(engine, framing="lines", once=True, observer=recorder)
        async with connect(await served.address(), framing="lines", engine=engine) as client:
            lines = [str(number) for number in range(1000)]
            await client.send_many(lines)
            await client.send_eof()
            seen = [message async for message in client]
            assert seen == lines
        assert await served.running.outcome() is None

    engine.run(main())
    assert len(recorder.of(Sent)) <= len(recorder.of(Received)) + 1


def test_once_serves_only_the_first(engine):
    """Once is for the first alone and ends with it."""

    async def main():
        served = Served(engine, once=True)
        async with connect(await served.address(), engine=engine) as client:
            await client.send(b"hello")
            assert await client.receive() == b"hello"
            with pytest.raises(ConnectError):
                await connect(served.addresses[0], engine=engine)
        assert await served.running.outcome() is None

    engine.run(main())


def test_once_raises_connection_loss(engine):
    """Once raises how its conversation was lost."""

    async def main():
        served = Served(engine, once=True)
        async with connect(await served.address(), engine=engine) as client:
            await client.send(b"hello")
            assert await client.receive() == b"hello"
            client.abort()
        assert isinstance(await served.running.outcome(), BrokenError)
        served = Served(engine, once=True, framing="netstring")
        async with connect(await served.address(), engine=engine) as client:
            await client.send(b"nonsense")
            await client.flush()
            assert isinstance(await served.running.outcome(), FramingError)

    engine.run(main())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_signal_ends_it(engine, number):
    async def main():
        served = Running(engine, serve_echo(engine, ANY, listening=lambda addresses: os.kill(os.getpid(), number)))
        assert await served.outcome() is None

    if engine.blocks:
        engine.run(serve_echo(engine, ANY, listening=lambda addresses: os.kill(os.getpid(), number)))
    else:
        engine.run(main())


@pytest.mark.parametrize(
    ("place", "options", "error"),
    [("tcp://nowhere", {}, AddressError), (ANY, {"framing": "morse"}, OptionError), (ANY, {"grace": "x"}, OptionError)],
)
def test_bad_address_before_opening(engine, place, options, error):
    """A mistake is reported before anything is opened."""
    opened = []

    async def main():
        with pytest.raises(error):
            await serve_echo(engine, place, listening=opened.append, **options)

    engine.run(main())
    assert opened == []
