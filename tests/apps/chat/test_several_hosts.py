"""Several hosts of one chat on real brokers: one order, unique names, a killed broker, a partition that heals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.chat.test_host import ENGINES, Nc, Room, hosting
from apps.chat.test_host_store import farewell_comes_last, reads_until
from socketkit.apps.chat.bus.memory_bus import MemoryBus, MemoryLog
from socketkit.apps.chat.bus.url import BusAddress
from socketkit.apps.chat.store import Store, read_messages
from support.brokers import broker, wire_to

BROKERS = ["redis", "nats"]


@contextlib.contextmanager
def two_hosts(first: str, second: str, **keywords: Any) -> Iterator[tuple[Room, Room]]:
    """Two hosts, each with its way to the bus."""
    with hosting(bus=BusAddress.parse(first).make(), name="Ann", **keywords) as one:
        with hosting(bus=BusAddress.parse(second).make(), name="Ben", **keywords) as other:
            yield one, other


class Guest(Nc):
    """A guest that may be shown a history or a notice before it has its name."""

    def __init__(self, room: Room, name: str) -> None:
        super().__init__(room)
        self.says(f"/name {name}")
        reads_until(self, f"you are {name} now")


def said(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("*")]


def told(room: Room, text: str) -> None:
    """Wait until the person at this host is told so."""
    while text not in room.person.sees():
        pass


@pytest.mark.parametrize("engine", ENGINES)
def test_two_hosts_in_one_process(engine: str) -> None:
    log = MemoryLog()
    with (
        hosting(engine, bus=MemoryBus(log), name="Ann") as one,
        hosting(engine, bus=MemoryBus(log), name="Ben") as other,
    ):
        with Guest(one, "Alice") as alice, Guest(other, "Bob") as bob:
            alice.says("hello")
            assert reads_until(bob, "hello")[-1] == "Alice: hello"
            bob.says("/me waves")
            assert reads_until(alice, "waves")[-1] == "~ Bob waves"
            bob.says("/who")
            assert set(reads_until(bob, "here:")[-1].removeprefix("* here: ").split(", ")) == {
                "Ann", "Ben", "Alice", "Bob (you)",
            }  # fmt: skip
            bob.says("/name Alice")
            assert "is here already" in reads_until(bob, "Alice")[-1]
            bob.says("/msg alice psst")
            assert reads_until(alice, "psst")[-1] == "Bob (private): psst"
            bob.says("/join tea")
            assert reads_until(alice, "left for")[-1] == "* Bob has left for tea"
            alice.says("/rooms")
            assert reads_until(alice, "rooms:")[-1] == "* rooms: lobby (3), tea (1)"
            alice.says("/join tea")
            assert reads_until(bob, "Alice has joined")
            alice.says("in the tea room")
            assert reads_until(bob, "tea room")[-1] == "Alice: in the tea room"
            other.person.types("/kick Alice")
            assert reads_until(alice, "removed")[-1] == "* goodbye: you were removed by Ann"
            assert reads_until(bob, "removed")[-1] == "* Alice was removed by Ann"
            bob.says("bye")
            assert bob.rest()[-1] == "* goodbye, Bob"


def test_farewell_behind_what_was_said() -> None:
    log = MemoryLog()
    with hosting(bus=MemoryBus(log), name="Ann") as one, hosting(bus=MemoryBus(log), name="Ben") as other:
        with Guest(other, "Watcher") as watcher:
            for _ in range(3):
                farewell_comes_last(one, watcher)


def test_names_are_unique_in_a_race() -> None:
    """Both ask for one name at once: one gets it."""
    log = MemoryLog()
    with hosting(bus=MemoryBus(log), name="Ann") as one, hosting(bus=MemoryBus(log), name="Ben") as other:
        with Nc(one) as first, Nc(other) as second:
            for number in range(5):
                for guest in (first, second):
                    guest.says(f"/name Same{number}")
                answers = [
                    next(line for line in iter(guest.reads, "") if f"Same{number}" in line and "is Same" not in line)
                    for guest in (first, second)
                ]
                assert sorted("you are" in answer for answer in answers) == [False, True], answers


def test_many_writers_wait_for_the_bus() -> None:
    """Several guests of one host that are faster than the bus: each goes on when it has caught up."""
    with hosting(bus=MemoryBus(MemoryLog()), name="Ann") as one, Guest(one, "Carol") as carol:
        with contextlib.ExitStack() as stack:
            writers = [stack.enter_context(Guest(one, f"W{number}")) for number in range(4)]
            for writer in writers:
                writer.says("\n".join(f"line {number}" for number in range(300)))
            lines: list[str] = []
            while len(lines) < 1200:
                lines += said([carol.reads()])
            for number in range(4):
                own = [line for line in lines if line.startswith(f"W{number}:")]
                assert own == [f"W{number}: line {each}" for each in range(300)]


@pytest.mark.parametrize("kind", BROKERS)
def test_one_order_on_a_broker(kind: str, tmp_path: Path) -> None:
    with broker(kind, tmp_path) as server, two_hosts(server.url(), server.url()) as (one, other):
        with (
            Guest(one, "Alice") as alice,
            Guest(other, "Bob") as bob,
            Guest(one, "Carol") as carol,
            Guest(other, "Dan") as dan,
        ):
            reads_until(carol, "is Dan now")
            for number in range(200):
                alice.says(f"a{number}")
                bob.says(f"b{number}")
            ends = [said(reads_until(guest, "b199")) for guest in (carol, dan)]
            for lines, guest in zip(ends, (carol, dan), strict=True):
                while len(lines) < 400:
                    lines += said([guest.reads()])
            assert ends[0] == ends[1]
            assert [line for line in ends[0] if line.startswith("Alice")] == [f"Alice: a{n}" for n in range(200)]


@pytest.mark.parametrize("kind", [*BROKERS, "forgetful-redis", "plain-nats"])
def test_broker_is_killed_and_restarted(kind: str, tmp_path: Path) -> None:
    """Each host goes on alone and says so; afterwards what was said meanwhile is delivered, once, in its order."""
    with broker(kind, tmp_path) as server, two_hosts(server.url(), server.url()) as (one, other):
        with Guest(one, "Alice") as alice, Guest(one, "Carol") as carol, Guest(other, "Bob") as bob:
            alice.says("before")
            reads_until(bob, "before")
            reads_until(carol, "before")
            server.kill()
            assert "cannot be reached" in reads_until(alice, "other hosts")[-1]
            told(other, "the bus is away")
            alice.says("alone one")
            alice.says("alone two")
            assert reads_until(carol, "alone two")[-2:] == ["Alice: alone one", "Alice: alone two"]
            bob.says("bob alone")
            bob.says("/msg Alice psst")
            assert "cannot be reached now" in reads_until(bob, "Alice is")[-1]
            server.start()
            lines = reads_until(bob, "alone two")
            assert said(lines) == ["Alice: alone one", "Alice: alone two"]
            assert any("reached again" in line for line in lines)
            assert said(reads_until(carol, "bob alone")) == ["Bob: bob alone"]
            bob.says("after")
            assert said(reads_until(alice, "after")) == ["Bob: bob alone", "Bob: after"]
            alice.says("after too")
            assert said(reads_until(bob, "after too")) == ["Alice: after too"]
            assert said(reads_until(carol, "after too")) == ["Bob: after", "Alice: after too"]


@pytest.mark.parametrize("kind", BROKERS)
def test_partition_heals(kind: str, tmp_path: Path) -> None:
    """One host is cut off without a word: both names that were taken meanwhile are unique again, nothing is lost."""
    with broker(kind, tmp_path) as server, wire_to(server.port) as wire:
        with two_hosts(server.url(), server.url(wire.port)) as (one, other):
            with Guest(one, "Alice") as alice, Guest(other, "Bob") as bob:
                wire.cut()
                bob.says("in the dark")
                reads_until(bob, "cannot be reached")
                alice.says("in the light")
                alice.says("/name Same")
                reads_until(alice, "you are Same")
                bob.says("/name Same")
                reads_until(bob, "you are Same")
                wire.heal()
                assert said(reads_until(bob, "in the light")) == ["Alice: in the light"]
                assert said(reads_until(alice, "in the dark")) == ["Bob: in the dark"]
                assert reads_until(bob, "you are Same2")[-1] == "* you are Same2 now"
                bob.says("again one")
                assert said(reads_until(alice, "again one")) == ["Same2: again one"]


def test_host_that_is_killed_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socketkit.apps.chat.bus.cluster.HOST_TIMEOUT", 4.0)
    monkeypatch.setattr("socketkit.apps.chat.bus.worker.PRESENT_TIME", 0.1)
    monkeypatch.setattr("socketkit.apps.chat.bus.worker.PRESENT_TIMEOUT", 1.5)
    log = MemoryLog()
    cut = MemoryBus(log)
    with hosting(bus=MemoryBus(log), name="Ann") as one, hosting(bus=cut, name="Ben") as other:
        with Guest(one, "Alice") as alice, Guest(other, "Bob") as bob:
            cut.is_cut = True
            assert reads_until(alice, "lost")[-1] in ("* Ben was lost", "* Bob was lost")
            alice.says("/name Bob")
            assert reads_until(alice, "you are Bob")
            cut.is_cut = False
            assert reads_until(bob, "you are Bob2")
            assert reads_until(alice, "Bob2")


def test_history_comes_from_the_bus(tmp_path: Path) -> None:
    """A host without a store that begins later shows what was said before."""
    log = MemoryLog()
    with hosting(bus=MemoryBus(log), name="Ann") as one, Guest(one, "Alice") as alice:
        alice.says("said before")
        alice.says("/who")
        reads_until(alice, "here:")
        with hosting(bus=MemoryBus(log), name="Ben") as other, Nc(other) as late:
            assert late.reads() == "* said here before:"
            assert late.reads().endswith("] Alice: said before")


def test_stores_have_no_gaps_and_no_doubles(tmp_path: Path) -> None:
    """A host that ends and begins again has in its store what was said elsewhere meanwhile."""
    log = MemoryLog()
    paths = [tmp_path / "one.db", tmp_path / "other.db"]
    stores = [Store(str(path)) for path in paths]
    with hosting(bus=MemoryBus(log), name="Ann", store=stores[0]) as one, Guest(one, "Alice") as alice:
        with hosting(bus=MemoryBus(log), name="Ben", store=stores[1]) as other, Guest(other, "Bob") as bob:
            alice.says("one")
            bob.says("two")
            reads_until(alice, "two")
            reads_until(bob, "one")
        assert stores[1].close() == 0
        alice.says("three")
        alice.says("/who")
        reads_until(alice, "here:")
        stores[1] = Store(str(paths[1]))
        with hosting(bus=MemoryBus(log), name="Ben", store=stores[1]) as other, Guest(other, "Bob") as bob:
            bob.says("four")
            reads_until(alice, "four")
    for store in stores:
        assert store.close() == 0
    one_texts, other_texts = ([each.text for each in read_messages(str(path))] for path in paths)
    assert one_texts == other_texts
    assert sorted(one_texts) == ["four", "one", "three", "two"]


def test_unsent_lines_survive_the_host(tmp_path: Path) -> None:
    """What was said while the bus was away is published by the next run, once."""
    log = MemoryLog()
    path = tmp_path / "one.db"
    store = Store(str(path))
    cut = MemoryBus(log)
    cut.is_cut = True
    with hosting(bus=cut, name="Ann", store=store) as one, Guest(one, "Alice") as alice:
        alice.says("unsent")
        alice.says("/who")
        reads_until(alice, "here:")
    assert store.close() == 0
    with hosting(bus=MemoryBus(log), name="Ben") as other, Guest(other, "Bob") as bob:
        for _ in range(2):
            store = Store(str(path))
            with hosting(bus=MemoryBus(log), name="Ann", store=store) as one, Guest(one, "Carol") as carol:
                carol.says("later")
                lines = said(reads_until(bob, "later"))
            assert store.close() == 0
            assert lines in (["Alice: unsent", "Carol: later"], ["Carol: later"])
    assert [each.text for each in read_messages(str(path))] == ["unsent", "later", "later"]
