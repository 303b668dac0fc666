"""Wait until something is so: written once, on every engine."""

from __future__ import annotations

import pytest

from contracts.engine_waits import FAR
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError


def test_true_condition_does_not_wait(engine: Engine) -> None:
    """What is so already is not waited for."""

    async def main() -> None:
        condition = Condition(engine)
        await condition.wait_until(lambda: True, deadline=engine.now() - 1)
        condition.notify()

    engine.run(main())


def test_waiters_have_own_predicates(engine: Engine) -> None:
    """And hears of every change: a producer and many consumers, none is left waiting."""
    count = 0
    done: list[int] = []

    async def wait(condition: Condition, number: int) -> None:
        await condition.wait_until(lambda: count >= number, deadline=engine.now() + FAR)
        done.append(number)

    async def main() -> None:
        nonlocal count
        condition = Condition(engine)
        async with Group(engine) as group:
            for number in range(20):
                group.start(wait(condition, number))
            while count < 20:
                count += 1
                condition.notify()
                await engine.sleep(0)

    engine.run(main())
    assert sorted(done) == list(range(20))


def test_condition_deadline_leaves_nothing(engine: Engine) -> None:
    """A deadline ends the wait and leaves nothing."""

    async def main() -> None:
        condition = Condition(engine)
        for _ in range(3):
            with pytest.raises(DeadlineError):
                await condition.wait_until(lambda: False, deadline=engine.now())
        assert not condition.waiting

    engine.run(main())


def test_alternating_waiters_miss_nothing(engine: Engine) -> None:
    """Threads too, where the engine blocks."""
    turns: list[int] = []

    async def play(condition: Condition, mine: int) -> None:
        for _ in range(100):
            await condition.wait_until(lambda: len(turns) % 3 == mine, deadline=engine.now() + FAR)
            turns.append(mine)
            condition.notify()

    async def main() -> None:
        condition = Condition(engine)
        async with Group(engine) as group:
            for mine in range(3):
                group.start(play(condition, mine))

    engine.run(main())
    assert turns == [0, 1, 2] * 100
