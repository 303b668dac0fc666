"""Of a crowd that is ready at one moment some join in each turn, in their order."""

from __future__ import annotations

import itertools

from socketkit.apps.chat.join_turns import TURN_JOINS, JoinTurns
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group


def test_a_crowd_joins_bit_by_bit(engine: Engine) -> None:
    if engine.blocks:
        return  # a chat needs an engine that does not block
    count = 10 * TURN_JOINS + 3

    async def run() -> None:
        turns, joined, ends = JoinTurns(engine), list[int](), [0]

        async def join(number: int) -> None:
            await turns.wait()
            joined.append(number)

        async with Group(engine) as group:
            for number in range(count):
                group.start(join(number))
            while len(joined) < count:
                await engine.sleep(0)
                ends.append(len(joined))
        assert sorted(joined) == list(range(count))
        if engine.name != "trio":  # which runs the tasks of a turn in an order of its own
            assert joined == sorted(joined)
        # This task may be run twice while another one is run once.
        assert max(after - before for before, after in itertools.pairwise(ends)) <= 2 * TURN_JOINS
        for _ in range(3):
            await engine.sleep(0)
        async with Group(engine) as group:  # all is quiet again: a whole portion joins at once
            for number in range(TURN_JOINS):
                group.start(join(number))
            await engine.sleep(0)
            await engine.sleep(0)
            assert len(joined) == count + TURN_JOINS

    engine.run(run())
