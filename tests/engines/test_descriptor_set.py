"""The first of several descriptors ends the wait, on every engine, also where the system has no set to be polled."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from socketkit.engines.descriptor_set import NESTED, DescriptorSet
from socketkit.engines.engine import READ, WRITE, Engine
from socketkit.engines.pollers import POLLERS
from socketkit.errors import DeadlineError
from support.running import FAR, Running, turns
from support.streams import open_descriptors

Pairs = list[tuple[socket.socket, socket.socket]]


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    """Three connected pairs."""
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(3)]
        for pair in made:
            for end in pair:
                stack.enter_context(end)
                end.setblocking(False)
        yield made


@pytest.fixture(params=[None, "select"], ids=["nested", "looking"])
def kind(request: pytest.FixtureRequest) -> str | None:
    """The best of this system, and what is done where there is nothing better."""
    kind: str | None = request.param
    return kind


def several(engine: Engine, pairs: Pairs, kind: str | None = None) -> DescriptorSet:
    made = DescriptorSet(engine, READ, kind=kind)
    for near, _ in pairs:
        made.add(near.fileno())
    return made


def test_descriptor_set_exists_here() -> None:
    """This system has a set that can be polled."""
    assert [name for name in NESTED if name in POLLERS]


def test_the_one_with_news_is_told(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> list[int]:
        with several(engine, pairs, kind) as waiting:
            pairs[1][1].send(b"data")
            return await waiting.wait()

    assert engine.run(main()) == [pairs[1][0].fileno()]


def test_all_with_news_are_told(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> list[int]:
        with several(engine, pairs, kind) as waiting:
            pairs[0][1].send(b"data")
            pairs[2][1].close()
            return await waiting.wait()

    assert sorted(engine.run(main())) == sorted([pairs[0][0].fileno(), pairs[2][0].fileno()])


def test_it_waits_until_one_has_news(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> object:
        with several(engine, pairs, kind) as waiting:
            task = Running(engine, waiting.wait())
            await turns(engine)
            assert not task.has_ended
            pairs[2][1].send(b"data")
            return await task.result()

    assert engine.run(main()) == [pairs[2][0].fileno()]


def test_room_is_news_for_writers(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> list[int]:
        with DescriptorSet(engine, WRITE, kind=kind) as waiting:
            waiting.add(pairs[0][0].fileno())
            return await waiting.wait()

    assert engine.run(main()) == [pairs[0][0].fileno()]


def test_refused_connect_wakes_writer(engine: Engine) -> None:
    """A refused connect is an event for writers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        name = free.getsockname()

    async def main() -> int:
        with socket.socket() as sock, DescriptorSet(engine, WRITE) as waiting:
            sock.setblocking(False)
            assert sock.connect_ex(name) in (errno.EINPROGRESS, errno.ECONNREFUSED)
            waiting.add(sock.fileno())
            assert await waiting.wait(deadline=engine.now() + FAR) == [sock.fileno()]
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    assert engine.run(main()) == errno.ECONNREFUSED


@pytest.mark.parametrize("ahead", [0.005, 0, -1])
def test_deadline_without_events(engine: Engine, pairs: Pairs, kind: str | None, ahead: float) -> None:
    """The deadline comes where there is no an event."""

    async def main() -> float:
        with several(engine, pairs, kind) as waiting:
            deadline = engine.now() + ahead
            with pytest.raises(DeadlineError):
                await waiting.wait(deadline=deadline)
            return engine.now() - deadline

    assert engine.run(main()) >= 0


def test_event_before_past_deadline(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    """An event comes before a deadline in the past."""

    async def main() -> list[int]:
        with several(engine, pairs, kind) as waiting:
            pairs[0][1].send(b"data")
            return await waiting.wait(deadline=engine.now() - 1)

    assert engine.run(main()) == [pairs[0][0].fileno()]


def test_reused_after_event_and_deadline(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    """It is waited for again after its an event and after a deadline."""

    async def main() -> list[list[int]]:
        told = []
        with several(engine, pairs, kind) as waiting:
            for near, far in pairs:
                far.send(b"data")
                told.append(await waiting.wait())
                near.recv(9)
                with pytest.raises(DeadlineError):
                    await waiting.wait(deadline=engine.now())
        return told

    assert engine.run(main()) == [[near.fileno()] for near, _ in pairs]


def test_one_that_was_removed_has_no_news(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> list[int]:
        with several(engine, pairs, kind) as waiting:
            for _, far in pairs[:2]:
                far.send(b"data")
            waiting.remove(pairs[0][0].fileno())
            return await waiting.wait()

    assert engine.run(main()) == [pairs[1][0].fileno()]


def test_cancelled_it_has_changed_nothing(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> list[int]:
        with several(engine, pairs, kind) as waiting:
            task = Running(engine, waiting.wait())
            await turns(engine)
            task.cancel()
            assert isinstance(await task.outcome(), engine.cancelled)
            pairs[1][1].send(b"data")
            return await waiting.wait()

    assert engine.run(main()) == [pairs[1][0].fileno()]


def test_descriptor_shared_with_engine(engine: Engine, pairs: Pairs) -> None:
    """A descriptor may be waited for by the engine too."""

    async def main() -> None:
        with several(engine, pairs) as waiting:
            pairs[0][1].send(b"data")
            await waiting.wait()
            await engine.wait(pairs[0][0].fileno(), READ)
            engine.unregister(pairs[0][0].fileno())

    engine.run(main())


def test_nothing_is_left_open(engine: Engine, pairs: Pairs, kind: str | None) -> None:
    async def main() -> tuple[set[str], set[str]]:
        await engine.sleep(0.001)  # the engine has by now what it keeps
        before = open_descriptors()
        for _ in range(3):
            waiting = several(engine, pairs, kind)
            with pytest.raises(DeadlineError):
                await waiting.wait(deadline=engine.now())
            waiting.close()
            waiting.close()
        return before, open_descriptors()

    before, after = engine.run(main())
    assert after == before
    assert all(os.fstat(near.fileno()) for near, _ in pairs)  # they are not its own
