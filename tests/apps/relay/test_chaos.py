"""Whatever two ends do to each other through a relay, seeded and compared byte by byte at both.

Each end says so much in pieces of any size, at any pace, and then ends its direction, or throws everything away; it
hears as fast as it likes, or slowly. What arrives is always the beginning of what was said, all of it where nobody
threw anything away; and each end learns how the other ended.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from socketkit import Address, Connection, connect, serve
from socketkit.apps.relay.service import Relay
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, ClosedError, EndOfStream, SocketkitError
from support.streams import open_descriptors

DATA = random.Random(7).randbytes(3_000_000)


class Part:
    """What one end does, and what it met."""

    def __init__(self, dice: random.Random, *, may_reset: bool) -> None:
        self.size = dice.choice([0, 1, dice.randrange(2_000), dice.randrange(300_000), dice.randrange(len(DATA))])
        self.resets = may_reset and dice.random() < 0.5
        self.pace = dice.choice([0.0, 0.0, 0.002])
        self.is_slow_to_hear = dice.random() < 0.3
        self.dice = random.Random(dice.random())
        self.has_met = False  # the other may be gone before anybody is put through
        self.heard = bytearray()
        self.end: BaseException | None = None
        self.failure: BaseException | None = None  # of saying it

    async def play(self, connection: Connection) -> None:
        self.has_met = True
        async with Group(connection.engine) as group:
            group.start(self._hear(connection))
            await self._say(connection)

    async def _say(self, connection: Connection) -> None:
        place = 0
        try:
            while place < self.size:
                step = min(self.dice.choice([1, 100, 10_000, 200_000]), self.size - place)
                step = max(step, (self.size - place) // 30)
                await connection.send(DATA[place : place + step])
                place += step
                if self.pace:
                    await connection.engine.sleep(self.pace)
            if self.resets:
                connection.abort()
            else:
                await connection.flush()
                await connection.send_eof()
        except (BrokenError, ClosedError) as error:
            self.failure = error

    async def _hear(self, connection: Connection) -> None:
        try:
            while True:
                self.heard += await connection.receive()
                if self.is_slow_to_hear:
                    await connection.engine.sleep(0.001)
        except SocketkitError as error:
            self.end = error


async def meet(engine: Engine, scheme: str, folder: str, near: Part, far: Part) -> None:
    places = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix://{folder}/"}
    left, right = scheme.split("-")

    def place(kind: str, name: str) -> str:
        return places[kind] + (name if kind == "unix" else "")

    async with serve(far.play, place(right, "out"), engine=engine, grace=0.5) as target:
        relay = Relay(engine, [Address.parse(target.addresses[0])])
        async with serve(relay.serve_client, place(left, "in"), engine=engine, grace=0.5) as server:
            async with connect(server.addresses[0], engine=engine) as client:
                await near.play(client)
            await server.wait_idle(timeout=30)
            await target.wait_idle(timeout=30)


def check(near: Part, far: Part) -> None:
    for hears, says in ((near, far), (far, near)):
        assert DATA.startswith(hears.heard) and len(hears.heard) <= says.size
    if not near.resets and not far.resets:
        for hears, says in ((near, far), (far, near)):
            assert hears.failure is None
            assert isinstance(hears.end, EndOfStream), hears.end
            assert len(hears.heard) == says.size


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scheme", ["tcp-tcp", "unix-unix", "tcp-unix"])
def test_no_loss_when_both_ends_close(engine: Engine, scheme: str, seed: int, tmp_path: Any) -> None:
    """Nothing is lost when both end properly."""
    dice = random.Random(f"{scheme}{seed}")
    near, far = Part(dice, may_reset=False), Part(dice, may_reset=False)
    engine.run(meet(engine, scheme, str(tmp_path), near, far))
    check(near, far)


@pytest.mark.parametrize("seed", range(12))
def test_who_is_thrown_away_learns_of_it(engine: Engine, seed: int, tmp_path: Any) -> None:
    dice = random.Random(1000 + seed)
    near, far = Part(dice, may_reset=True), Part(dice, may_reset=True)
    before = open_descriptors()
    engine.run(meet(engine, "tcp-tcp", str(tmp_path), near, far))
    check(near, far)
    for hears, says in ((near, far), (far, near)):
        if says.resets and not hears.resets and says.failure is None and hears.has_met:
            assert any(isinstance(error, BrokenError) for error in (hears.end, hears.failure)), (hears.end, seed)
    if not engine.blocks:
        assert open_descriptors() <= before
