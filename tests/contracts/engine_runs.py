"""What every engine promises about turns, threads, signals, and a run from its beginning to its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from contracts.engine_waits import FAR
from socketkit import engines
from socketkit.engines.condition import Condition
from socketkit.engines.engine import MAX_THREADS, READ, WRITE, Engine, Event
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, OptionError

Pair = tuple[socket.socket, socket.socket]


class MineError(Exception):
    """What a test raises; it can be referred to weakly, unlike the built-in ones."""


class Foreign:
    """An awaitable that only another loop could complete."""

    def __init__(self, word: object = "foreign") -> None:
        self._word = word

    def __await__(self) -> Generator[object, None, None]:
        yield self._word


@contextmanager
def signal_handler(engine: Engine, heard: Event) -> Iterator[None]:
    """SIGUSR1 sets an event."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: engine.from_thread(heard.set))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def open_descriptors() -> set[str]:
    """What this process has open."""
    return set(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@contextmanager
def reported_exceptions() -> Iterator[list[BaseException | None]]:
    """What is reported by `threading.excepthook` while the block runs."""
    reported: list[BaseException | None] = []
    before = threading.excepthook
    threading.excepthook = lambda arguments: reported.append(arguments.exc_value)
    try:
        yield reported
    finally:
        threading.excepthook = before


class TurnContract:
    """`call_soon`."""

    def test_soon_is_the_end_of_the_turn(self, engine: Engine) -> None:
        """After the tasks that run now have come to their waits; at once where there are no turns."""
        story: list[str] = []

        async def main() -> None:
            engine.call_soon(lambda: story.append("soon"))
            story.append("running")
            await engine.sleep(0)
            await engine.sleep(0)
            story.append("next turn")

        engine.run(main())
        assert story == (["soon", "running", "next turn"] if engine.blocks else ["running", "soon", "next turn"])

    def test_soon_keeps_the_order(self, engine: Engine, pair: Pair) -> None:
        """Also after a wait that was ended by news, and what is asked for inside comes too."""
        story: list[int] = []

        async def main() -> None:
            for turn in range(0, 30, 10):
                pair[1].send(b"a")
                await engine.wait(pair[0].fileno(), READ)
                pair[0].recv(9)
                engine.call_soon(lambda turn=turn: story.append(turn + 1))
                engine.call_soon(lambda turn=turn: engine.call_soon(lambda: story.append(turn + 3)))
                engine.call_soon(lambda turn=turn: story.append(turn + 2))
                for _ in range(3):
                    await engine.sleep(0)

        engine.run(main())
        within = [1, 3, 2] if engine.blocks else [1, 2, 3]
        assert story == [turn + step for turn in range(0, 30, 10) for step in within]

    def test_call_soon_once_per_turn(self, engine: Engine, pair: Pair) -> None:
        """What the hot path lives from: many sends of a turn, one callback, before anybody waits for the answer."""
        batch: list[int] = []

        async def main() -> bytes:
            engine.call_soon(lambda: pair[1].send(bytes(batch)))
            batch.extend([1, 2, 3])
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        if engine.blocks:
            batch.extend([1, 2, 3])
        assert engine.run(main()) == b"\1\2\3"

    def test_checkpoint_gives_the_turn_to_tasks_and_timers(self, engine: Engine, pair: Pair) -> None:
        """A task that never waits, but passes checkpoints, delays no other task, no descriptor and no timer."""

        async def wait_for_all(done: Event) -> None:
            await engine.sleep(0.001)
            await engine.wait(pair[0].fileno(), READ)
            done.set()

        async def main() -> None:
            done = engine.event()
            async with Group(engine) as group:
                group.start(wait_for_all(done))
                pair[1].send(b"data")
                while not done.is_set():
                    await engine.checkpoint()

        engine.run(main())

    def test_checkpoint_raises_a_cancellation(self, engine: Engine) -> None:
        """A task that passes nothing but checkpoints can be cancelled."""

        async def work(begun: Event) -> None:
            begun.set()
            while True:
                await engine.checkpoint()

        async def main() -> None:
            begun = engine.event()
            async with Group(engine) as group:
                group.start(work(begun))
                await begun.wait()
                group.cancel()

        engine.run(main())

    @pytest.mark.parametrize("way", ["call_soon", "from_thread"])
    def test_raising_callback_is_contained(self, engine: Engine, way: str) -> None:
        """An exception of a deferred callback is reported once; the callbacks behind it run, and the engine goes on."""
        story: list[str] = []

        def fail() -> None:
            raise MineError("of one callback")

        async def main() -> None:
            if engine.name in ("asyncio", "uvloop"):
                loop = asyncio.get_running_loop()
                loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
            defer = getattr(engine, way)
            defer(lambda: story.append("before"))
            defer(fail)
            defer(lambda: story.append("behind"))
            for _ in range(3):
                await engine.sleep(0)
            await engine.sleep(0.001)
            story.append("goes on")

        with reported_exceptions() as reported:
            engine.run(main())
        assert story == ["before", "behind", "goes on"]
        assert [str(error) for error in reported] == ["of one callback"]

    @pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
    def test_exit_in_callback_ends_the_run(self, engine: Engine, end: type[BaseException]) -> None:
        """KeyboardInterrupt and SystemExit are no faults of one connection."""
        if engine.name == "trio":
            pytest.skip("trio turns them into TrioInternalError")

        def fail() -> None:
            raise end

        async def main() -> None:
            engine.call_soon(fail)
            await engine.sleep(FAR)

        with pytest.raises(end):
            engine.run(main())

    def test_raising_task_is_contained(self, engine: Engine) -> None:
        """An exception that a task lets out is reported once; the other tasks go on."""

        async def fail(begun: Event) -> None:
            begun.set()
            raise MineError("of one task")

        async def main() -> None:
            if engine.name in ("asyncio", "uvloop"):
                loop = asyncio.get_running_loop()
                loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
            begun = engine.event()
            engine.start(fail(begun))
            await begun.wait()
            while not reported:
                await engine.sleep(0.001)

        with reported_exceptions() as reported:
            engine.run(main())
        assert [str(error) for error in reported] == ["of one task"]

    def test_nan_deadline_is_refused(self, engine: Engine, pair: Pair) -> None:
        """NaN as a deadline or a duration is an OptionError at every wait, and the other timers go on."""
        nan = float("nan")

        async def main() -> None:
            event = engine.event()
            for wait in (
                lambda: engine.wait(pair[0].fileno(), READ, nan),
                lambda: event.wait(deadline=nan),
                lambda: Condition(engine).wait_until(lambda: False, deadline=nan),
                lambda: engine.sleep(nan),
            ):
                with pytest.raises(OptionError, match="NaN is not a time"):
                    await wait()
            await engine.sleep(0.001)
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ, engine.now() + FAR)

        engine.run(main())

    @pytest.mark.parametrize("timeout", [float("nan"), -1, "soon", True])
    def test_bad_timeout_is_option_error(self, engine: Engine, timeout: object) -> None:
        """A wrong time is refused where it enters, so that no other timer of the engine is disturbed."""

        async def main() -> None:
            with pytest.raises(OptionError, match=r"^timeout: "):
                engine.deadline(timeout)  # type: ignore[arg-type]
            await engine.sleep(0.001)

        engine.run(main())

    def test_timeout_as_text(self, engine: Engine) -> None:
        """A time is taken as options take it; infinity is no limit."""

        async def main() -> None:
            before = engine.now()
            moment = engine.deadline("250ms")  # type: ignore[arg-type]
            assert moment is not None
            assert before + 0.25 <= moment <= engine.now() + 0.25
            assert engine.deadline(float("inf")) is None
            assert engine.deadline(None) is None

        engine.run(main())

    def test_soon_at_the_very_end_is_not_lost(self, engine: Engine) -> None:
        story: list[str] = []

        async def main() -> None:
            engine.call_soon(lambda: story.append("soon"))

        engine.run(main())
        assert story == ["soon"]


class ThreadContract:
    """`from_thread` and `run_in_thread`."""

    def test_calls_from_many_threads_all_come(self, engine: Engine) -> None:
        """In each thread's own order, and in the engine's thread."""
        calls: list[tuple[int, int, int]] = []

        async def main() -> None:
            done = engine.event()

            def call(thread: int, number: int) -> None:
                calls.append((thread, number, threading.get_ident()))
                if len(calls) == 8 * 200:
                    done.set()

            def work(thread: int) -> None:
                for number in range(200):
                    engine.from_thread(lambda number=number: call(thread, number))

            threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
            for thread in threads:
                thread.start()
            await done.wait(deadline=engine.now() + FAR)
            for thread in threads:
                thread.join()

        engine.run(main())
        for thread in range(8):
            assert [number for origin, number, _ in calls if origin == thread] == list(range(200))
        if not engine.blocks:
            assert {ident for _, _, ident in calls} == {threading.get_ident()}

    def test_from_thread_wakes_idle_engine(self, engine: Engine) -> None:
        """A thread wakes an engine that has nothing to do."""

        async def main() -> None:
            for _ in range(20):
                done = engine.event()
                thread = threading.Thread(target=engine.from_thread, args=(done.set,))
                thread.start()
                await done.wait()
                thread.join()

        engine.run(main())

    def test_a_signal_handler_may_call(self, engine: Engine) -> None:
        """While a task runs, and while the engine waits."""

        async def main() -> None:
            heard = engine.event()
            with signal_handler(engine, heard):
                signal.raise_signal(signal.SIGUSR1)
                await heard.wait()
            heard = engine.event()
            with signal_handler(engine, heard):
                me = threading.get_ident()
                thread = threading.Thread(target=lambda: signal.pthread_kill(me, signal.SIGUSR1))
                engine.call_soon(thread.start)
                await heard.wait()
                thread.join()

        engine.run(main())

    def test_aside_gives_the_result(self, engine: Engine) -> None:
        async def main() -> list[int]:
            return [
                await engine.run_in_thread(lambda: 42),
                await engine.run_in_thread(lambda: 43, deadline=engine.now() + FAR),
            ]

        assert engine.run(main()) == [42, 43]

    def test_aside_does_not_hold_up_the_others(self, engine: Engine) -> None:
        async def main() -> None:
            release = threading.Event()

            async def free() -> None:
                release.set()

            async with Group(engine) as group:
                group.start(free())
                await engine.run_in_thread(release.wait)

        engine.run(main())

    def test_run_in_thread_is_bounded(self, engine: Engine) -> None:
        """As many functions run as there may be threads; one more waits, until its deadline or until one has ended.
        Lookups have threads of their own."""
        release, running = threading.Event(), []

        def block() -> None:
            running.append(threading.get_ident())
            release.wait(FAR)

        async def main() -> None:
            far = engine.now() + FAR
            async with Group(engine) as group:
                for _ in range(MAX_THREADS):
                    group.start(engine.run_in_thread(block, deadline=far))
                while len(running) < MAX_THREADS:
                    await engine.sleep(0.001)
                with pytest.raises(DeadlineError):
                    await engine.run_in_thread(block, deadline=engine.now() + 0.01)
                assert len(running) == MAX_THREADS
                assert await engine.run_in_thread(lambda: 7, deadline=far, purpose="lookups") == 7
                release.set()
                assert await engine.run_in_thread(lambda: 8, deadline=far) == 8

        engine.run(main())
        assert len(running) == MAX_THREADS

    @pytest.mark.parametrize("kind", [MineError, OSError, KeyError, SystemExit])
    def test_run_in_thread_raises(self, engine: Engine, kind: type[BaseException]) -> None:
        """Aside raises what the function raised."""

        def fail() -> None:
            raise kind("mine")

        async def main() -> None:
            for deadline in (None, engine.now() + FAR):
                with pytest.raises(kind, match="mine"):
                    await engine.run_in_thread(fail, deadline=deadline)

        engine.run(main())

    def test_run_in_thread_late_thread_is_daemon(self, engine: Engine) -> None:
        """Aside leaves a late thread behind as a daemon."""
        release, seen = threading.Event(), list[threading.Thread]()

        def work() -> None:
            seen.append(threading.current_thread())
            release.wait()

        async def main() -> None:
            with pytest.raises(DeadlineError):
                await engine.run_in_thread(work, deadline=engine.now())
            # another one that comes late, after the engine's end
            with pytest.raises(DeadlineError):
                await engine.run_in_thread(release.wait, deadline=engine.now())

        engine.run(main())
        release.set()
        for thread in threading.enumerate():
            if thread.name == "socketkit run_in_thread":
                assert thread.daemon
                thread.join()

    def test_aside_frees_what_it_raised(self, engine: Engine, no_gc: None) -> None:
        def fail() -> None:
            raise MineError

        async def main() -> None:
            try:
                await engine.run_in_thread(fail, deadline=engine.now() + FAR)
            except MineError as error:
                caught = weakref.ref(error)
            for thread in threading.enumerate():
                if thread.name == "socketkit run_in_thread":
                    thread.join()
            assert caught() is None

        engine.run(main())


class RunContract:
    """`run`."""

    def test_the_result_is_returned(self, engine: Engine) -> None:
        async def main() -> str:
            return "result"

        assert engine.run(main()) == "result"

    @pytest.mark.parametrize("kind", [MineError, SystemExit, KeyboardInterrupt, ExceptionGroup])
    def test_the_exception_is_raised(self, engine: Engine, kind: type[BaseException]) -> None:
        error = ExceptionGroup("mine", [MineError()]) if kind is ExceptionGroup else kind("mine")

        async def main() -> None:
            await engine.sleep(0)
            raise error

        with pytest.raises(kind) as caught:
            engine.run(main())
        assert caught.value is error

    def test_run_cancels_and_joins_tasks(self, engine: Engine, pair: Pair) -> None:
        """Their clean-up may wait in peace, and start others that are ended as well."""
        story: list[str] = []

        async def late() -> None:
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                story.append("late")

        async def live(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                await engine.sleep(0)
                await engine.wait(pair[0].fileno(), WRITE)
                story.append("cleaned up")
                engine.start(late())

        async def main() -> str:
            begun = engine.event()
            engine.start(live(begun))
            await begun.wait()
            return "result"

        assert engine.run(main()) == "result"
        assert story == ["cleaned up", "late"]

    def test_many_leftover_tasks_end(self, engine: Engine) -> None:
        """The end of one does not disturb the clean-up of another."""
        count = 20
        cleaned: list[int] = []

        async def live(number: int, begun: Event) -> None:
            begun.set()
            try:
                await engine.event().wait()
            finally:
                for _ in range(number):
                    await engine.sleep(0)
                cleaned.append(number)

        async def main() -> None:
            for number in range(count):
                begun = engine.event()
                engine.start(live(number, begun))
                await begun.wait()

        engine.run(main())
        assert sorted(cleaned) == list(range(count))

    def test_an_interrupt_ends_all_tasks(self, engine: Engine, pair: Pair) -> None:
        """^C, while the engine waits."""
        story: list[str] = []

        async def live(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                story.append("task")

        async def main() -> None:
            begun = engine.event()
            me = threading.get_ident()
            async with Group(engine) as group:
                group.start(live(begun))
                await begun.wait()
                thread = threading.Thread(target=lambda: signal.pthread_kill(me, signal.SIGINT))
                try:
                    engine.call_soon(thread.start)
                    await engine.event().wait()
                finally:
                    story.append("main")

        with pytest.raises(KeyboardInterrupt):
            engine.run(main())
        assert sorted(story) == ["main", "task"]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_an_exit_in_a_task_ends_the_run(self, engine: Engine, kind: type[BaseException]) -> None:
        """Wherever the main task stands (where the engine blocks: when it comes to the end of the group)."""
        story: list[str] = []

        async def leave() -> None:
            await engine.sleep(0)
            raise kind("mine")

        async def main() -> None:
            try:
                async with Group(engine) as group:
                    group.start(leave())
                    if not engine.blocks:
                        await engine.event().wait()
            finally:
                story.append("main")

        with pytest.raises(kind):
            engine.run(main())
        assert story == ["main"]

    @pytest.mark.parametrize("word", ["foreign", None, 0, object()], ids=["object", "None", "zero", "plain"])
    def test_foreign_awaitable_refused(self, engine: Engine, word: object) -> None:
        """An awaitable of another loop is refused where it is awaited."""
        is_asyncio = engine.cancelled is asyncio.CancelledError

        async def main() -> str:
            if word is None and is_asyncio:  # there a bare yield is a turn passed
                await Foreign(word)
                return ""
            with pytest.raises((RuntimeError, TypeError)) as caught:  # TypeError: trio's own word for it
                await Foreign(word)
            await engine.sleep(0)
            return str(caught.value)

        message = engine.run(main())
        assert is_asyncio or (engine.name in message and "asyncio" in message)

    def test_running_engine_is_found(self, engine: Engine) -> None:
        """In its own thread, while it runs; the blocking engine is never the running one."""
        others: list[object] = []

        async def main() -> object:
            thread = threading.Thread(target=lambda: others.append(engines.running()))
            thread.start()
            thread.join()
            return engines.running()

        assert engine.run(main()) is (None if engine.blocks else engine)
        assert engines.running() is None
        assert others == [None]

    def test_it_runs_in_any_thread(self, engine: Engine, pair: Pair) -> None:
        results: list[bytes] = []

        async def main() -> bytes:
            await engine.sleep(0)
            pair[1].send(b"data")
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        thread = threading.Thread(target=lambda: results.append(engine.run(main())))
        thread.start()
        thread.join()
        assert results == [b"data"]

    def test_an_engine_runs_once(self, engine: Engine) -> None:
        if engine.blocks:
            pytest.skip("where the engine blocks it serves many threads, and runs as often as they like")

        async def main() -> None:
            pass

        engine.run(main())
        with pytest.raises(RuntimeError, match=r"runs once"):
            engine.run(main())
        with pytest.raises(RuntimeError):
            engine.from_thread(lambda: None)

    def test_no_descriptor_is_left_open(self, engine_name: str, pair: Pair) -> None:
        """Whatever was done: waits, events, threads, tasks that were left and cancelled."""

        async def live(engine: Engine) -> None:
            await engine.wait(pair[0].fileno(), READ)

        async def main(engine: Engine) -> None:
            engine.start(live(engine))
            async with Group(engine) as group:
                group.start(engine.sleep(0))
            with pytest.raises(DeadlineError):
                await engine.event().wait(deadline=engine.now())
            with pytest.raises(DeadlineError):
                await engine.wait(pair[1].fileno(), READ, engine.now())
            await engine.run_in_thread(lambda: None, deadline=engine.now() + FAR)
            for thread in threading.enumerate():
                if thread.name == "socketkit run_in_thread":
                    thread.join()

        engines.make(engine_name).run(main(engines.make("blocking")))  # what Python itself opens once
        gc.collect()  # engines of other tests, which would close their descriptors meanwhile
        before = open_descriptors()
        for _ in range(3):
            engine = engines.make(engine_name)
            engine.run(main(engine))
            del engine
        assert open_descriptors() == before

    def test_an_engine_tells_its_name(self, engine: Engine, engine_name: str) -> None:
        async def main() -> str:
            return repr(engine)

        assert engine.run(main()) == f"<{engine_name} engine>"
