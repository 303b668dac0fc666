"""Dialling again, by a script of what each dial comes to, on a clock that moves only when nobody has anything to do."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from socketkit.client.reconnect import Reconnect
from socketkit.config.address import Address
from socketkit.config.retry import Retry
from socketkit.connection.connection import Connection
from socketkit.errors import Attempt, ConnectError, DeadlineError, HandshakeError, ResolveError, SocketkitError
from socketkit.events import Closed, Retrying
from socketkit.framing import of as framing_of
from socketkit.streams.memory import memory_pair
from support.clock import virtual_engine
from support.recorder import Recorder
from support.running import Running

ADDRESS = Address.parse("tcp://service.test:1")

PLAIN = {"first": 1.0, "jitter": 0.0}
"""Pauses of exactly 1, 2, 4, 8, 10, 10 … seconds."""


def refused() -> ConnectError:
    return ConnectError("refused", address=str(ADDRESS), errno=errno.ECONNREFUSED, attempts=(Attempt("a", "refused"),))


class Service:
    """What each dial comes to: an error, or a connection at whose other end somebody says these bytes and ends.

    Attributes:
        moments: when it was dialled.
        limits: the time that each dial was given.
        still_open: at each dial, how many of the connections before were open.
    """

    def __init__(self, *script: SocketkitError | bytes, then: SocketkitError | bytes | None = None) -> None:
        self.engine, self.clock = virtual_engine()
        self._script = list(script)
        self._then = then
        self._made: list[Connection] = []
        self.seen = Recorder(self.clock)
        self.moments: list[float] = []
        self.limits: list[float | None] = []
        self.still_open: list[int] = []

    async def dial(self, left: float | None) -> Connection:
        self.moments.append(self.clock.moment)
        self.limits.append(left)
        self.still_open.append(sum(not connection.is_closed for connection in self._made))
        outcome = self._script.pop(0) if self._script else self._then
        assert outcome is not None, "nobody expected this dial"
        if not isinstance(outcome, bytes):
            try:
                raise outcome
            finally:
                del outcome  # no circle of ours
        near, far = memory_pair(self.engine)
        far.send_now(outcome)
        await far.send_eof()
        connection = Connection(near, framing_of("chunks"), observer=self.seen)
        self._made.append(connection)
        return connection

    def reconnect(self, retry: Retry, *, luck: Callable[[], float] = lambda: 0.5) -> Reconnect:
        return Reconnect(self.engine, ADDRESS, retry, self.dial, observer=self.seen, luck=luck)

    def open(self, retry: Retry) -> Any:
        """Dial once, with patience: what came of it."""
        return self.engine.run(self._open(self.reconnect(retry)))

    async def _open(self, reconnect: Reconnect) -> Any:
        try:
            await (await reconnect.open()).close()
        except SocketkitError as error:
            return error.with_traceback(None)
        return None

    def loop(self, retry: Retry, count: int, *, stays: float = 0) -> Any:
        """So many rounds of a loop that receives what there is and stays for a while: the error that ended it."""

        async def main() -> Any:
            reconnect = self.reconnect(retry)
            try:
                for _ in range(count):
                    connection = await reconnect.next()
                    async for _ in connection:
                        pass
                    await self.engine.sleep(stays)
            except SocketkitError as error:
                return error.with_traceback(None)
            finally:
                await reconnect.close()
            return None

        return self.engine.run(main())

    @property
    def pauses(self) -> list[float]:
        """The pauses that were told of."""
        return [event.seconds for event in self.seen.of(Retrying)]


def test_first_success_ends_retries() -> None:
    """The first that answers ends the tries."""
    service = Service(refused(), refused(), refused(), b"")
    assert service.open(Retry(**PLAIN)) is None
    assert service.moments == pytest.approx([0, 1, 3, 7])


def test_each_failure_is_told_with_its_pause() -> None:
    service = Service(refused(), refused(), b"")
    service.open(Retry(**PLAIN))
    told = service.seen.of(Retrying)
    assert [(event.address, event.count, event.seconds) for event in told] == [
        (str(ADDRESS), 1, 1.0),
        (str(ADDRESS), 2, 2.0),
    ]
    assert all(isinstance(event.error, ConnectError) for event in told)


def test_chance_shortens_each_pause() -> None:
    lots = iter([0.0, 0.5, 1.0])
    service = Service(*[refused()] * 3, b"")
    reconnect = service.reconnect(Retry(first=1, factor=2, jitter=0.5), luck=lambda: next(lots))
    service.engine.run(service._open(reconnect))
    assert service.pauses == [1, 1.5, 2]


def test_exhausted_attempts_count_in_error() -> None:
    """When the tries are used up the last error says how many there were."""
    error = (service := Service(then=refused())).open(Retry(attempts=3, **PLAIN))
    assert len(service.moments) == 3
    assert isinstance(error, ConnectError)
    assert (str(error), error.errno) == ("refused (3 tries in 3.0 s)", errno.ECONNREFUSED)


def test_single_attempt_error_unchanged() -> None:
    """A single try fails as it would without."""
    assert str(Service(refused()).open(Retry(attempts=1))) == "refused"


def test_retry_deadline_limits_each_attempt() -> None:
    """The deadline is over all tries and each is given what is left of it."""
    error = (service := Service(then=refused())).open(Retry(deadline=5, **PLAIN))
    assert service.moments == pytest.approx([0, 1, 3, 4])
    assert service.limits == pytest.approx([5, 4, 2, 1])
    assert isinstance(error, DeadlineError)
    assert isinstance(error.__cause__, ConnectError)
    assert [attempt.reason for attempt in error.attempts] == ["refused"]
    assert str(error) == (
        "gave up after 4 tries in 4.0 s, of the 5 s that they may take (retry, deadline); the last said: refused"
    )


def test_attempts_without_deadline() -> None:
    """Without a deadline each try has its own time."""
    service = Service(refused(), b"")
    service.open(Retry())
    assert service.limits == [None, None]


@pytest.mark.parametrize(
    "error", [ResolveError("unknown"), HandshakeError("no trust"), ConnectError("no right", errno=errno.EACCES)]
)
def test_permanent_error_raised_at_once(error: SocketkitError) -> None:
    """What will not go well later is reported at once."""
    service = Service(error)
    assert service.open(Retry()) is error
    assert service.pauses == []


def test_cancel_during_backoff() -> None:
    """Cancelled in a pause it stops at once."""
    service = Service(then=refused())

    async def main() -> Any:
        task = Running(service.engine, service.reconnect(Retry(**PLAIN)).open())
        await service.engine.sleep(2)
        task.cancel()
        return await task.outcome()

    assert isinstance(service.engine.run(main()), service.engine.cancelled)
    assert service.clock.moment == pytest.approx(2)
    assert len(service.moments) == 2


def test_reconnect_closes_previous_first() -> None:
    """After a loss comes a fresh one and the one before is closed first."""
    service = Service(then=b"data")
    assert service.loop(Retry(**PLAIN), 4) is None
    assert service.still_open == [0, 0, 0, 0]
    assert service.moments == pytest.approx([0, 1, 2, 3])
    assert len(service.seen.of(Closed)) == 4


def test_received_data_resets_backoff() -> None:
    """Something received makes the pauses short again."""
    service = Service(refused(), refused(), b"data", refused(), refused(), b"data")
    assert service.loop(Retry(attempts=3, **PLAIN), 2) is None
    assert service.pauses == [1, 2, 1, 1, 2]  # the third is the one after the loss


def test_instant_hangups_back_off() -> None:
    """A server that hangs up at once is not stormed."""
    service = Service(then=b"")
    assert service.loop(Retry(**PLAIN), 6) is None
    assert service.pauses == [1, 2, 4, 8, 10]


def test_long_connection_resets_backoff() -> None:
    """A long life makes the pauses short again also in silence."""
    service = Service(then=b"")
    assert service.loop(Retry(**PLAIN), 4, stays=10) is None
    assert service.pauses == [1, 1, 1]


def test_short_silent_connection_is_failure() -> None:
    """A life shorter than the longest pause and silent is a failure."""
    service = Service(then=b"")
    assert service.loop(Retry(**PLAIN), 4, stays=9.9) is None
    assert service.pauses == [1, 2, 4]


def test_so_many_of_no_use_end_the_loop() -> None:
    error = (service := Service(then=b"")).loop(Retry(attempts=3, **PLAIN), 9)
    assert len(service.moments) == 3
    assert isinstance(error, ConnectError)
    assert str(error) == (
        "cannot stay connected to tcp://service.test:1: it hung up each time before anything was received (3 tries in "
        "3.0 s)"
    )


def test_failures_share_one_backoff() -> None:
    """Failed dials and useless connections make one row."""
    service = Service(refused(), b"", refused(), b"data")
    assert service.loop(Retry(**PLAIN), 2) is None
    assert service.pauses == [1, 2, 4]


def test_what_will_not_go_well_ends_the_loop() -> None:
    error = ResolveError("unknown")
    assert Service(b"data", error).loop(Retry(**PLAIN), 9) is error


def test_the_loss_is_told() -> None:
    service = Service(then=b"data")
    service.loop(Retry(**PLAIN), 2)
    told = service.seen.of(Retrying)
    assert [(event.error, event.count) for event in told] == [(None, 0)]


def test_cancel_in_backoff_leaks_nothing() -> None:
    """Cancelled in the pause after a loss nothing is open."""
    service = Service(then=b"data")

    async def main() -> Any:
        reconnect = service.reconnect(Retry(**PLAIN))
        await reconnect.next()
        task = Running(service.engine, reconnect.next())
        await service.engine.sleep(0.5)
        task.cancel()
        return await task.outcome()

    assert isinstance(service.engine.run(main()), service.engine.cancelled)
    assert len(service.seen.of(Closed)) == 1


def test_giving_up_leaves_no_circle(no_gc: None) -> None:
    gone: list[weakref.ref[Any]] = []

    async def main(service: Service, retry: Retry) -> None:
        reconnect = service.reconnect(retry)
        gone.append(weakref.ref(reconnect))
        try:
            await reconnect.open()
        except SocketkitError as error:
            assert error.__traceback__ is not None

    for retry in (Retry(attempts=2, **PLAIN), Retry(deadline=2, **PLAIN)):
        service = Service(refused(), refused())
        service.engine.run(main(service, retry))
        del service
    assert [reference() for reference in gone] == [None, None]
