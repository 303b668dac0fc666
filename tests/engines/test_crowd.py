"""Batches of one turn are sent in a row (`call_soon`), but the first does not wait for all the others."""

from __future__ import annotations

import socket

import pytest

from socketkit._core import TURN_TASKS
from socketkit.engines.engine import READ, Engine
from socketkit.engines.group import Group
from support.running import turns

CROWD = 4 * TURN_TASKS


@pytest.fixture
def story(engine: Engine) -> list[str]:
    """In each of some turns all of a crowd have news: `woken` is a task that was resumed, `called` what it has asked
    for by `call_soon`."""
    if engine.blocks or not engine.is_prompt:
        pytest.skip(f"the turns of {engine.name} are another's")
    story: list[str] = []
    pairs = [socket.socketpair() for _ in range(CROWD)]

    async def live(sock: socket.socket) -> None:
        while True:
            await engine.wait(sock.fileno(), READ)
            if not sock.recv(1):
                return
            story.append("woken")
            engine.call_soon(lambda: story.append("called"))

    async def main() -> None:
        async with Group(engine) as group:
            for near, _ in pairs:
                group.start(live(near))
            await turns(engine)
            for _ in range(5):
                for _, far in pairs:
                    far.send(b"x")
                await turns(engine)
            for _, far in pairs:
                far.close()
        for near, _ in pairs:
            engine.unregister(near.fileno())

    engine.run(main())
    for near, _ in pairs:
        near.close()
    return story


def test_first_of_many_does_not_wait_for_last(story: list[str]) -> None:
    """The first does not wait for the last of a crowd."""
    assert story.count("woken") == story.count("called") == 5 * CROWD
    waiting = most = 0
    for event in story:
        waiting += 1 if event == "woken" else -1
        most = max(most, waiting)
    assert most <= TURN_TASKS


def test_many_sends_leave_in_a_row(story: list[str]) -> None:
    """What a crowd asks for is done in a row."""
    assert " ".join(["called"] * (TURN_TASKS // 2)) in " ".join(story)
