"""Wait until addresses accept connections, or until they are free; any number of addresses, one time-out for all.

Each target is looked at anew by an ordinary connect, at once and then after pauses that grow. A look that found
connects closes gracefully, so that no server logs a reset. Knows no command; prints nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Final

from socketkit.client.dial import open_stream
from socketkit.config.address import Address
from socketkit.config.backoff import Backoff, chance
from socketkit.config.durations import format_duration
from socketkit.config.options import Options
from socketkit.config.time_limits import PROBE_CLOSE_TIMEOUT
from socketkit.endpoint import options_at
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import Attempt, DeadlineError, OpenError, OptionError, SocketkitError, StreamError
from socketkit.events import Observer
from socketkit.streams.stream import Stream
from socketkit.values import replace

__all__ = ["LOOK_TIMEOUT", "TIMEOUT", "wait_for"]

TIMEOUT: Final = 30.0
"""Seconds for all targets; twice what wait-for-it has: a database in a fresh container needs twenty."""

LOOK_TIMEOUT: Final = 2.0
"""Seconds of one look at a silent target: a lost SYN is sent again after one, and a fresh one is better than the third,
which would come four seconds later (RFC 6298, 5.5 and 5.6)."""

FIRST_PAUSE: Final = 0.02
LAST_PAUSE: Final = 0.5
"""Seconds between two looks: what has just started is seen at once, and what takes minutes is asked twice a second."""

_NOBODY: Final = (errno.ECONNREFUSED, errno.ENOENT)
"""Errors that prove that an address is free. Silence, no route or an unknown name prove nothing."""

_NO_SUCH_PLACE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)
"""Of a name with several places, one that this machine cannot even ask at: the others decide."""

_NOT_YET: Final = "not probed yet"


async def wait_for(
    engine: Engine,
    addresses: Sequence[Address],
    *,
    timeout: float | None = TIMEOUT,
    is_one_enough: bool = False,
    free: bool = False,
    ready: Callable[[Address, float], object] = lambda address, seconds: None,
    observer: Observer | None = None,
    **options: object,
) -> None:
    """Wait until every address accepts a connection.

    Whatever stands in the way is waited out: a refusal, a missing socket file, a name that is not known yet, a peer
    that fails the handshake. To accept means that the system takes the connection; no byte is sent or asked for.

    Args:
        engine: runs already.
        addresses: the targets; all are looked at side by side.
        timeout: seconds for all of them; 0: one look; None: as long as it takes.
        is_one_enough: until any of them accepts.
        free: until each is free: every address of the name refuses, or its socket file does not exist.
        ready: called with each target when it is ready, and the seconds it took.
        observer: receives the events.
        options: by the names of `Options`, for every look; `connect_timeout` (2 s) is the time of one.

    Raises:
        AddressError, OptionError: before anything is opened.
        DeadlineError: the time was over; says which targets are missing, and what the last look met at each.
    """
    for address in addresses:
        _check_accepts(address)
    deadline, began = engine.deadline(timeout), engine.now()
    looks: list[_Looks] = []
    async with Group(engine) as closings:
        for address in addresses:
            how = options_at(address, {"connect_timeout": LOOK_TIMEOUT}, options)
            looks.append(_Looks(engine, address, how, free, closings, observer))
        changed = Condition(engine)

        async def look(at: _Looks) -> None:
            try:
                await at.go_on(deadline)
                if at.found:
                    ready(at.address, engine.now() - began)
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


_OPENED_HERE: Final = ("exec", "stdio", "fd", "systemd")


def _check_accepts(address: Address) -> None:
    """Refuse an address at which no connection is accepted, so that no look could answer the question."""
    if address.scheme in _OPENED_HERE:
        raise OptionError(f"{address}: wait is for listeners; {address.scheme}: names no listener")
    if address.transport.kind == "SOCK_RAW" or (address.transport.kind == "SOCK_DGRAM" and not address.path):
        raise OptionError(
            f"{address}: {address.scheme} has no connections: a look cannot tell whether a program receives there; "
            "take tcp, tls, unix, unixpacket, unixgram or vsock, or send a probe with `socketkit nc -zu HOST PORT`"
        )


def _too_late(looks: list[_Looks], free: bool, timeout: float | None) -> DeadlineError:
    missing = [at for at in looks if not at.found]
    state = "not free" if free else "not there"
    count = f"{len(missing)} of {len(looks)} targets {'is' if len(missing) == 1 else 'are'} " if len(looks) > 1 else ""
    told = "; ".join(f"{at.address}: {at.reason}" for at in missing)
    return DeadlineError(
        f"{count}{state} after {format_duration(timeout or 0.0)}: {told}",
        attempts=tuple(Attempt(str(at.address), at.reason) for at in missing),
    )


class _Looks:
    """One target, and what was seen there.

    Attributes:
        found: whether it is as it was waited for.
        ended: whether the probes have ended.
        reason: why it is not as it was waited for, by the last look.
    """

    def __init__(
        self,
        engine: Engine,
        address: Address,
        options: Options,
        free: bool,
        closings: Group,
        observer: Observer | None,
    ) -> None:
        self.address = address
        self.found = self.ended = False
        self.reason = _NOT_YET
        self._engine = engine
        self._options = options
        self._free = free
        self._closings = closings
        self._observer = observer

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
        options = self._options
        if deadline is not None:
            left = max(0.0, deadline - self._engine.now())
            share = left if options.connect_timeout is None else min(left, options.connect_timeout)
            options = replace(options, connect_timeout=share)
        try:
            stream = await open_stream(self._engine, self.address, options, observer=self._observer)
        except (OpenError, StreamError, DeadlineError) as error:
            if self.reason == _NOT_YET or options.connect_timeout == self._options.connect_timeout:
                self.reason = _reason(self.address, error)  # a last look that was cut short says less
            self.found = self._free and _is_nobody(error)
            return
        self._closings.start(_part(stream))
        self.found = not self._free
        self.reason = "a connection is accepted there"


async def _part(stream: Stream) -> None:
    """Half-close, and discard what the peer sends for a moment."""
    engine = stream.engine
    deadline = engine.now() + PROBE_CLOSE_TIMEOUT
    try:
        await stream.send_eof(deadline=deadline)
        while True:
            await stream.receive(deadline=deadline)
    except (StreamError, DeadlineError):
        pass  # the end, a loss, or a peer that sends on
    finally:
        stream.close()


def _is_nobody(error: SocketkitError) -> bool:
    numbers = [attempt.errno for attempt in error.attempts]
    places = [number for number in numbers if number not in _NO_SUCH_PLACE]
    return bool(places) and all(number in _NOBODY for number in places)


def _reason(address: Address, error: SocketkitError) -> str:
    if error.attempts:
        return "; ".join(dict.fromkeys(attempt.reason for attempt in error.attempts))
    return str(error).removeprefix(f"{address}: ")
