"""Receiving that is cancelled at any await loses nothing, on every engine and both cores."""

from __future__ import annotations

import random

import pytest

from support.connections import talk
from support.running import Running, turns

COUNT = 400


@pytest.fixture
def run(engine):
    return lambda main: engine.run(main(engine))


@pytest.mark.parametrize("framing", ["lines", "length:2", "netstring", "chunks"])
@pytest.mark.parametrize("verb", ["receive", "receive_many", "iterate"])
def test_cancel_at_every_await(run, framing, verb):
    """Numbered messages come in random pieces while their receiver is cancelled at random moments."""
    dice = random.Random(f"{framing} {verb}")

    async def main(engine):
        if engine.blocks:
            pytest.skip("where the engine blocks, a wait is not cancelled")
        with talk(engine, framing) as (connection, far):
            codec = connection.internals.framing.codec()
            is_text = framing == "lines"
            messages = [str(number) if is_text else b"%d;" % number for number in range(COUNT)]
            unsent = codec.encode(messages)
            received = []
            size = sum(map(len, messages))

            async def receive():
                while True:
                    if verb == "receive":
                        received.append(await connection.receive())
                    elif verb == "receive_many":
                        received.extend(await connection.receive_many())
                    else:
                        received.append(await anext(connection))

            while sum(map(len, received)) < size:
                receiving = Running(engine, receive())
                for _ in range(dice.randrange(3)):
                    piece, unsent = unsent[: (cut := dice.randrange(40))], unsent[cut:]
                    far.sendall(piece)
                    await turns(engine, dice.randrange(3))
                receiving.cancel()
                assert isinstance(await receiving.outcome(), engine.cancelled)
                await turns(engine, 1)
            joined = b"".join(received) if framing == "chunks" else received
            assert joined == (b"".join(messages) if framing == "chunks" else messages)

    run(main)
