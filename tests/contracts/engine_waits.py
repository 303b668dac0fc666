"""What every engine promises about waiting for descriptors, moments and events."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from socketkit.engines.engine import READ, WRITE, Engine, Event
from socketkit.engines.group import Group
from socketkit.errors import BusyError, DeadlineError

Pair = tuple[socket.socket, socket.socket]

SOON = 0.004
"""Seconds that a test lets pass; nothing depends on how exactly."""

WITHOUT_TURNS = "where the engine blocks there are no turns: tasks are threads"

FAR = 60.0
"""Seconds that no test lives to see: only the time-out of the tests would end such a wait."""


def fill(descriptor: int) -> int:
    """Write until there is no room; how many bytes there was room for."""
    size = 0
    try:
        while True:
            size += os.write(descriptor, bytes(65536))
    except BlockingIOError:
        return size


def drain(descriptor: int) -> int:
    """Read until there is nothing; how many bytes there were."""
    size = 0
    try:
        while data := os.read(descriptor, 65536):
            size += len(data)
    except BlockingIOError:
        pass
    return size


def tcp_pair() -> Pair:
    """Two ends of one TCP connection on this machine, that never block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def reset(sock: socket.socket) -> None:
    """Close so that the peer sees a reset: with a linger of nothing (socket(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class WaitContract:
    """`wait`, `unregister` and what wakes a task."""

    def test_data_wakes_a_reader(self, engine: Engine, pair: Pair) -> None:
        async def main() -> bytes:
            await engine.sleep(0)
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        assert engine.run(main()) == b"data"

    def test_room_wakes_a_writer_at_once(self, engine: Engine, pair: Pair) -> None:
        async def main() -> None:
            await engine.wait(pair[0].fileno(), WRITE)

        engine.run(main())

    def test_a_reader_sleeps_until_there_is_data(self, engine: Engine, pair: Pair) -> None:
        story: list[str] = []

        async def read(begun: Event) -> None:
            begun.set()
            await engine.wait(pair[0].fileno(), READ)
            story.append(pair[0].recv(9).decode())

        async def main() -> None:
            begun = engine.event()
            async with Group(engine) as group:
                group.start(read(begun))
                await begun.wait()
                await engine.sleep(SOON)
                story.append("nothing yet")
                pair[1].send(b"data")

        engine.run(main())
        assert story == ["nothing yet", "data"]

    def test_a_writer_sleeps_until_there_is_room(self, engine: Engine, pair: Pair) -> None:
        fill(pair[0].fileno())
        story: list[str] = []

        async def write(begun: Event) -> None:
            begun.set()
            await engine.wait(pair[0].fileno(), WRITE)
            pair[0].send(b"more")
            story.append("written")

        async def main() -> None:
            begun = engine.event()
            async with Group(engine) as group:
                group.start(write(begun))
                await begun.wait()
                await engine.sleep(SOON)
                story.append("full")
                drain(pair[1].fileno())

        engine.run(main())
        assert story == ["full", "written"]

    def test_many_messages_in_turn(self, engine: Engine, pair: Pair) -> None:
        async def answer() -> None:
            for _ in range(100):
                await engine.wait(pair[1].fileno(), READ)
                pair[1].send(pair[1].recv(9).upper())

        async def main() -> list[bytes]:
            answers = []
            async with Group(engine) as group:
                group.start(answer())
                for _ in range(100):
                    pair[0].send(b"a")
                    await engine.wait(pair[0].fileno(), READ)
                    answers.append(pair[0].recv(9))
            return answers

        assert engine.run(main()) == [b"A"] * 100

    def test_reader_and_writer_wait_together(self, engine: Engine, pair: Pair) -> None:
        """A reader and a writer of one descriptor wait at once."""
        fill(pair[0].fileno())
        story: list[str] = []

        async def wait(direction: int, word: str, begun: Event, woken: Event) -> None:
            begun.set()
            await engine.wait(pair[0].fileno(), direction)
            story.append(word)
            woken.set()

        async def main() -> None:
            begun, woken = [engine.event(), engine.event()], [engine.event(), engine.event()]
            async with Group(engine) as group:
                group.start(wait(READ, "read", begun[0], woken[0]))
                group.start(wait(WRITE, "written", begun[1], woken[1]))
                for event in begun:
                    await event.wait()
                pair[1].send(b"data")
                await woken[0].wait()
                drain(pair[1].fileno())
                await woken[1].wait()

        engine.run(main())
        assert story == ["read", "written"]

    def test_second_waiter_is_busy_error(self, engine: Engine, pair: Pair) -> None:
        """Of two waiters for one direction the second is reported."""
        outcome: list[str] = []

        async def contend() -> None:
            try:
                await engine.wait(pair[0].fileno(), READ)
            except BusyError as error:
                assert str(pair[0].fileno()) in str(error)
                outcome.append("busy")
                pair[1].send(b"for the first")
            else:
                outcome.append("woken")

        async def main() -> None:
            async with Group(engine) as group:
                group.start(contend())
                group.start(contend())

        engine.run(main())
        assert outcome == ["busy", "woken"]

    # Everything that a call would say is news.

    def test_the_end_is_news(self, engine: Engine, pair: Pair) -> None:
        async def main() -> bytes:
            pair[1].close()
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        assert engine.run(main()) == b""

    def test_a_reset_is_news_to_the_reader(self, engine: Engine) -> None:
        near, far = tcp_pair()

        async def hang_up() -> None:
            reset(far)

        async def main() -> None:
            async with Group(engine) as group:
                group.start(hang_up())
                await engine.wait(near.fileno(), READ)
            with pytest.raises(ConnectionResetError):
                near.recv(9)
            engine.unregister(near.fileno())

        engine.run(main())
        near.close()

    def test_a_reset_is_news_to_the_writer(self, engine: Engine) -> None:
        near, far = tcp_pair()
        fill(near.fileno())

        async def main() -> None:
            reset(far)
            await engine.wait(near.fileno(), WRITE)
            with pytest.raises(ConnectionResetError):
                near.send(b"more")
            engine.unregister(near.fileno())

        engine.run(main())
        near.close()

    def test_pipe_without_reader_wakes_writer(self, engine: Engine) -> None:
        """A pipe without reader is an event to the writer."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        fill(writer)

        async def main() -> None:
            os.close(reader)
            await engine.wait(writer, WRITE)
            with pytest.raises(BrokenPipeError):
                os.write(writer, b"more")
            engine.unregister(writer)

        engine.run(main())
        os.close(writer)

    def test_refused_connect_wakes_writer(self, engine: Engine) -> None:
        """A refused connection is an event to the writer."""
        with socket.socket() as place, socket.socket() as near:
            place.bind(("127.0.0.1", 0))  # taken, but not listened at
            near.setblocking(False)
            assert near.connect_ex(place.getsockname()) == errno.EINPROGRESS

            async def main() -> int:
                await engine.wait(near.fileno(), WRITE)
                engine.unregister(near.fileno())
                return near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            assert engine.run(main()) == errno.ECONNREFUSED

    def test_datagram_socket_survives_errors(self, engine: Engine) -> None:
        """Each error is news, and data after an error too."""
        near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        far.bind(("127.0.0.1", 0))
        name = far.getsockname()
        far.close()  # the number was free a moment ago, and is not listened at now
        near.connect(name)
        near.setblocking(False)

        async def main() -> list[object]:
            answers: list[object] = []
            for _ in range(3):
                near.send(b"?")
                await engine.wait(near.fileno(), READ)
                with pytest.raises(ConnectionRefusedError):
                    near.recv(9)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                late.bind(name)
                late.sendto(b"!", near.getsockname())
                await engine.wait(near.fileno(), READ)
                answers.append(near.recv(9))
            engine.unregister(near.fileno())
            return answers

        assert engine.run(main()) == [b"!"]
        near.close()

    def test_a_regular_file_is_ready_at_once(self, engine: Engine, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"data")

        async def main() -> None:
            with path.open("r+b") as file:
                for direction in (READ, WRITE, READ):
                    await engine.wait(file.fileno(), direction)
                engine.unregister(file.fileno())

        engine.run(main())

    def test_pending_readiness_is_kept(self, engine: Engine, pair: Pair) -> None:
        """An event that no one waited for is reported to the next who waits."""

        async def main() -> list[bytes]:
            received = []
            for _ in range(3):
                pair[1].send(b"a")
                await engine.wait(pair[0].fileno(), READ)
                pair[1].send(b"b")  # while no task waits
                await engine.sleep(SOON)
                received.append(pair[0].recv(9))
                pair[1].send(b"c")
                await engine.sleep(0)
                await engine.wait(pair[0].fileno(), READ)
                received.append(pair[0].recv(9))
            return received

        assert engine.run(main()) == [b"ab", b"c"] * 3

    # Deadlines.

    def test_a_deadline_ends_the_wait(self, engine: Engine, pair: Pair) -> None:
        async def main() -> None:
            for direction, ready in ((READ, pair[1]), (WRITE, pair[0])):
                if ready is pair[0]:
                    fill(pair[0].fileno())
                deadline = engine.now() + SOON
                with pytest.raises(DeadlineError):
                    await engine.wait(pair[0].fileno(), direction, deadline)
                assert engine.now() >= deadline

        engine.run(main())

    @pytest.mark.parametrize("back", [0.0, SOON, FAR, math.inf])
    def test_a_deadline_may_lie_in_the_past(self, engine: Engine, pair: Pair, back: float) -> None:
        async def main() -> None:
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, engine.now() - back)

        engine.run(main())

    @pytest.mark.parametrize("ahead", [FAR, 40 * 24 * 3600.0, 1e12, math.inf])
    def test_readiness_before_deadline(self, engine: Engine, pair: Pair, ahead: float) -> None:
        """However far the deadline lies: poll(2) itself takes less than 25 days."""

        async def write() -> None:
            pair[1].send(b"data")

        async def main() -> None:
            async with Group(engine) as group:
                group.start(write())
                await engine.wait(pair[0].fileno(), READ, engine.now() + ahead)

        engine.run(main())

    def test_wait_after_deadline_works(self, engine: Engine, pair: Pair) -> None:
        """After a deadline the next wait works."""

        async def main() -> bytes:
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, engine.now())
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        assert engine.run(main()) == b"data"

    def test_deadline_is_per_wait(self, engine: Engine, pair: Pair) -> None:
        """A deadline counts for its own wait only."""

        async def write_late(deadline: float) -> None:
            while engine.now() <= deadline:
                await engine.sleep(SOON)
            pair[1].send(b"late")

        async def main() -> bytes:
            deadline = engine.now() + SOON
            pair[1].send(b"early")
            await engine.wait(pair[0].fileno(), READ, deadline)
            pair[0].recv(9)
            async with Group(engine) as group:
                group.start(write_late(deadline))
                await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        assert engine.run(main()) == b"late"

    @pytest.mark.parametrize(("first", "second"), [(FAR, SOON), (SOON, 2 * SOON), (2 * SOON, SOON)])
    def test_each_wait_has_its_own_deadline(self, engine: Engine, pair: Pair, first: float, second: float) -> None:
        async def main() -> None:
            begin = engine.now()
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ, begin + first)
            pair[0].recv(9)
            with pytest.raises(DeadlineError):
                await engine.wait(pair[0].fileno(), READ, begin + second)
            assert begin + second <= engine.now() < begin + FAR

        engine.run(main())

    def test_a_timeout_of_none_is_no_deadline(self, engine: Engine) -> None:
        async def main() -> None:
            assert engine.deadline(None) is None
            before = engine.now()
            deadline = engine.deadline(5)
            assert deadline is not None
            assert before + 5 <= deadline <= engine.now() + 5

        engine.run(main())

    # Forget.

    @pytest.mark.parametrize("direction", [READ, WRITE])
    def test_unregister_wakes_the_waiter(self, engine: Engine, pair: Pair, direction: int) -> None:
        fill(pair[0].fileno())

        async def wait(woken: Event) -> None:
            await engine.wait(pair[0].fileno(), direction)
            woken.set()

        async def main() -> None:
            woken = engine.event()
            async with Group(engine) as group:
                group.start(wait(woken))
                while not woken.is_set():  # a thread may come to its wait later than we
                    engine.unregister(pair[0].fileno())
                    await engine.sleep(0)

        engine.run(main())

    def test_unregister_unknown_is_harmless(self, engine: Engine, pair: Pair) -> None:
        """Forget is harmless for an unknown or closed descriptor."""

        async def main() -> None:
            engine.unregister(pair[0].fileno())
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            number = pair[0].fileno()
            pair[0].close()
            engine.unregister(number)
            engine.unregister(number)

        engine.run(main())

    def test_descriptor_number_reused(self, engine: Engine, pair: Pair) -> None:
        """After forget and close; also with a deadline left over from the former one, and with either direction."""

        async def main() -> list[bytes]:
            number, received = pair[0].fileno(), []
            for count in range(10):
                near, far = socket.socketpair()
                with near, far:
                    os.dup2(near.fileno(), number)  # closes the former and takes its number
                    os.set_blocking(number, False)
                    await engine.wait(number, WRITE, engine.now() + FAR)
                    with pytest.raises(DeadlineError):
                        await engine.wait(number, READ, engine.now())
                    far.send(b"%d" % count)
                    await engine.wait(number, READ, engine.now() + FAR)
                    received.append(os.read(number, 9))
                    engine.unregister(number)
            return received

        assert engine.run(main()) == [b"%d" % count for count in range(10)]

    def test_unregister_with_event_pending(self, engine: Engine, pair: Pair) -> None:
        """Two descriptors are ready in one turn; the first task closes the other's, and takes its number."""
        if engine.blocks:
            pytest.skip(WITHOUT_TURNS)
        other = socket.socketpair()
        ends = [pair[0], other[0]]
        for end in ends:
            end.setblocking(False)
        story: list[str] = []

        async def live(mine: socket.socket, theirs: socket.socket) -> None:
            await engine.wait(mine.fileno(), READ)
            if not story:
                story.append("first")
                engine.unregister(theirs.fileno())
                os.dup2(mine.fileno(), theirs.fileno())
            else:
                story.append("second")

        async def main() -> None:
            async with Group(engine) as group:
                group.start(live(ends[0], ends[1]))
                group.start(live(ends[1], ends[0]))
                await engine.sleep(0)
                pair[1].send(b"a")
                other[1].send(b"b")
            for end in ends:
                engine.unregister(end.fileno())

        engine.run(main())
        for end in other:
            end.close()
        assert story == ["first", "second"]


class TimeContract:
    """`now`, `sleep` and events."""

    def test_the_clock_never_goes_back(self, engine: Engine) -> None:
        async def main() -> list[float]:
            moments = []
            for _ in range(100):
                moments.append(engine.now())
                await engine.sleep(0)
            return moments

        moments = engine.run(main())
        assert moments == sorted(moments)

    def test_sleepers_wake_in_order(self, engine: Engine) -> None:
        """Sleepers wake in the order of their moments.

        A sleep counts from its own beginning, so the steps are longer where a busy machine has spread the beginnings.
        """
        if engine.blocks:
            pytest.skip(WITHOUT_TURNS)

        async def sleepers(step: float) -> tuple[list[int], float]:
            story: list[int] = []
            begun: list[float] = []

            async def sleep(count: int) -> None:
                begun.append(engine.now())
                await engine.sleep(count * step)
                story.append(count)

            async with Group(engine) as group:
                for count in (3, 1, 2, 0):
                    group.start(sleep(count))
            return story, max(begun) - min(begun)

        async def main() -> None:
            for step in (5 * SOON, 50 * SOON, 500 * SOON):
                story, spread = await sleepers(step)
                if spread < step / 2:
                    break
            assert story == [0, 1, 2, 3]

        engine.run(main())

    @pytest.mark.parametrize("seconds", [0, -1, -math.inf])
    def test_a_sleep_of_nothing_returns(self, engine: Engine, seconds: float) -> None:
        async def main() -> None:
            await engine.sleep(seconds)

        engine.run(main())

    def test_sleep_zero_yields(self, engine: Engine) -> None:
        """A sleep of nothing lets the others have their turn."""
        if engine.blocks:
            pytest.skip(WITHOUT_TURNS)
        story: list[str] = []

        async def count(word: str) -> None:
            for _ in range(3):
                story.append(word)
                await engine.sleep(0)

        async def main() -> None:
            async with Group(engine) as group:
                group.start(count("a"))
                group.start(count("b"))

        engine.run(main())
        turns = [sorted(story[place : place + 2]) for place in (0, 2, 4)]
        assert turns == [["a", "b"]] * 3  # each once a turn; trio deals the order anew each time

    def test_busy_task_does_not_starve_others(self, engine: Engine, pair: Pair) -> None:
        """A busy task does not keep descriptors and moments waiting."""
        heard: list[str] = []

        async def spin(until: Callable[[], bool]) -> None:
            while not until():
                await engine.sleep(0)

        async def read() -> None:
            await engine.wait(pair[0].fileno(), READ)
            heard.append("data")

        async def sleep() -> None:
            await engine.sleep(SOON)
            heard.append("time")

        async def main() -> None:
            async with Group(engine) as group:
                group.start(spin(lambda: len(heard) == 2))
                group.start(read())
                group.start(sleep())
                pair[1].send(b"data")

        engine.run(main())
        assert sorted(heard) == ["data", "time"]


class EventContract:
    """Events: moments that several may wait for."""

    def test_an_event_wakes_all_who_wait(self, engine: Engine) -> None:
        woken: list[int] = []

        async def wait(event: Event, number: int) -> None:
            await event.wait()
            woken.append(number)

        async def main() -> None:
            event = engine.event()
            async with Group(engine) as group:
                for number in range(10):
                    group.start(wait(event, number))
                await engine.sleep(0)
                assert not event.is_set()
                event.set()
                assert event.is_set()
            event.set()  # harmless

        engine.run(main())
        assert sorted(woken) == list(range(10))

    def test_a_set_event_stays_set(self, engine: Engine) -> None:
        async def main() -> None:
            event = engine.event()
            event.set()
            await event.wait()
            await event.wait(deadline=engine.now() - 1)
            assert event.is_set()

        engine.run(main())

    def test_an_event_may_be_set_without_waiters(self, engine: Engine) -> None:
        async def main() -> bool:
            event = engine.event()
            event.set()
            return event.is_set()

        assert engine.run(main())

    @pytest.mark.parametrize("ahead", [SOON, 0.0, -FAR])
    def test_event_wait_deadline(self, engine: Engine, ahead: float) -> None:
        """A deadline ends the wait for an event."""

        async def main() -> None:
            event = engine.event()
            deadline = engine.now() + ahead
            with pytest.raises(DeadlineError):
                await event.wait(deadline=deadline)
            assert engine.now() >= deadline
            assert not event.is_set()
            event.set()
            await event.wait()

        engine.run(main())

    def test_event_before_deadline(self, engine: Engine) -> None:
        """An event before the deadline ends the wait."""

        async def wait(event: Event) -> None:
            await event.wait(deadline=engine.now() + math.inf)

        async def main() -> None:
            event = engine.event()
            async with Group(engine) as group:
                group.start(wait(event))
                await engine.sleep(0)
                event.set()

        engine.run(main())

    def test_one_waiter_times_out_alone(self, engine: Engine) -> None:
        """One waiter that gives up leaves the others waiting."""

        async def wait(event: Event) -> None:
            await event.wait()

        async def main() -> None:
            event = engine.event()
            async with Group(engine) as group:
                group.start(wait(event))
                with pytest.raises(DeadlineError):
                    await event.wait(deadline=engine.now() + SOON)
                assert len(group) == 1
                event.set()

        engine.run(main())


class CallContract:
    """Calls at a moment."""

    def test_calls_at_moments_in_order(self, engine: Engine) -> None:
        """Each call comes once, none before its moment, and in the order of the moments; a cancelled one never."""
        calls: list[tuple[str, float]] = []

        async def main() -> None:
            began = engine.now()
            timers = [
                engine.call_at(began + SOON * part, lambda name=name: calls.append((name, engine.now() - began)))
                for name, part in (("third", 3), ("first", 1), ("never", 2), ("past", -1))
            ]
            if timers[0] is None:
                pytest.skip("this engine makes no such calls")
            assert timers[2] is not None
            timers[2].cancel()
            timers[2].cancel()
            while len(calls) < 3:
                await engine.sleep(SOON)
            timers[0].cancel()

        engine.run(main())
        assert [name for name, _ in calls] == ["past", "first", "third"]
        assert [elapsed >= SOON * part for part, (_, elapsed) in zip((0, 1, 3), calls, strict=True)] == [True] * 3

    def test_a_call_that_fails_is_reported_and_ends_nothing(self, engine: Engine) -> None:
        """The engine goes on, and so do the other calls."""
        calls: list[int] = []
        reported: list[object] = []

        async def main() -> None:
            if engine.name in ("asyncio", "uvloop"):
                asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
            if engine.call_at(engine.now(), lambda: 1 / 0) is None:
                pytest.skip("this engine makes no such calls")
            engine.call_at(engine.now(), lambda: calls.append(1))
            while not calls:
                await engine.sleep(SOON)

        old, threading.excepthook = threading.excepthook, reported.append
        try:
            engine.run(main())
        finally:
            threading.excepthook = old
        assert len(reported) == 1
