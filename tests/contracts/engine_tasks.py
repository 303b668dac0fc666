"""What every engine promises about tasks: how they begin, end, are cancelled, and stay out of each other's way."""

from __future__ import annotations

import contextvars
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable

import pytest

from contracts.engine_waits import FAR, WITHOUT_TURNS, fill
from socketkit.engines.condition import Condition
from socketkit.engines.engine import READ, WRITE, Engine, Event
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError

Pair = tuple[socket.socket, socket.socket]
Place = Callable[[Engine, Pair], Awaitable[object]]


async def at_a_group(engine: Engine, pair: Pair) -> None:
    async def wait() -> None:
        await engine.wait(pair[0].fileno(), READ)

    async with Group(engine) as group:
        group.start(wait())


async def at_a_thread(engine: Engine, pair: Pair) -> None:
    release = threading.Event()
    try:
        await engine.run_in_thread(release.wait)
    finally:
        release.set()


PLACES: dict[str, Place] = {
    "reader": lambda engine, pair: engine.wait(pair[0].fileno(), READ),
    "writer": lambda engine, pair: engine.wait(pair[0].fileno(), WRITE),
    "reader with a deadline": lambda engine, pair: engine.wait(pair[0].fileno(), READ, engine.now() + FAR),
    "sleep": lambda engine, pair: engine.sleep(FAR),
    "event": lambda engine, pair: engine.event().wait(),
    "event with a deadline": lambda engine, pair: engine.event().wait(deadline=engine.now() + FAR),
    "condition": lambda engine, pair: Condition(engine).wait_until(lambda: False),
    "group": at_a_group,
    "run_in_thread": at_a_thread,
}
"""Every place where a task may stand."""

every_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


class CancelContract:
    """`Task.cancel`."""

    @every_place
    def test_cancel_in_every_wait(self, engine: Engine, pair: Pair, place: Place) -> None:
        """A task is cancelled wherever it waits and its next wait works."""
        fill(pair[0].fileno())
        story: list[str] = []

        async def live(begun: Event) -> None:
            begun.set()
            try:
                await place(engine, pair)
            except engine.cancelled:
                story.append("cancelled")
                pair[1].send(b"data")
                await engine.wait(pair[0].fileno(), READ, engine.now() + FAR)
                story.append(pair[0].recv(9).decode())
                raise

        async def main() -> None:
            begun = engine.event()
            async with Group(engine) as group:
                group.start(live(begun))
                await begun.wait()
                group.cancel()

        engine.run(main())
        assert story == ["cancelled", "data"]

    def test_cancelled_reader_leaves_data(self, engine: Engine, pair: Pair) -> None:
        """A cancelled reader leaves the data and the place to the next."""

        async def read(begun: Event, ended: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
                pair[0].recv(9)
            except engine.cancelled:
                pass
            ended.set()

        async def main() -> bytes:
            begun, ended = engine.event(), engine.event()
            task = engine.start(read(begun, ended))
            await begun.wait()
            task.cancel()
            pair[1].send(b"data")  # in the same turn
            await ended.wait()
            await engine.wait(pair[0].fileno(), READ)
            return pair[0].recv(9)

        assert engine.run(main()) == b"data"

    def test_task_starts_before_cancel(self, engine: Engine, pair: Pair) -> None:
        """So that its clean-up runs whatever happens; its first wait raises."""
        story: list[str] = []

        async def live(ended: Event) -> None:
            try:
                story.append("begun")
                await engine.wait(pair[0].fileno(), READ)
                story.append("not reached")
            finally:
                story.append("cleaned up")
                ended.set()

        async def main() -> None:
            ended = engine.event()
            task = engine.start(live(ended))
            task.cancel()
            task.cancel()
            await ended.wait()

        engine.run(main())
        assert story == ["begun", "cleaned up"]

    def test_twice_cancelled_is_cancelled_once(self, engine: Engine, pair: Pair) -> None:
        """The clean-up may wait in peace."""
        if engine.blocks:
            pytest.skip(WITHOUT_TURNS)  # the first may have struck before the second comes
        story: list[str] = []

        async def live(begun: Event, ended: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            except engine.cancelled:
                await engine.sleep(0)
                await engine.wait(pair[0].fileno(), WRITE)
                story.append("cleaned up")
            ended.set()

        async def main() -> None:
            begun, ended = engine.event(), engine.event()
            task = engine.start(live(begun, ended))
            await begun.wait()
            task.cancel()
            task.cancel()
            await ended.wait()

        engine.run(main())
        assert story == ["cleaned up"]

    def test_cancel_ended_task_is_harmless(self, engine: Engine) -> None:
        """To cancel a task that has ended is harmless."""

        async def end(ended: Event) -> None:
            ended.set()

        async def main() -> None:
            ended = engine.event()
            task = engine.start(end(ended))
            await ended.wait()
            await engine.sleep(0)
            task.cancel()
            task.cancel()
            await engine.sleep(0)

        engine.run(main())

    def test_cancel_raised_at_next_wait_once(self, engine: Engine, pair: Pair) -> None:
        """A running task receives of it at its next wait and once."""
        story: list[str] = []

        async def live(group: Group) -> None:
            group.cancel()  # itself
            story.append("still running")
            with pytest.raises(engine.cancelled):
                await engine.wait(pair[0].fileno(), WRITE)
            await engine.wait(pair[0].fileno(), WRITE)
            story.append("waits again")

        async def main() -> None:
            async with Group(engine) as group:
                begun = engine.event()

                async def begin() -> None:
                    await begun.wait()
                    await live(group)

                group.start(begin())
                begun.set()

        engine.run(main())
        assert story == ["still running", "waits again"]

    def test_cancelled_task_may_just_end(self, engine: Engine) -> None:
        """A task that was cancelled and never waits again just ends."""
        ended: list[bool] = []

        async def live(group: Group) -> None:
            await engine.sleep(0)
            group.cancel()
            ended.append(True)

        async def main() -> None:
            async with Group(engine) as group:
                group.start(live(group))

        engine.run(main())
        assert ended

    def test_a_cancelled_task_is_freed_at_once(self, engine: Engine, pair: Pair, no_gc: None) -> None:
        """With everything that it held, and with its exception: nothing is left in a circle."""
        held: list[weakref.ref[object]] = []

        class Thing:
            pass

        async def live(begun: Event) -> None:
            thing = Thing()
            held.append(weakref.ref(thing))
            begun.set()
            await engine.wait(pair[0].fileno(), READ, engine.now() + FAR)

        async def main() -> None:
            begun = engine.event()
            async with Group(engine) as group:
                group.start(live(begun))
                await begun.wait()
                group.cancel()
            for _ in range(3):
                await engine.sleep(0)
            if not engine.blocks:  # a thread is freed when the system has ended it
                assert held[0]() is None

        engine.run(main())


class TaskContract:
    """`start` and `background`."""

    def test_a_task_runs_beside_its_starter(self, engine: Engine) -> None:
        async def live(here: Event, there: Event) -> None:
            here.set()
            await there.wait()

        async def main() -> None:
            here, there = engine.event(), engine.event()
            engine.start(live(here, there))
            await here.wait()
            there.set()

        engine.run(main())

    def test_task_copies_context(self, engine: Engine) -> None:
        """A task has a copy of its starters context."""
        variable = contextvars.ContextVar("variable", default="nobody's")
        seen: list[str] = []

        async def live(word: str) -> None:
            seen.append(variable.get())
            variable.set(word)
            for _ in range(3):
                await engine.sleep(0)
                seen.append(variable.get())

        async def main() -> None:
            variable.set("main's")
            async with Group(engine) as group:
                group.start(live("a"))
                group.start(live("b"))
                await engine.sleep(0)
                variable.set("changed")
            assert variable.get() == "changed"

        engine.run(main())
        assert sorted(seen) == ["a"] * 3 + ["b"] * 3 + ["main's"] * 2

    def test_background_outlives_starter(self, engine: Engine, pair: Pair) -> None:
        """In a task that was cancelled too."""

        async def send_last_data(ended: Event) -> None:
            await engine.sleep(0)
            await engine.wait(pair[0].fileno(), WRITE)
            pair[0].send(b"last data")
            ended.set()

        async def live(begun: Event, ended: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                engine.background(send_last_data(ended))

        async def main() -> bytes:
            begun, ended = engine.event(), engine.event()
            async with Group(engine) as group:
                group.start(live(begun, ended))
                await begun.wait()
                group.cancel()
                group.cancel()
            await ended.wait()
            return pair[1].recv(9)

        assert engine.run(main()) == b"last data"

    def test_background_runs_inline_when_blocking(self, engine: Engine) -> None:
        """Where the engine blocks the background is here and now."""
        story: list[str] = []

        async def live(ended: Event) -> None:
            await engine.sleep(0)
            story.append("background")
            ended.set()

        async def main() -> None:
            ended = engine.event()
            engine.background(live(ended))
            story.append("starter")
            await ended.wait()

        engine.run(main())
        assert story == (["background", "starter"] if engine.blocks else ["starter", "background"])


class GroupContract:
    """`Group`: tasks that are joined and cancelled as one."""

    def test_the_block_ends_after_its_tasks(self, engine: Engine) -> None:
        story: list[str] = []

        async def live(event: Event) -> None:
            await event.wait()
            await engine.sleep(0)
            story.append("task")

        async def main() -> None:
            event = engine.event()
            async with Group(engine) as group:
                group.start(live(event))
                group.start(live(event))
                assert len(group) == 2
                event.set()
            assert len(group) == 0
            story.append("block")

        engine.run(main())
        assert story == ["task", "task", "block"]

    def test_an_empty_group_ends_at_once(self, engine: Engine) -> None:
        async def main() -> None:
            async with Group(engine) as group:
                pass
            await group.join()
            await group.join(deadline=engine.now() - 1)

        engine.run(main())

    def test_task_starts_sibling(self, engine: Engine) -> None:
        """A task may start another in the same group."""
        seen: list[int] = []

        async def live(group: Group, depth: int) -> None:
            await engine.sleep(0)
            seen.append(depth)
            if depth:
                group.start(live(group, depth - 1))

        async def main() -> None:
            async with Group(engine) as group:
                group.start(live(group, 5))

        engine.run(main())
        assert seen == [5, 4, 3, 2, 1, 0]

    def test_failing_task_cancels_group(self, engine: Engine, pair: Pair) -> None:
        """A failing task cancels the others and is raised."""
        story: list[str] = []

        async def fail(begun: Event) -> None:
            await begun.wait()
            raise LookupError("mine")

        async def wait(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            except engine.cancelled:
                story.append("cancelled")
                raise

        async def main() -> None:
            begun = engine.event()
            with pytest.raises(LookupError, match="mine"):
                async with Group(engine) as group:
                    group.start(wait(begun))
                    group.start(fail(begun))
            assert not group.start(wait(begun))

        engine.run(main())
        assert story == ["cancelled"]

    def test_failures_form_a_group(self, engine: Engine, pair: Pair) -> None:
        """Several failures are raised together."""

        async def fail_twice(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            except engine.cancelled:
                raise ValueError("in the clean-up") from None

        async def fail(begun: Event) -> None:
            await begun.wait()
            raise LookupError("first")

        async def main() -> list[str]:
            begun = engine.event()
            with pytest.raises(ExceptionGroup) as caught:
                async with Group(engine) as group:
                    group.start(fail_twice(begun))
                    group.start(fail(begun))
            return [str(error) for error in caught.value.exceptions]

        assert engine.run(main()) == ["first", "in the clean-up"]

    def test_failing_block_cancels_tasks(self, engine: Engine, pair: Pair) -> None:
        """A failing block cancels its tasks and its own exception goes on."""
        story: list[str] = []

        async def wait(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                story.append("cancelled")
                raise ValueError("not this one")

        async def main() -> None:
            begun = engine.event()
            with pytest.raises(LookupError, match="mine"):
                async with Group(engine) as group:
                    group.start(wait(begun))
                    await begun.wait()
                    raise LookupError("mine")

        engine.run(main())
        assert story == ["cancelled"]

    def test_cancelled_block_leaves_no_task(self, engine: Engine, pair: Pair) -> None:
        """A cancelled block leaves no task behind however often."""
        if engine.blocks:
            pytest.skip(WITHOUT_TURNS)
        story: list[str] = []

        async def clean_up(begun: Event, release: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                await release.wait()
                story.append("task")

        async def live(begun: Event, release: Event) -> None:
            try:
                async with Group(engine) as group:
                    group.start(clean_up(begun, release))
            finally:
                story.append("block")

        async def main() -> None:
            begun, release = engine.event(), engine.event()
            async with Group(engine) as outer:
                outer.start(live(begun, release))
                await begun.wait()
                for _ in range(3):
                    outer.cancel()
                    for _ in range(5):
                        await engine.sleep(0)
                release.set()

        engine.run(main())
        assert story == ["task", "block"]

    def test_cancelled_group_starts_nothing(self, engine: Engine) -> None:
        """A cancelled group starts nothing any more."""
        ran: list[bool] = []

        async def live() -> None:
            ran.append(True)

        async def main() -> None:
            group = Group(engine)
            group.cancel()
            assert group.start(live()) is False
            await group.join()
            assert Group(engine).start(live()) is True

        engine.run(main())
        assert len(ran) <= 1

    def test_immediately_cancelled_group_ends(self, engine: Engine, pair: Pair) -> None:
        """Before its tasks have run a single line."""
        cleaned: list[int] = []

        async def live(number: int) -> None:
            try:
                await engine.wait(pair[number].fileno(), READ)
            finally:
                cleaned.append(number)

        async def main() -> None:
            async with Group(engine) as group:
                group.start(live(0))
                group.start(live(1))
                group.cancel()

        engine.run(main())
        assert sorted(cleaned) == [0, 1]

    def test_join_deadline_keeps_tasks(self, engine: Engine) -> None:
        """Join has a deadline and the tasks run on."""

        async def live(event: Event) -> None:
            await event.wait()

        async def main() -> None:
            event, group = engine.event(), Group(engine)
            group.start(live(event))
            with pytest.raises(DeadlineError):
                await group.join(deadline=engine.now())
            assert len(group) == 1
            event.set()
            await group.join(deadline=engine.now() + FAR)

        engine.run(main())

    def test_groups_nest(self, engine: Engine, pair: Pair) -> None:
        """A failure deep inside ends everything around it, layer by layer."""
        story: list[str] = []

        async def fail(begun: Event) -> None:
            await begun.wait()
            raise LookupError("deep")

        async def inner(begun: Event) -> None:
            try:
                async with Group(engine) as group:
                    group.start(fail(begun))
            finally:
                story.append("inner")

        async def wait(begun: Event) -> None:
            begun.set()
            try:
                await engine.wait(pair[0].fileno(), READ)
            finally:
                story.append("beside")

        async def main() -> None:
            begun = engine.event()
            with pytest.raises(LookupError, match="deep"):
                async with Group(engine) as group:
                    group.start(inner(begun))
                    group.start(wait(begun))

        engine.run(main())
        assert story == ["inner", "beside"]

    def test_many_tasks(self, engine: Engine) -> None:
        count = 50 if engine.blocks else 1000
        ended: list[int] = []

        async def live(number: int, event: Event) -> None:
            await event.wait()
            ended.append(number)

        async def main() -> None:
            event = engine.event()
            async with Group(engine) as group:
                for number in range(count):
                    group.start(live(number, event))
                event.set()

        engine.run(main())
        assert sorted(ended) == list(range(count))

    @pytest.mark.parametrize("failures", [1, 2])
    def test_failure_is_freed_after_catch(self, engine: Engine, no_gc: None, failures: int) -> None:
        """Nothing is left in a circle of exception, frame and group."""

        class MineError(Exception):
            pass

        async def fail() -> None:
            raise MineError

        async def main() -> None:
            try:
                async with Group(engine) as group:
                    for _ in range(failures):
                        group.start(fail())
            except (MineError, ExceptionGroup) as error:
                caught = weakref.ref(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
            for _ in range(3):
                await engine.sleep(0)
            assert caught() is None

        engine.run(main())
