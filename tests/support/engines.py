"""Every engine there is, as a parameter: one that cannot be had here is skipped, and says why."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator

import pytest

from socketkit import engines
from socketkit.engines.engine import Engine


def parameters(*names: str) -> list[object]:
    """Engines as parameters of a test, with their names as ids."""
    return [
        pytest.param(
            name, id=name, marks=[pytest.mark.skip(reason=reason)] if (reason := engines.missing(name)) else []
        )
        for name in names
    ]


ENGINES = parameters(*engines.NAMES)
LOOPS = parameters("asyncio", "uvloop")
READINESS = parameters("epoll", "kqueue", "poll", "select")


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """The name of each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture
def engine(engine_name: str) -> Iterator[Engine]:
    """A fresh engine of each kind; a test runs it once."""
    made = engines.make(engine_name)
    yield made
    loop = getattr(made, "loop", None)
    if loop is not None and not loop.is_closed():
        loop.close()  # the test had no use for it


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that never block, closed at the end."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Without the collector of circles: what is freed in the test was in none."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
