"""Every sequence of events of three hosts: one order, nothing twice, nothing lost; partitions, crashes, a lost log."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from socketkit.apps.chat.bus.bus import Entry
from socketkit.apps.chat.bus.cluster import Cluster
from socketkit.apps.chat.bus.origin import Origin, State
from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, ShowLine
from socketkit.apps.chat.hub import Hub
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.message import Message

HOSTS = 3
HOST_NUMBERS = st.integers(0, HOSTS - 1)
MEMBERS = st.integers(0, 3)
ROOMS = st.sampled_from(["lobby", "tea", "coffee"])
EVENTS = st.one_of(
    st.tuples(st.just("join"), HOST_NUMBERS),
    st.tuples(st.just("leave"), HOST_NUMBERS, MEMBERS),
    st.tuples(st.just("say"), HOST_NUMBERS, MEMBERS),
    st.tuples(st.just("say"), HOST_NUMBERS, MEMBERS),
    st.tuples(st.just("say"), HOST_NUMBERS, MEMBERS),
    st.tuples(st.just("act"), HOST_NUMBERS, MEMBERS),
    st.tuples(st.just("private"), HOST_NUMBERS, MEMBERS, st.integers(0, 20)),
    st.tuples(st.just("enter"), HOST_NUMBERS, MEMBERS, ROOMS),
    st.tuples(st.just("rename"), HOST_NUMBERS, MEMBERS, st.sampled_from(["Alice", "Bob", "alice", "Аlice"])),
    st.tuples(st.just("kick"), HOST_NUMBERS, st.integers(0, 20)),
    st.tuples(st.just("publish"), HOST_NUMBERS),
    st.tuples(st.just("read"), HOST_NUMBERS),
    st.tuples(st.just("read"), HOST_NUMBERS),
    st.tuples(st.just("cut"), HOST_NUMBERS, st.booleans()),
    st.tuples(st.just("heal"), HOST_NUMBERS),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 2.0, 5.0, 20.0])),
    st.tuples(st.just("crash"), HOST_NUMBERS),
    st.tuples(st.just("forget")),
)


class Seen:
    """What one member has seen."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []  # the token, the room, whether it came by the log


class Log:
    """The log of the bus, and its generation; or a bus that keeps nothing: a queue for each host that is linked."""

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.entries: list[bytes] = []
        self.generation = 0
        self.queues: dict[int, list[bytes]] = {}

    def append(self, entry: bytes) -> None:
        if self.keeps:
            self.entries.append(entry)
        for queue in self.queues.values():
            queue.append(entry)

    def read(self, position: str) -> tuple[list[Entry], bool]:
        """The entries behind a position, and whether it is still there."""
        generation, _, number = position.partition("-")
        is_there = not position or (int(generation) == self.generation and int(number) < len(self.entries))
        start = int(number) + 1 if position and is_there else 0
        added = enumerate(self.entries[start:], start)
        return [Entry(f"{self.generation}-{index}", data) for index, data in added], is_there


class Node:
    """A host: its cluster and hub, what its store has kept, and what its members have seen."""

    def __init__(self, number: int, log: Log, world: World) -> None:
        self.number = number
        self.log = log
        self.world = world
        self.kept: list[Message] = []
        self.origins: list[tuple[Message, Origin]] = []
        self.runs = 0
        self.is_linked = False
        self.seen: dict[int, Seen] = {}
        self.notices: list[str] = []
        self.past: list[dict[int, Seen]] = []
        self.in_flight: list[bytes] = []
        self.start()

    def state(self) -> State:
        """What a store has of the bus, as `store._write_origins` keeps it."""
        numbers: dict[str, int] = {}
        counts: dict[str, int] = {}
        position = ""
        unsent: dict[tuple[str, int], tuple[Origin, Message]] = {}
        for message, origin in self.origins:
            if origin.is_unsent:
                unsent[origin.host, origin.number] = (origin, message)
                continue
            numbers[origin.host], counts[origin.host] = origin.number, origin.count
            position = position if origin.position is None else origin.position
            for key in [key for key in unsent if key[0] == origin.host and key[1] <= origin.number]:
                del unsent[key]
        return State(
            position, numbers, counts, tuple(unsent.values()), f"h{self.number}r{self.runs - 1}" * (self.runs > 0)
        )

    def start(self) -> None:
        self.hub = Hub(limits=Limits(max_guests=3, history_count=1000), earlier=self.kept, next_id=len(self.kept) + 1)
        state = self.state()
        members, heard = self.hub.members, self.hub.members.heard

        def heard_in_room(*said: Any) -> ShowLine:
            shown = heard(*said)
            assert shown.message is not None
            for member in shown.members:
                assert member == HOST or members.by_number[member].room == shown.message.room
            return shown

        self.hub.members.heard = heard_in_room  # type: ignore[method-assign]
        self.cluster = Cluster(self.hub, f"h{self.number}r{self.runs}", self.world.now, state=state)
        self.runs += 1
        self.position = state.position
        self.past.append(self.seen)
        self.seen = {}
        self.carry_out([])

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, ShowLine):
                if decision.message is not None:
                    origin = self.cluster.origins.pop(decision.message.id)
                    assert decision.message.id == len(self.kept) + 1
                    self.kept.append(decision.message)
                    self.origins.append((decision.message, origin))
                    is_from_log = not origin.is_unsent
                assert len(set(decision.members)) == len(decision.members)
                for member in decision.members:
                    if member != HOST and decision.message is not None:
                        self.seen.setdefault(member, Seen()).lines.append(
                            (decision.message.text, decision.message.room, is_from_log)
                        )
                    self.world.notices.append(decision.line)
                if decision.message is None and HOST in decision.members:
                    self.notices.append(decision.line)
            elif isinstance(decision, Disconnect):
                self.world.check_gone(self, decision.member)

    def publish(self) -> None:
        """The worker takes an entry; it may be appended now, or lost with the link."""
        if self.is_linked and (entry := self.cluster.next_entry()) is not None:
            self.log.append(entry)

    def read(self) -> None:
        if not self.is_linked:
            return
        if not self.log.keeps:
            live = [Entry("live", entry) for entry in self.log.queues[self.number]]
            self.log.queues[self.number].clear()
            self.carry_out(self.cluster.entries(live, self.world.now))
            return
        entries, is_there = self.log.read(self.position)
        if not is_there:  # found out when it connects anew
            self.cut(False)
            self.heal()
            return
        if entries:
            self.position = entries[-1].id
            self.carry_out(self.cluster.entries(entries, self.world.now))

    def cut(self, is_published: bool) -> None:
        """The link is lost; an entry on its way may have arrived."""
        if self.is_linked:
            if is_published:
                self.publish()
            self.is_linked = False
            self.log.queues.pop(self.number, None)
            self.carry_out(self.cluster.unlinked("cut", self.world.now))

    def heal(self) -> None:
        if self.is_linked:
            return
        is_there = self.log.read(self.position)[1] if self.log.keeps else not self.cluster.position
        if not is_there:
            self.position = ""
        self.is_linked = True
        if not self.log.keeps:
            self.log.queues[self.number] = []
        self.carry_out(self.cluster.linked(is_there, self.log.keeps, self.world.now))

    def tick(self) -> None:
        self.carry_out(self.cluster.tick(self.world.now))
        if self.cluster.is_stuck:
            self.cluster.is_stuck = False
            self.cut(False)
            self.heal()


class World:
    def __init__(self, *, keeps: bool = True) -> None:
        self.now = 1000.0
        self.count = 0
        self.said: dict[str, str] = {}
        self.leaving: set[tuple[str, int]] = set()
        self.refused: set[str] = set()
        self.notices: list[str] = []
        self.log = Log(keeps)
        self.has_lost = False
        self.nodes = [Node(number, self.log, self) for number in range(HOSTS)]
        for node in self.nodes:
            node.heal()
        self.settle()

    def check_gone(self, node: Node, member: int) -> None:
        assert not node.hub.is_here(member)

    def do(self, event: tuple[object, ...]) -> None:
        what, *rest = event
        self.now += 0.001
        if what == "time":
            assert isinstance(rest[0], float)
            self.now += rest[0]
            for node in self.nodes:
                if node.is_linked:
                    for other in self.nodes:
                        if other.is_linked:
                            other.cluster.present([node.cluster.host], self.now)
                node.tick()
            return
        if what == "forget":
            self.log.entries.clear()
            self.log.generation += 1
            for node in self.nodes:  # the connections to the broker are lost with it
                node.cut(False)
                node.heal()
            return
        assert isinstance(rest[0], int)
        node = self.nodes[rest[0]]
        if what == "crash":
            node.is_linked = False
            self.log.queues.pop(node.number, None)
            node.start()
            node.heal()
        elif what == "join":
            _, decisions = node.hub.join("", self.now, 1.0)
            node.carry_out(node.cluster.absorb(decisions, self.now))
        elif what in ("publish", "read", "heal"):
            getattr(node, what)()
        elif what == "cut":
            node.cut(bool(rest[1]))
        elif what == "kick":
            names = [place[0] for other in self.nodes for place in other.hub.members.elsewhere.by_key.values()]
            name = names[int(str(rest[1])) % len(names)] if names else "nobody"
            self.write(node, HOST, f"/kick {name}")
        elif what == "leave":
            if (member := self.member_of(node, rest[1])) is not None and member != HOST:
                self.leaving.add((node.cluster.host, member))
                node.carry_out(node.cluster.leave(member, "{name} has left", self.now))
        else:
            self.act(node, str(what), rest[1:])

    def member_of(self, node: Node, number: object) -> int | None:
        members = [each for each in node.hub.members.by_number if (node.cluster.host, each) not in self.leaving]
        assert isinstance(number, int)
        return members[number % len(members)] if members else None

    def act(self, node: Node, what: str, rest: list[object]) -> None:
        member = self.member_of(node, rest[0])
        if member is None:
            return
        if what in ("say", "act"):
            self.count += 1
            token = f"token{self.count}"
            self.said[token] = f"{node.cluster.host}/{member}"
            self.write(node, member, f"{'/me ' if what == 'act' else ''}{token}")
        elif what == "private":
            names = [name for other in self.nodes for name in other.hub.names]
            assert isinstance(rest[1], int)
            self.write(node, member, f"/msg {names[rest[1] % len(names)]} psst")
        elif what == "enter":
            self.write(node, member, f"/join {rest[1]}")
        else:
            self.write(node, member, f"/name {rest[1]}")

    def write(self, node: Node, member: int, line: str) -> None:
        node.carry_out(node.cluster.receive(member, line.encode(), self.now, 1.0))

    def settle(self) -> None:
        """All are linked, and nothing is on its way."""
        for node in self.nodes:
            node.heal()
        for seconds in [0.1] * 30 + [1.0] * 18 + [0.1] * 10:  # so long that a host which was killed is missed
            self.now += seconds
            for node in self.nodes:
                for other in self.nodes:
                    other.cluster.present([node.cluster.host], self.now)
                node.publish()
                node.read()
                node.tick()
        assert all(node.cluster.is_together for node in self.nodes)
        assert not any(len(node.cluster.outbox) for node in self.nodes)


SHOWN_THEN_REPEATED: list[tuple[object, ...]] = [
    ("say", 0, 0), ("publish", 0), ("read", 0), ("publish", 0), ("read", 0), ("forget",), ("time", 2.0),
]  # fmt: skip
"""What was shown waits a second time for a bus that lost it: too long."""


@given(st.lists(EVENTS, max_size=60))
@example(SHOWN_THEN_REPEATED)
@settings(max_examples=60, deadline=None)
def test_several_hosts(events: list[tuple[object, ...]]) -> None:
    """Whatever happens, once all are connected again: each line is in each host's store, once; what came by the log is
    in one order at all hosts; nobody was shown a line twice or of another room; names are unique."""
    world = World()
    for event in [("join", 0), ("join", 1), ("join", 2), *events]:
        world.do(event)
    world.settle()
    crashed = any(event[0] == "crash" for event in events)
    for node in world.nodes:
        texts = Counter(message.text for message in node.kept)
        assert all(count == 1 for count in texts.values()), texts
        if not crashed:
            assert set(texts) == set(world.said)
        for seen in [*node.past, node.seen]:
            for each in seen.values():
                tokens = [token for token, _, _ in each.lines]
                assert len(set(tokens)) == len(tokens)
    if crashed and any(event[0] == "forget" for event in events):
        return  # a bus that forgets and a host that is killed together may lose what only they had
    everywhere = set.intersection(*[{message.text for message in node.kept} for node in world.nodes])
    for node in world.nodes:  # what anybody has seen is everywhere, though a host was killed
        assert {message.text for message in node.kept} == everywhere
    by_log = [[message.text for message, origin in node.origins if not origin.is_unsent] for node in world.nodes]
    if not any(event[0] == "forget" for event in events):
        for one in by_log:
            for other in by_log:
                both = set(one) & set(other)
                assert [each for each in one if each in both] == [each for each in other if each in both]
    names = [
        sorted(node.hub.names + tuple(p[0] for p in node.hub.members.elsewhere.by_key.values())) for node in world.nodes
    ]
    assert names[0] == names[1] == names[2], names
    assert len(set(names[0])) == len(names[0])
    assert len({name.casefold().replace("а", "a") for name in names[0]}) == len(names[0])
    rooms = [sorted((m.name, m.room) for m in node.hub.members.by_number.values()) for node in world.nodes]
    for node in world.nodes:
        away = sorted(node.hub.members.elsewhere.by_key.values())
        assert away == sorted(pair for other in world.nodes if other is not node for pair in rooms[other.number])


LOST_LINES = re.compile(r"\* (\d+) lines from another host were lost")


@given(st.lists(EVENTS.filter(lambda event: event[0] != "crash"), max_size=60))
@example([("say", 0, 0), ("forget",), ("publish", 0), ("read", 0), ("time", 2.0)])
@settings(max_examples=60, deadline=None)
def test_several_hosts_on_a_bus_that_keeps_nothing(events: list[tuple[object, ...]]) -> None:
    """Hosts that come back at different moments get what they have missed from the others: each line is at each host,
    once, those of one host in its order; what a host gave up waiting for is told with its number."""
    world = World(keeps=False)
    for event in [("join", 0), ("join", 1), ("join", 2), *events]:
        world.do(event)
    world.settle()
    for node in world.nodes:
        texts = Counter(message.text for message in node.kept)
        assert all(count == 1 for count in texts.values()), texts
        lost = sum(int(found[1]) for line in node.notices if (found := LOST_LINES.match(line)))
        assert len(set(world.said) - set(texts)) == lost
        for other in world.nodes:
            counts = [origin.count for _, origin in node.origins if origin.host == other.cluster.host]
            assert counts == sorted(counts)
        for seen in node.seen.values():
            tokens = [token for token, _, _ in seen.lines]
            assert len(set(tokens)) == len(tokens)
