"""What is shown in one turn leaves in one turn: for each guest in one piece, in its order, before its end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from socketkit import framing
from socketkit.apps.chat.decisions import Others, ShowLine
from socketkit.apps.chat.fanout import MAX_SIZE, Fanout
from socketkit.apps.chat.members import others_of
from socketkit.apps.chat.outlets import LineGuest, Outlet
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.streams.memory import MemoryStream, memory_pair
from support.clock import virtual_engine

COUNT = 30


class CountedStream(MemoryStream):
    """A stream that keeps each piece that it was given to send."""

    def __init__(self, near: MemoryStream) -> None:
        super().__init__(near.engine, near._incoming, near._outgoing, local=near.local, peer=near.peer)
        self.pieces: list[str] = []

    def send_now(self, data: bytes | memoryview) -> int:
        self.pieces.append(bytes(data).decode())
        return super().send_now(data)


class Room:
    """Guests at one fan-out."""

    def __init__(self, engine: Engine, count: int) -> None:
        self.engine = engine
        self.streams = [CountedStream(memory_pair(engine)[0]) for _ in range(count)]
        self.guests = [LineGuest(engine, Connection(each, framing.parse("chunks"))) for each in self.streams]
        self.outlets: dict[int, Outlet] = dict(enumerate(self.guests))
        self.fanout = Fanout(engine, self.outlets)

    async def end_turn(self) -> None:
        for _ in range(3):
            await self.engine.sleep(0)

    def texts(self) -> list[str]:
        return ["".join(each.pieces) for each in self.streams]


def in_room(count: int, scenario: Any) -> None:
    engine, _ = virtual_engine()

    async def run() -> None:
        await scenario(Room(engine, count))

    coroutine: Coroutine[Any, Any, None] = run()
    engine.run(coroutine)


def test_lines_of_many_writers_leave_together() -> None:
    """Of thirty that write in one turn each gets the lines of the others by one send, and not by twenty-nine."""

    async def scenario(room: Room) -> None:
        here = tuple(range(COUNT))
        for writer in here:
            room.fanout.show(ShowLine(others_of(here, writer), f"g{writer}: hi", None, None, writer), None)
        await room.end_turn()
        assert [len(each.pieces) for each in room.streams] == [1] * COUNT
        for number, text in enumerate(room.texts()):
            assert text.splitlines() == [f"g{writer}: hi" for writer in here if writer != number]

    in_room(COUNT, scenario)


def test_a_guest_is_disconnected_behind_its_last_line() -> None:
    async def scenario(room: Room) -> None:
        here = (0, 1, 2)
        room.fanout.show(ShowLine(here, "all"), None)
        room.fanout.show(ShowLine((1,), "goodbye"), None)
        room.fanout.disconnect(room.outlets.pop(1))
        room.fanout.show(ShowLine(here, "the others"), None)  # as it was decided before
        await room.guests[1].wait_disconnected()
        assert room.texts() == ["all\nthe others\n", "all\ngoodbye\n", "all\nthe others\n"]

    in_room(3, scenario)


def test_gathered_lines_are_bounded() -> None:
    """No more is gathered than what makes nobody a slow reader; what comes then leaves in the same turn."""

    async def scenario(room: Room) -> None:
        line = "x" * 1023
        for _ in range(MAX_SIZE // 1024 + 1):
            room.fanout.show(ShowLine((0, 1), line), None)
        assert sum(each.unsent_size for each in room.guests) + sum(map(len, room.texts())) == 2 * (MAX_SIZE + 1024)

    in_room(2, scenario)


def test_sending_leaves_time_for_other_work() -> None:
    """Where each turn has other work, sending to all takes half of the time; without other work nothing waits."""
    engine, clock = virtual_engine()

    async def run(work: float) -> int:
        room = Room(engine, 2)
        send_now = room.streams[0].send_now

        def slow(data: bytes | memoryview) -> int:
            clock.advance(0.010)  # so long does it take in a room of thousands
            return send_now(data)

        room.streams[0].send_now = slow  # type: ignore[method-assign]
        for number in range(200):
            room.fanout.show(ShowLine((0, 1), str(number)), None)
            clock.advance(work)
            await engine.sleep(0)
        await room.end_turn()
        assert room.texts() == ["".join(f"{number}\n" for number in range(200))] * 2
        return len(room.streams[0].pieces)

    async def both() -> None:
        assert await run(0.010) >= 195
        assert 45 <= await run(0.003) <= 55  # four turns of 3 ms to each 10 ms
        assert 15 <= await run(0.001) <= 25
        assert await run(0.0) >= 50  # each waits for a turn in which nothing is done

    engine.run(both())


SHOWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["room", "own", "some", "leaves"])), max_size=30)


@given(SHOWS)
@settings(max_examples=200, deadline=None)
def test_each_gets_its_lines_in_order(shows: list[tuple[int, str]]) -> None:
    """However lines to a room, to one and to some follow on each other, and whoever leaves between them."""

    async def scenario(room: Room) -> None:
        here, expected = tuple(range(4)), [""] * 4
        for count, (number, what) in enumerate(shows):
            members: tuple[int, ...] = {
                "room": others_of(here, number), "own": (number,), "some": tuple(range(number)), "leaves": ()
            }[what]  # fmt: skip
            if what == "leaves":
                if number in here:
                    here = tuple(each for each in here if each != number)
                    room.fanout.disconnect(room.outlets.pop(number))
                continue
            room.fanout.show(ShowLine(members, str(count)), None)
            for each in members:
                expected[each] += f"{count}\n" if each in room.outlets else ""
        await room.end_turn()
        assert room.texts() == expected

    in_room(4, scenario)


def test_others_of_a_room() -> None:
    here = (0, 5, 3)
    others = others_of(here, 5)
    assert (others, others.all_here, others.left_out) == ((0, 3), here, 5)
    assert isinstance(others, Others)
    nobody = others_of(here, -1)
    assert (nobody, nobody.all_here, nobody.left_out) == (here, here, None)
