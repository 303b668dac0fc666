"""A network that is written as a script: who answers when, and how. Its moments are those of a virtual clock."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError
from socketkit.sockets.resolver import Candidate

__all__ = ["CONNECTS", "ODD", "REFUSES", "SILENT", "UNREACHABLE", "Place", "ScriptedNetwork", "candidate", "candidates"]

CONNECTS: Final = "connects"
REFUSES: Final = "refuses"
SILENT: Final = "is silent"
UNREACHABLE: Final = "is unreachable"  # which `connect` itself says, at once
ODD: Final = "is odd"  # whoever looks at the answer fails in a way that nobody expects

Place = tuple[str, float, str]
"""A numeric address, the seconds until it answers, and its fate."""


def candidate(host: str) -> Candidate:
    """What the resolver would make of a numeric address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = (host, 80, 0, 0) if family == socket.AF_INET6 else (host, 80)
    return Candidate(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, name)


def candidates(script: Sequence[Place]) -> list[Candidate]:
    """The candidates of a script, in its order."""
    return [candidate(host) for host, _, _ in script]


class ScriptedAttempt:
    """A connection that is being made: the writing end of a full pipe, which has room when the answer comes."""

    def __init__(self, engine: Engine, host: str, fate: str) -> None:
        self.host = host
        self.fate = fate
        self.is_open = True
        self._far, self._near = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._engine = engine
        size = fcntl.fcntl(self._near, fcntl.F_SETPIPE_SZ, 4096)
        assert os.write(self._near, bytes(size)) == size

    async def answer(self, seconds: float) -> None:
        """Answer after that time, if anybody still listens."""
        await self._engine.sleep(seconds)
        if self.is_open:
            os.read(self._far, 1 << 20)

    def fileno(self) -> int:
        return self._near

    def close(self) -> None:
        assert self.is_open, f"the socket for {self.host} is closed twice"
        self.is_open = False
        os.close(self._near)
        os.close(self._far)


class ScriptedNetwork:
    """See `Network`. Attributes: story: what happened, as (moment, what, whom); opened: every attempt."""

    def __init__(self, engine: Engine, clock: Callable[[], float], script: Sequence[Place]) -> None:
        self._engine = engine
        self._clock = clock
        self._script = {host: (seconds, fate) for host, seconds, fate in script}
        self.story: list[tuple[float, str, str]] = []
        self.opened: list[ScriptedAttempt] = []

    def tell(self, what: str, candidate: Candidate) -> None:
        self.story.append((round(self._clock(), 6), what, candidate.name[0]))

    def begin(self, candidate: Candidate) -> ScriptedAttempt:
        self.tell("begins", candidate)
        seconds, fate = self._script[candidate.name[0]]
        if fate == UNREACHABLE:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        attempt = ScriptedAttempt(self._engine, candidate.name[0], fate)
        self.opened.append(attempt)
        if fate != SILENT:
            self._engine.start(attempt.answer(seconds))
        return attempt

    def finish(self, candidate: Candidate, begun: ScriptedAttempt) -> ScriptedAttempt:
        if begun.fate == REFUSES:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        if begun.fate == ODD:
            raise ZeroDivisionError
        self.tell("connects", candidate)
        return begun

    def failed(self, candidate: Candidate, error: OSError) -> None:
        self.tell("given up" if isinstance(error, DeadlineError) else "fails", candidate)

    def still_open(self) -> list[str]:
        """Whose sockets are open."""
        return [attempt.host for attempt in self.opened if attempt.is_open]
