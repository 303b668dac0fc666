"""Few that come and go are told of one by one, many at once together; nobody speaks who was not told of."""

from __future__ import annotations

import re
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.chat.test_host import Nc, Scripted, hosting
from apps.chat.test_host_store import reads_until
from apps.chat.test_hub import lines_for, room_of, shown, told
from socketkit.apps.chat.arrivals import SINGLE_BURST, TOGETHER_TIME
from socketkit.apps.chat.chat_host import ChatHost
from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, Notice, ShowLine
from socketkit.apps.chat.hub import EPISODE_TIME, Hub, Wish
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.members import LISTED_HERE, LOBBY, MAX_PEOPLE
from support.clock import virtual_engine


def crowded(**limits: int) -> Hub:
    """A hub in which as many have come as are told of one by one."""
    hub = Hub(limits=Limits(**limits))
    for number in range(1, SINGLE_BURST + 1):
        assert f"* guest{number} has joined" in lines_for(HOST, hub.join()[1])
    return hub


def test_many_are_told_of_together() -> None:
    hub = crowded()
    news = [line for _ in range(30) for line in lines_for(HOST, hub.join()[1])]
    assert not news
    due = hub.members.arrivals.due
    assert due == TOGETHER_TIME
    assert hub.tick(due - 0.01, 0.0) == []
    first = ", ".join(f"guest{number}" for number in range(21, 31))
    assert told(hub.tick(due, 0.0)) == [(tuple(range(HOST, 51)), f"* have joined: {first} ... 30")]


def test_few_are_told_of_at_once() -> None:
    """Also when the many were told of: the next one has a line of its own."""
    hub = crowded()
    hub.join()
    hub.tick(TOGETHER_TIME, 0.0)
    assert lines_for(HOST, hub.join(now=1.0)[1]) == ["* guest22 has joined"]
    assert lines_for(HOST, hub.leave(22, now=1.1)) == ["* guest22 has left"]


def test_who_leaves_before_is_not_told_of() -> None:
    hub = crowded()
    member, _ = hub.join()
    assert shown(hub.leave(member, how="{name} was lost")) == [Disconnect(member)]
    assert hub.tick(1.0, 0.0) == []
    for number in (1, 2):
        assert lines_for(HOST, hub.leave(number, now=0.0)) == []
    assert lines_for(HOST, hub.tick(2.0, 0.0)) == ["* have left: guest1, guest2"]


def test_who_speaks_is_told_of_before() -> None:
    for line, what in ((b"hi", "Bob: hi"), (b"/me waves", "~ Bob waves")):
        hub = crowded()
        member, _ = hub.join()
        other, _ = hub.join()
        assert lines_for(HOST, hub.receive(member, b"/name Bob")) == []
        assert lines_for(HOST, hub.receive(member, line)) == [f"* have joined: Bob, guest{other}", what]
        assert hub.members.arrivals.due is None


def test_who_is_removed_is_told_of_before() -> None:
    hub = crowded()
    hub.join()
    assert lines_for(HOST, hub.receive(HOST, b"/kick guest21")) == [
        "* have joined: guest21", "* guest21 was removed by host",
    ]  # fmt: skip


def test_move_is_told_where_it_goes() -> None:
    hub = crowded()
    hub.receive(1, b"/join tea")
    hub.tick(0.3, 0.0)
    for _ in range(SINGLE_BURST):
        hub.join(now=0.3)
    member, _ = hub.join(now=0.3)
    assert lines_for(1, hub.receive(member, b"/join tea", 0.3)) == []
    assert lines_for(1, hub.tick(1.0, 0.0)) == [f"* have joined: guest{member}"]


def test_many_renames_are_told_of_together() -> None:
    """Who changes its name in a loop fills nobody's screen; who speaks then was told of before."""
    hub = Hub()
    member, _ = hub.join()
    lines = [line for count in range(100) for line in lines_for(HOST, hub.receive(member, b"/name n%d" % count, 0.0))]
    assert len(lines) == SINGLE_BURST
    assert lines[-1] == "* n18 is n19 now"
    other, decisions = hub.join(now=0.1, wish=Wish(name="n19"))
    assert "you are n19;" in lines_for(other, decisions)[0]
    assert lines_for(HOST, hub.tick(TOGETHER_TIME, 0.0)) == ["* n19 is n99 now", "* have joined: n19"]
    for count in range(50):
        hub.receive(member, b"/name m%d" % count, 0.3)
    assert lines_for(HOST, hub.receive(member, b"hi", 0.3)) == ["* m5 is m49 now", "m49: hi"]


def test_name_that_others_still_see_is_in_use() -> None:
    """Two that change their names in turn cannot make each other's notices come at once."""
    hub = Hub()
    one, two = hub.join()[0], hub.join()[0]
    for count in range(SINGLE_BURST):
        hub.receive(one, b"/name n%d" % count)
    hub.receive(one, b"/name m")
    assert lines_for(two, hub.receive(two, b"/name n19"))[0].startswith("* n19 is here already")
    assert lines_for(one, hub.receive(one, b"/name n19")) == ["* you are n19 now"]
    assert hub.tick(1.0, 0.0) == []
    assert lines_for(two, hub.leave(one, now=1.0)) == ["* n19 has left"]


def test_many_that_are_renamed_at_once_share_a_line() -> None:
    hub = crowded()
    for number in range(1, SINGLE_BURST + 1):
        hub.receive(number, b"/name a%d" % number)
    for number in range(1, SINGLE_BURST + 1):
        hub.receive(number, b"/name b%d" % number)
    names = ", ".join(f"b{number}" for number in range(1, 11))
    assert lines_for(HOST, hub.tick(1.0, 0.0)) == [f"* are called otherwise now: {names} ... 20"]


def test_full_chat_is_told_once() -> None:
    """The host is told once of each time in which guests are refused."""
    hub = room_of()
    hub = Hub(limits=Limits(max_guests=1))
    hub.join()
    notice = ["* the chat is full (1 guests): more are refused"]
    assert lines_for(HOST, hub.join(now=100.0)[1]) == notice
    for second in range(30):
        assert lines_for(HOST, hub.join(now=100.0 + second)[1]) == []
    assert lines_for(HOST, hub.join(now=130.0 + EPISODE_TIME)[1]) == notice


def test_who_comes_to_thousands_is_shown_some() -> None:
    """What a guest is shown as it comes does not grow with the room, so a crowd that joins costs what it is large."""
    hub, count = Hub(limits=Limits(max_guests=3000)), 2500
    for _ in range(count):
        hub.join()
    member, decisions = hub.join()
    (welcome,) = [each for each in decisions if isinstance(each, ShowLine) and each.members == (member,)]
    names = welcome.line.partition("here: ")[2].partition(" (/name")[0]
    assert names.startswith("host, guest1, ") and names.endswith(f", guest{LISTED_HERE - 1} ... {count + 1}")
    assert isinstance(welcome.detail, Notice)
    values = welcome.detail.values
    assert (len(values["people"]), values["count"]) == (MAX_PEOPLE, count + 1)
    (who,) = lines_for(member, hub.receive(member, b"/who"))
    assert who.endswith(f", guest{MAX_PEOPLE - 1} ... {count + 2}")
    hub.receive(member, b"/join tea")
    (back,) = lines_for(member, hub.receive(member, b"/leave"))
    assert back.endswith(f", guest{LISTED_HERE - 1} ... {count + 1}")


class Looked:
    """A guest of which it is counted how often the host looks at what is unsent to it."""

    sees_own = False
    look_count = 0

    def __init__(self) -> None:
        self.pause = 0.0

    @property
    def unsent_size(self) -> int:
        Looked.look_count += 1
        return 0

    @staticmethod
    def show_all(outlets: list[Looked], shown: ShowLine, message_id: int | None) -> int:
        return len(shown.line)

    def disconnect(self) -> None:
        pass

    async def wait_disconnected(self, timeout: float | None = None) -> None:
        pass

    def is_worth_waiting_for(self) -> bool:
        return False

    async def catch_up(self, timeout: float) -> None:
        pass


def test_who_comes_costs_no_look_at_the_others() -> None:
    """Each that comes is shown the history. The host looks at that guest then, and not at all: joins stay linear."""
    engine, _ = virtual_engine()

    async def body() -> None:
        host = ChatHost(engine, Scripted(engine), limits=Limits(history_count=50, max_guests=1000))
        first = host.add(Looked(), "first")
        for _ in range(50):
            host.receive(first, b"x" * 1000)
        Looked.look_count = 0
        for number in range(500):
            host.add(Looked(), f"place {number}")
        assert 500 <= Looked.look_count <= 500 * 60
        host.end()

    engine.run(body())


def test_who_does_not_know_the_password_keeps_nobody_out() -> None:
    """From one address a quarter of the places are taken by such guests; the host is told once."""
    hub = Hub(limits=Limits(max_guests=40), password="right")
    waiting = [hub.join("crowd")[0] for _ in range(10)]
    refused, decisions = hub.join("crowd")
    goodbye = "* goodbye: too many from your address have not given the password"
    assert lines_for(refused, decisions) == [goodbye]
    assert Disconnect(refused) in decisions and not hub.is_here(refused)
    assert lines_for(HOST, decisions) == ["* wrong passwords come from crowd"]
    again, decisions = hub.join("crowd")
    assert lines_for(again, decisions) == [goodbye]
    assert lines_for(HOST, decisions) == []
    member, decisions = hub.join("home")
    assert lines_for(member, decisions) == ["* this chat needs a password: type it"]
    assert "welcome" in lines_for(waiting[0], hub.receive(waiting[0], b"right"))[0]
    hub.leave(waiting[1])
    hub.give_up(waiting[2], 30.0)
    for _ in range(3):
        number, decisions = hub.join("crowd")
        assert lines_for(number, decisions) == ["* this chat needs a password: type it"]
    assert not hub.is_here(hub.join("crowd")[0])
    assert hub.is_here(hub.join("crowd", is_trusted=True)[0])


EVENTS = st.one_of(
    st.tuples(st.just("join")),
    st.tuples(st.just("join")),
    st.tuples(st.just("leave"), st.integers(0, 7)),
    st.tuples(st.just("say"), st.integers(0, 7)),
    st.tuples(st.just("rename"), st.integers(0, 7), st.none() | st.sampled_from(["A", "B", "C"])),
    st.tuples(st.just("enter"), st.integers(0, 7), st.sampled_from([LOBBY, "tea"])),
    st.tuples(st.just("kick"), st.integers(0, 7)),
    st.tuples(st.just("time"), st.sampled_from([0.01, 0.3, 2.0])),
)

CHANGES = [
    (re.compile(r"\* (\S+) has joined"), True),
    (re.compile(r"\* (\S+) (?:has left|was lost|was removed by host)(?: for \S+)?"), False),
    (re.compile(r"\* have joined: (.*)"), True),
    (re.compile(r"\* have left: (.*)"), False),
]


class Watcher:
    """The host, as it reads who is in the lobby from its lines alone."""

    def __init__(self) -> None:
        self.names = {"host"}

    def read(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if not isinstance(decision, ShowLine) or HOST not in decision.members:
                continue
            line = decision.line
            if (renamed := re.fullmatch(r"\* (\S+) is (\S+) now", line)) is not None:
                self.names.remove(renamed[1])
                self.names.add(renamed[2])
            elif not line.startswith("*"):
                assert line.partition(":")[0] in self.names, line
            for pattern, has_come in CHANGES:
                if (found := pattern.fullmatch(line)) is not None:
                    names = set(found[1].split(", "))
                    assert not names & self.names if has_come else names <= self.names, line
                    self.names = self.names | names if has_come else self.names - names


@given(st.lists(EVENTS, min_size=20, max_size=150))
@settings(max_examples=80, deadline=None)
def test_lines_tell_who_is_here(events: list[tuple[object, ...]]) -> None:
    """Whatever happens at whatever pace: whoever speaks was told of, and in the end the lines have told who is here."""
    hub, watcher, now, count = Hub(limits=Limits(max_guests=8)), Watcher(), 0.0, 0
    for what, *rest in events:
        members = [each for each in hub.members.by_number if each != HOST]
        if what == "join":
            watcher.read([each for each in hub.join(now=now)[1] if "full" not in getattr(each, "line", "")])
        elif what == "time":
            assert isinstance(rest[0], float)
            now += rest[0]
            watcher.read(hub.tick(now, 0.0))
        elif members:
            assert isinstance(rest[0], int)
            member = members[rest[0] % len(members)]
            count += 1
            if what == "leave":
                watcher.read(hub.leave(member, now=now))
            elif what == "kick":
                if hub.members.by_number[member].room == LOBBY:
                    watcher.read(hub.receive(HOST, f"/kick {hub.members.by_number[member].name}".encode(), now))
            else:
                name = rest[-1] or f"N{count}"
                line = {"say": "hi", "rename": f"/name {name}", "enter": f"/join {rest[-1]}"}[str(what)]
                watcher.read(hub.receive(member, line.encode(), now))
    watcher.read(hub.tick(now + 1.0, 0.0))
    assert watcher.names == {hub.members.by_number[each].name for each in hub.members.rooms[LOBBY]}


@pytest.mark.parametrize("size", [300])
def test_storm_of_joins(size: int) -> None:
    """Hundreds join as fast as they can: who was there is told of all of them, in few lines, and talks on."""
    with hosting(limits=Limits(max_guests=size + 2)) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        reads_until(alice, "is Bob now")
        socks: list[socket.socket] = []

        def storm() -> None:
            for _ in range(size):
                socks.append(socket.create_connection((room.address.host, room.address.port)))

        thread = threading.Thread(target=storm)
        thread.start()
        told_count, lines, said = 0, 0, 0
        try:
            while told_count < size:
                bob.says(f"line {said}")
                said += 1
                while not (line := alice.reads()).startswith("Bob:"):
                    if found := re.fullmatch(r"\* have joined: (.*?)(?: \.\.\. (\d+))?", line):
                        told_count += int(found[2] or len(found[1].split(", ")))
                        lines += 1
                    elif line.endswith("has joined"):
                        told_count += 1
                        lines += 1
                assert line == f"Bob: line {said - 1}"
        finally:
            thread.join()
            for sock in socks:
                sock.close()
        assert told_count == size
        assert lines < size
