"""The system calls that wait, under one interface."""

from __future__ import annotations

import os
import socket

import pytest

from socketkit._core import READ_BITS, WRITE_BITS
from socketkit.engines.engine import READ, WRITE
from socketkit.engines.pollers import POLLERS, Poller
from support.engines import READINESS

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=READINESS)
def poller(request: pytest.FixtureRequest) -> Poller:
    return POLLERS[request.param]()


def news(poller: Poller) -> dict[int, tuple[bool, bool]]:
    """What is ready now: for each descriptor, whether a reader and a writer would go on."""
    return {descriptor: (bool(bits & READ_BITS), bool(bits & WRITE_BITS)) for descriptor, bits in poller.poll(0)}


def test_nothing_is_watched_at_first(poller: Poller) -> None:
    assert news(poller) == {}
    assert poller.poll(0.001) == []
    poller.close()


def test_armed_directions_reported_until_taken(poller: Poller, pair: Pair) -> None:
    """Only the armed directions are reported and again until they are taken."""
    number = pair[0].fileno()
    pair[1].send(b"data")
    steps = [
        (0, READ, {number: (True, False)}),
        (READ, READ | WRITE, {number: (True, True)}),
        (READ | WRITE, WRITE, {number: (False, True)}),
        (WRITE, 0, {}),
        (0, WRITE, {number: (False, True)}),
        (WRITE, READ, {number: (True, False)}),
        (READ, 0, {}),
    ]
    for before, after, told in steps:
        poller.arm(number, before, after)
        assert news(poller) == news(poller) == told
    poller.close()


def test_hang_up_reported_when_armed(poller: Poller, pair: Pair) -> None:
    """A hang up is an event for whatever is armed."""
    number = pair[0].fileno()
    poller.arm(number, 0, READ)
    assert news(poller) == {}
    pair[1].close()
    assert news(poller)[number][0]
    poller.arm(number, READ, WRITE)
    assert news(poller)[number][1]
    poller.close()


def test_many_descriptors(poller: Poller) -> None:
    pipes = [os.pipe() for _ in range(50)]
    for reader, _ in pipes:
        poller.arm(reader, 0, READ)
    ready = pipes[::7]
    for _, writer in ready:
        os.write(writer, b"x")
    assert set(news(poller)) == {reader for reader, _ in ready}
    poller.close()
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def test_it_waits_until_there_is_news(poller: Poller, pair: Pair) -> None:
    poller.arm(pair[0].fileno(), 0, WRITE)
    assert [descriptor for descriptor, _ in poller.poll(None)] == [pair[0].fileno()]
    poller.close()


def test_closed_descriptor_refused_alone(poller: Poller, pair: Pair) -> None:
    """A closed descriptor is refused and harms none of the others."""
    poller.arm(pair[0].fileno(), 0, READ)
    with pytest.raises((ValueError, OSError)):
        poller.arm(-1, 0, READ)
    pair[1].send(b"data")
    assert news(poller) == {pair[0].fileno(): (True, False)}
    poller.close()
