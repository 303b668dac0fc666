"""The kernel's own promises: exact moments by a clock that never ran, and the number of calls to the system."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import threading
import tracemalloc
import weakref
from collections.abc import Iterator

import pytest

from socketkit._core.kernel import LONGEST_POLL
from socketkit.engines.engine import READ, WRITE, Event
from socketkit.engines.group import Group
from socketkit.engines.pollers import POLLERS, Poller
from socketkit.engines.readiness import FEW_TIMERS, READINESS, ReadinessEngine
from socketkit.errors import DeadlineError
from support.clock import JumpingPoller, VirtualClock, virtual_engine
from support.connections import talk
from support.engines import READINESS as ENGINES
from support.recorder import Recorder

Pair = tuple[socket.socket, socket.socket]

every_poller = pytest.mark.parametrize("name", ENGINES)


class CountingPoller:
    """A real poller that remembers what was asked of it."""

    def __init__(self, inner: Poller) -> None:
        self._inner = inner
        self.timeouts: list[float | None] = []
        self.changes: list[tuple[int, int, int]] = []

    def arm(self, descriptor: int, before: int, after: int) -> None:
        self.changes.append((descriptor, before, after))
        self._inner.arm(descriptor, before, after)

    def check_capacity(self) -> None:
        self._inner.check_capacity()

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return self._inner.poll(timeout)

    def close(self) -> None:
        self._inner.close()

    def changes_of(self, sock: socket.socket) -> list[tuple[int, int]]:
        return [(before, after) for descriptor, before, after in self.changes if descriptor == sock.fileno()]


def counting_engine(name: str) -> tuple[ReadinessEngine, CountingPoller]:
    poller = CountingPoller(POLLERS[name]())
    return READINESS[name](poller=poller), poller


# Time, without any passing.


def test_sleepers_wake_exactly() -> None:
    """Sleepers wake at their exact moments."""
    engine, clock = virtual_engine()
    recorder = Recorder(clock)

    async def sleep(seconds: float) -> None:
        await engine.sleep(seconds)
        recorder(seconds)

    async def main() -> None:
        async with Group(engine) as group:
            for seconds in (3600.0, 0.5, 86400.0, 2.0, 0.5):
                group.start(sleep(seconds))

    engine.run(main())
    assert recorder.events == recorder.moments == [0.5, 0.5, 2.0, 3600.0, 86400.0]


def test_a_year_passes_in_polls_of_a_day() -> None:
    """poll(2) takes its milliseconds in an int."""
    engine, clock = virtual_engine()

    async def main() -> None:
        await engine.sleep(366 * 24 * 3600.0)

    engine.run(main())
    assert clock() == 366 * 24 * 3600.0
    assert LONGEST_POLL * 1000 < 2**31


def test_exact_deadline_event_wins(pair: Pair) -> None:
    """A deadline is exact and an event at that moment wins."""
    engine, clock = virtual_engine()

    async def write(at: float) -> None:
        await engine.sleep(at)
        pair[1].send(b"data")

    async def main() -> None:
        for seconds in (1.0, 10.0):
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, clock() + seconds)
        assert clock() == 11.0
        async with Group(engine) as group:
            group.start(write(5.0))
            await engine.wait(pair[0].fileno(), READ, clock() + 5.5)
        assert clock() == 16.0

    engine.run(main())


def test_past_deadline_looks_at_events_first() -> None:
    """A deadline in the past wakes in the same turn and an event is received before."""
    engine, clock = virtual_engine()
    near, far = socket.socketpair()

    async def main() -> None:
        with pytest.raises(DeadlineError):
            await engine.wait(near.fileno(), READ, -1.0)
        far.send(b"data")
        await engine.wait(near.fileno(), READ, -1.0)
        with pytest.raises(DeadlineError):
            await engine.event().wait(deadline=-math.inf)
        assert clock() == 0.0
        engine.unregister(near.fileno())

    with near, far:
        engine.run(main())


def test_early_waits_leave_one_timer(pair: Pair) -> None:
    """A deadline for each message, and one entry in the heap, put back when it comes due too early."""
    engine, clock = virtual_engine()

    async def write() -> None:
        for _ in range(1000):
            await engine.sleep(1.0)
            pair[1].send(b"data")

    async def main() -> None:
        async with Group(engine) as group:
            group.start(write())
            for _ in range(1000):
                await engine.wait(pair[0].fileno(), READ, clock() + 10.0)
                pair[0].recv(9)
                assert len(engine._timers) <= 3
            assert clock() == 1000.0
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, clock() + 10.0)
            assert clock() == 1010.0

    engine.run(main())


def test_ended_tasks_leave_no_timers(pair: Pair) -> None:
    """An idle time-out of an hour, and conversations of a moment."""
    engine, clock = virtual_engine()
    pair[1].send(b"data")
    longest = 0

    async def converse() -> None:
        await engine.wait(pair[0].fileno(), READ, clock() + 3600.0)

    async def main() -> None:
        nonlocal longest
        for _ in range(2000):
            async with Group(engine) as group:
                group.start(converse())
            longest = max(longest, len(engine._timers))
        await engine.sleep(7200.0)
        assert engine._timers == []

    engine.run(main())
    assert longest <= 2 * FEW_TIMERS + 2
    assert clock() == 7200.0


def test_sooner_deadlines_do_not_pile_up(pair: Pair) -> None:
    """A sooner deadline again and again does not pile up."""
    engine, clock = virtual_engine()

    async def main() -> None:
        for _ in range(2000):
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ, clock() + 3600.0)
            pair[0].recv(9)
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, clock() + 0.001)
            assert len(engine._timers) <= 2 * FEW_TIMERS + 2

    engine.run(main())


def test_timer_below_clock_resolution() -> None:
    """The next timer may be closer than the clock can report."""
    clock = VirtualClock(1e9)
    engine = READINESS["poll"](clock=clock, poller=JumpingPoller(POLLERS["poll"](), clock))

    async def main() -> None:
        await engine.sleep(1e-12)

    engine.run(main())
    assert 1e9 <= clock() < 1e9 + 1e-3


# Calls to the system.


@every_poller
def test_a_descriptor_is_registered_once(name: str, pair: Pair) -> None:
    engine, poller = counting_engine(name)

    async def main() -> None:
        for _ in range(50):
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            pair[0].recv(9)
        assert poller.changes_of(pair[0]) == [(0, READ)]
        engine.unregister(pair[0].fileno())
        assert poller.changes_of(pair[0]) == [(0, READ), (READ, 0)]

    engine.run(main())


@every_poller
def test_unwaited_event_disarmed_once(name: str, pair: Pair) -> None:
    """An event that no one waits for is disarmed once and armed again by the next wait."""
    engine, poller = counting_engine(name)

    async def main() -> None:
        for _ in range(3):
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)  # and it is not read
            await engine.sleep(0.002)
            pair[0].recv(9)

    engine.run(main())
    assert poller.changes_of(pair[0]) == [(0, READ), (READ, 0)] * 3
    assert len(poller.timeouts) < 20


@every_poller
def test_only_unwaited_direction_disarmed(name: str, pair: Pair) -> None:
    """Of two directions only the one without a waiter is disarmed."""
    engine, poller = counting_engine(name)

    async def read() -> None:
        await engine.wait(pair[0].fileno(), READ)

    async def main() -> None:
        async with Group(engine) as group:
            group.start(read())
            await engine.wait(pair[0].fileno(), WRITE)
            await engine.sleep(0.002)  # the buffer has space, but no task waits
            pair[1].send(b"data")

    engine.run(main())
    assert poller.changes_of(pair[0])[:3] in (
        [(0, READ), (READ, READ | WRITE), (READ | WRITE, READ)],
        [(0, WRITE), (WRITE, READ | WRITE), (READ | WRITE, READ)],
    )
    assert len(poller.timeouts) < 20


@every_poller
@pytest.mark.parametrize("side", ["reader", "writer", "both"])
def test_hang_up_without_waiter_no_spin(name: str, pair: Pair, side: str) -> None:
    """EPOLLHUP and POLLHUP come whether they were asked for or not."""
    engine, poller = counting_engine(name)

    async def main() -> None:
        if side != "writer":
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
        if side != "reader":
            await engine.wait(pair[0].fileno(), WRITE)
        pair[1].close()
        calls = len(poller.timeouts)
        await engine.sleep(0.005)
        assert len(poller.timeouts) - calls < 10

    engine.run(main())


@every_poller
def test_hang_up_with_waiter_no_spin(name: str, pair: Pair) -> None:
    """Only one direction has a waiter: the hang-up is news for it, once."""
    engine, poller = counting_engine(name)

    async def main() -> None:
        pair[1].close()
        await engine.wait(pair[0].fileno(), WRITE)
        calls = len(poller.timeouts)
        await engine.sleep(0.005)
        assert len(poller.timeouts) - calls < 10

    engine.run(main())


@every_poller
def test_an_idle_engine_makes_no_calls(name: str, pair: Pair) -> None:
    engine, poller = counting_engine(name)

    async def wait() -> None:
        await engine.wait(pair[0].fileno(), READ, engine.now() + 3600)

    async def main() -> None:
        done = engine.event()
        async with Group(engine) as group:
            for _ in range(3):
                group.start(engine.event().wait())
            group.start(wait())
            await engine.sleep(0)
            await engine.sleep(0)
            calls = len(poller.timeouts)
            threading.Timer(0.02, engine.from_thread, (done.set,)).start()
            await done.wait()
            assert len(poller.timeouts) - calls <= 2
            group.cancel()

    engine.run(main())


def test_select_says_what_it_cannot_watch() -> None:
    """And goes on with the others."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1100:
        pytest.skip(f"this process may open {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    near, far = socket.socketpair()
    import fcntl

    number = fcntl.fcntl(near.fileno(), fcntl.F_DUPFD_CLOEXEC, 1024)
    high = socket.socket(fileno=number)
    engine = READINESS["select"]()

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(OSError, match=f"descriptor {number}: it takes those below 1024"):
                await engine.wait(number, READ)
        far.send(b"data")
        await engine.wait(near.fileno(), READ)
        assert engine._slot(number) is None

    with near, far, high:
        engine.run(main())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The end of tasks.


@pytest.mark.skipif("epoll" not in POLLERS, reason="the others take a number that is not open, and report it")
def test_wrong_number_takes_no_memory() -> None:
    """A number far above every open descriptor is refused, and no table grows up to it."""
    engine = READINESS["epoll"]()

    async def main() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            await engine.wait(50_000_000, READ)

    tracemalloc.start()
    try:
        engine.run(main())
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture
def told() -> Iterator[list[BaseException | None]]:
    """The exceptions that were reported as Python reports those of threads."""
    told: list[BaseException | None] = []
    before, threading.excepthook = threading.excepthook, lambda arguments: told.append(arguments.exc_value)
    yield told
    threading.excepthook = before


def test_uncaught_task_exception_is_reported(told: list[BaseException | None]) -> None:
    """It is a bug of the task, the others run on, and it is not silent."""
    engine = READINESS["poll"]()
    error = LookupError("mine")

    async def fail() -> None:
        raise error

    async def main() -> str:
        engine.start(fail())
        engine.background(fail())
        await engine.sleep(0)
        return "result"

    assert engine.run(main()) == "result"
    assert told == [error, error]


def test_cancelled_task_is_silent(told: list[BaseException | None]) -> None:
    """A task that ends by its cancellation is silent."""
    engine = READINESS["poll"]()

    async def main() -> None:
        engine.start(engine.event().wait())
        await engine.sleep(0)

    engine.run(main())
    assert told == []


def test_asyncio_sleep_refused() -> None:
    """It is a bare yield: taken for a wait of ours, its task would stand for ever."""
    engine = READINESS["poll"]()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await asyncio.sleep(1)

    engine.run(main())


class InterruptingPoller:
    """A poller whose call is interrupted by ^C at the worst moment: events were taken, and no task was resumed."""

    def __init__(self, inner: Poller) -> None:
        self._inner = inner
        self.strike = False

    def arm(self, descriptor: int, before: int, after: int) -> None:
        self._inner.arm(descriptor, before, after)

    def check_capacity(self) -> None:
        self._inner.check_capacity()

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        news = self._inner.poll(timeout)
        if self.strike:
            self.strike = False
            signal.raise_signal(signal.SIGINT)
        return news

    def close(self) -> None:
        self._inner.close()


@every_poller
def test_reused_number_gets_no_old_report(name: str, pair: Pair) -> None:
    """A socket with the number of one that was closed in the same turn is not resumed by what that one reported."""
    engine = READINESS[name]()
    other = socket.socketpair()
    received: list[bytes] = []

    async def wait(own: socket.socket, closed: socket.socket) -> None:
        await engine.wait(own.fileno(), READ)
        if own.fileno() < 0:
            return  # closed by the other task
        number = closed.fileno()
        engine.unregister(number)
        closed.close()
        fresh, peer = socket.socketpair()
        if fresh.fileno() != number:
            os.dup2(fresh.fileno(), number)
            fresh.close()
            fresh = socket.socket(fileno=number)
        with fresh, peer:
            engine.call_soon(lambda: peer.send(b"new"))
            await engine.wait(number, READ)
            received.append(fresh.recv(10, socket.MSG_DONTWAIT))
            engine.unregister(number)

    async def main() -> None:
        async with Group(engine) as group:
            group.start(wait(pair[0], other[0]))
            group.start(wait(other[0], pair[0]))
            await engine.sleep(0)  # both wait
            pair[1].send(b"old")
            other[1].send(b"old")

    engine.run(main())
    other[0].close()
    other[1].close()
    assert received == [b"new"]


def test_interrupt_strands_no_task(pair: Pair) -> None:
    """An interrupt at the worst moment leaves no task waiting for ever."""
    poller = InterruptingPoller(POLLERS["poll"]())
    engine = READINESS["poll"](poller=poller)
    story: list[str] = []

    async def wait(begun: Event) -> None:
        begun.set()
        try:
            await engine.wait(pair[0].fileno(), READ)
        finally:
            story.append("cleaned up")

    async def main() -> None:
        begun = engine.event()
        async with Group(engine) as group:
            group.start(wait(begun))
            await begun.wait()
            poller.strike = True
            pair[1].send(b"data")

    with pytest.raises(KeyboardInterrupt):
        engine.run(main())
    assert story == ["cleaned up"]


class InterruptedArming:
    """A real poller that ^C strikes as it begins to watch a descriptor."""

    def __init__(self, inner: Poller) -> None:
        self._inner = inner
        self.poll, self.close = inner.poll, inner.close
        self.strike = False

    def arm(self, descriptor: int, before: int, after: int) -> None:
        if self.strike:
            self.strike = False
            raise KeyboardInterrupt
        self._inner.arm(descriptor, before, after)


def test_interrupt_while_a_receiver_begins_to_wait() -> None:
    """It ends the run: the wait is not just tried once more."""
    poller = InterruptedArming(POLLERS["poll"]())
    engine = READINESS["poll"](poller=poller)

    async def main() -> None:
        with talk(engine) as (connection, far):
            poller.strike = True
            far.sendall(b"hello\n")
            await connection.receive()

    with pytest.raises(KeyboardInterrupt):
        engine.run(main())


def test_lost_task_found_at_end() -> None:
    """^C between taking a task from the queue and running it."""
    engine = READINESS["poll"]()
    story: list[str] = []

    async def live() -> None:
        try:
            await engine.event().wait()
        finally:
            story.append("cleaned up")

    async def main() -> None:
        task = engine.start(live())
        await engine.sleep(0)
        assert task.leave()  # from its event, and into no queue: as if struck there

    engine.run(main())
    assert story == ["cleaned up"]


def test_ending_many_tasks_is_linear() -> None:
    """The end of many tasks takes linear time."""
    engine = READINESS["poll"]()

    async def live() -> None:
        try:
            await engine.event().wait()
        finally:
            await engine.sleep(0)

    async def main() -> None:
        for _ in range(3000):
            engine.start(live())
        await engine.sleep(0)

    engine.run(main())


def test_a_run_that_failed_is_freed_at_once(no_gc: None) -> None:
    """The engine, its tasks and the exception are in no circle."""

    class Thing:
        pass

    engine = READINESS["poll"]()

    async def main() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        engine.start(engine.event().wait())
        await engine.sleep(0)
        raise LookupError("mine")

    things: list[weakref.ref[Thing]] = []
    try:
        engine.run(main())
    except LookupError:
        pass
    assert things[0]() is None


def test_second_run_refused() -> None:
    """A second run says so and leaves no coroutine behind."""
    engine = READINESS["poll"]()

    async def main() -> None:
        pass

    engine.run(main())
    with pytest.raises(RuntimeError, match="the poll engine has ended: it runs once"):
        engine.run(main())
    gc.collect()  # a coroutine that was never awaited would say so here


def test_engines_may_run_inside_each_other() -> None:
    outer, inner = READINESS["poll"](), READINESS["select"]()

    async def within() -> object:
        from socketkit.engines import running

        await inner.sleep(0)
        return running()

    async def main() -> list[object]:
        from socketkit.engines import running

        seen = [running(), inner.run(within()), running()]
        await outer.sleep(0)
        return seen

    assert outer.run(main()) == [outer, inner, outer]
