"""Wait until addresses accept connections, or are free; any number of targets, one time-out for all.

Each target is probed anew, at once and then after pauses that grow. A probe that connected closes gracefully, so that
no server logs a reset. Knows no command; prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from socketkit.apps.probes.probe import AcceptProbe, Look, Probe, options_within
from socketkit.config.address import Address
from socketkit.config.backoff import Backoff, chance
from socketkit.config.durations import format_duration
from socketkit.endpoint import options_at
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import Attempt, DeadlineError, OptionError
from socketkit.events import Observer
from socketkit.values import replace

__all__ = ["LOOK_TIMEOUT", "TIMEOUT", "Target", "wait_for"]

TIMEOUT: Final = 30.0
"""Seconds for all targets; twice what wait-for-it has: a database in a fresh container needs twenty."""

LOOK_TIMEOUT: Final = 2.0
"""Seconds of one look at a silent target: a lost SYN is sent again after one, and a fresh one is better than the third,
which would come four seconds later (RFC 6298, 5.5 and 5.6)."""

FIRST_PAUSE: Final = 0.02
LAST_PAUSE: Final = 0.5
"""Seconds between two looks: what has just started is seen at once, and what takes minutes is asked twice a second."""

_NOT_YET: Final = "not probed yet"

Target = Address | Probe
"""What is waited for: an address that accepts, a command (`exec:`) that succeeds, or a probe."""


async def wait_for(
    engine: Engine,
    targets: Sequence[Target],
    *,
    timeout: float | None = TIMEOUT,
    is_one_enough: bool = False,
    free: bool = False,
    ready: Callable[[Target, float], object] = lambda target, seconds: None,
    observer: Observer | None = None,
    **options: object,
) -> None:
    """Wait until every target is ready: an address accepts a connection, a probe says so.

    Whatever stands in the way is waited out: a refusal, a missing socket file, a name that is not known yet, a peer
    that fails the handshake. To accept means that the system takes the connection; no byte is sent or asked for. Other
    probes say what they ask: see `socketkit.apps.probes`.

    Args:
        engine: runs already.
        targets: addresses, or probes; all are looked at side by side.
        timeout: seconds for all of them; 0: one look, which has its own time; None: as long as it takes.
        is_one_enough: until any of them accepts.
        free: until each is free: every address of the name refuses, or its socket file does not exist.
        ready: called with each target when it is ready, and the seconds it took.
        observer: receives the events.
        options: by the names of `Options`, for every look; `connect_timeout` (2 s) is the time of one.

    Raises:
        AddressError, OptionError: before anything is opened.
        ConnectError: the command of a probe is not there, or cannot be run.
        DeadlineError: the time was over; says which targets are missing, and what the last look met at each.
    """
    probes = [_probe_of(target, free) for target in targets]
    deadline, began = engine.deadline(timeout), engine.now()
    looks: list[_Looks] = []
    async with Group(engine) as closings:
        for target, probe in zip(targets, probes, strict=True):
            defaults = {"connect_timeout": probe.default_timeout or LOOK_TIMEOUT}
            how = options_at(probe.address, defaults, options)
            looks.append(_Looks(target, probe, Look(engine, how, closings, observer), is_single=timeout == 0))
        changed = Condition(engine)

        async def look(at: _Looks) -> None:
            try:
                await at.go_on(deadline)
                if at.found:
                    ready(at.target, engine.now() - began)
            finally:
                at.ended = True
                changed.notify()

        async with Group(engine) as group:
            for at in looks:
                group.start(look(at))
            await changed.wait_until(
                lambda: all(at.ended for at in looks) or (is_one_enough and any(at.found for at in looks))
            )
            group.cancel()
    if not (any if is_one_enough else all)(at.found for at in looks):
        raise _too_late(looks, free, timeout)


def _probe_of(target: Target, free: bool) -> Probe:
    if not isinstance(target, Probe):
        if target.scheme == "exec":
            from socketkit.apps.probes.command import CommandProbe

            target = CommandProbe(target)
        else:
            return AcceptProbe(target, free=free)
    if free:
        raise OptionError(f"{target}: to be free is asked of a listener's address: tcp, tls, unix, unixpacket, vsock")
    return target


def _too_late(looks: list[_Looks], free: bool, timeout: float | None) -> DeadlineError:
    missing = [at for at in looks if not at.found]
    state = "not free" if free else "not there"
    count = f"{len(missing)} of {len(looks)} targets {'is' if len(missing) == 1 else 'are'} " if len(looks) > 1 else ""
    told = "; ".join(f"{at.target}: {at.reason}" for at in missing)
    return DeadlineError(
        f"{count}{state} after {format_duration(timeout or 0.0)}: {told}",
        attempts=tuple(Attempt(str(at.target), at.reason) for at in missing),
    )


class _Looks:
    """One target, and what was seen there.

    Attributes:
        found: whether it is as it was waited for.
        ended: whether the probes have ended.
        reason: why it is not as it was waited for, by the last look.
    """

    def __init__(self, target: Target, probe: Probe, look: Look, *, is_single: bool) -> None:
        self.target = target
        self.found = self.ended = False
        self.reason = _NOT_YET
        self._engine = look.engine
        self._probe = probe
        self._full = look
        self._is_single = is_single

    async def go_on(self, deadline: float | None) -> None:
        """Look, at least once, until it is found or the moment has come."""
        backoff = Backoff(FIRST_PAUSE, LAST_PAUSE, jitter=0.5)  # so that many who wait do not connect all at once
        while True:
            await self._look(deadline)
            left = None if deadline is None else deadline - self._engine.now()
            if self.found or (left is not None and left <= 0):
                return
            pause = backoff.next(chance())
            await self._engine.sleep(pause if left is None else min(pause, left))

    async def _look(self, deadline: float | None) -> None:
        look = self._full
        if deadline is not None and not self._is_single:
            left = max(0.0, deadline - self._engine.now())
            look = replace(look, options=options_within(look.options, left))
        reason = await self._probe.look(look)
        self.found = reason is None
        is_whole = look.options == self._full.options
        if reason is not None and (self.reason == _NOT_YET or is_whole):
            self.reason = reason  # a last look that was cut short says less
