"""Every sequence of events: who sees which line, in which order, how often. The rooms are followed by a second book."""

from __future__ import annotations

from unicodedata import category

from hypothesis import given, settings
from hypothesis import strategies as st

from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, ShowLine
from socketkit.apps.chat.hub import Hub, Wish
from socketkit.apps.chat.limits import Limits

MEMBERS = st.integers(0, 5)
ROOMS = st.sampled_from(["lobby", "tea", "coffee", "Tea"])
EVENTS = st.one_of(
    st.tuples(st.just("join")),
    st.tuples(st.just("arrive"), st.sampled_from(["Alice", "Аlice", "host", "a b"]), ROOMS, st.integers(0, 9)),
    st.tuples(st.just("leave"), MEMBERS),
    st.tuples(st.just("say"), MEMBERS),
    st.tuples(st.just("act"), MEMBERS),
    st.tuples(st.just("private"), MEMBERS, MEMBERS),
    st.tuples(st.just("enter"), MEMBERS, ROOMS),
    st.tuples(st.just("back"), MEMBERS),
    st.tuples(st.just("mute"), MEMBERS),
    st.tuples(st.just("unmute"), MEMBERS),
    st.tuples(st.just("kick"), MEMBERS),
    st.tuples(st.just("ban"), MEMBERS),
    st.tuples(st.just("rename"), MEMBERS, st.sampled_from(["Alice", "Bob", "alice", "Аlice"])),
    st.tuples(st.just("noise"), MEMBERS, st.binary(max_size=20)),
    st.tuples(st.just("end")),
)


class Book:
    """A hub, and what each member has seen of it; where everybody is, written down a second time."""

    def __init__(self) -> None:
        self.hub = Hub(limits=Limits(rate=5.0, max_guests=4, history_count=3))
        self.seen: dict[int, list[str]] = {}
        self.rooms: dict[int, str] = {HOST: "lobby"}
        self.muted: set[int] = set()
        self.said: list[tuple[str, tuple[int, ...]]] = []  # each line with those who have to see it
        self.gone: set[int] = set()
        self.count = 0

    def do(self, event: tuple[object, ...]) -> None:
        what = event[0]
        if what == "join":
            self.count += 1
            member, decisions = self.hub.join(f"10.0.0.{self.count}")
            if self.hub.is_here(member):
                self.rooms[member] = "lobby"
            self.carry_out(decisions)
            return
        if what == "arrive":
            self.count += 1
            name, room, after = event[1:]
            wish = Wish(name=str(name), room=str(room), after=int(str(after)))
            member, decisions = self.hub.join(f"10.0.0.{self.count}", wish=wish)
            if self.hub.is_here(member):
                self.rooms[member] = wish.room.casefold()  # type: ignore[union-attr]
            self.carry_out(decisions)
            return
        if what == "end":
            self.rooms.clear()
            self.carry_out(self.hub.end())
            return
        member = event[1]
        assert isinstance(member, int)
        if what == "leave":
            self.rooms.pop(member, None)
            self.carry_out(self.hub.leave(member))
            return
        self.carry_out(self.write(str(what), member, event))

    def write(self, what: str, member: int, event: tuple[object, ...]) -> list[Decision]:
        token = f"token-{len(self.said)}."
        names = {number: each.name for number, each in self.hub.members.by_number.items()}
        is_speaking = member in self.rooms and member not in self.muted
        if what in ("say", "act"):
            to = self.watchers(member) if is_speaking else ()
            self.said.append((token, to))
            return self.hub.receive(member, f"{'/me ' if what == 'act' else ''}{token}".encode())
        if what == "private":
            other = event[2]
            assert isinstance(other, int)
            self.said.append((token, (other,) if is_speaking and other in self.rooms else ()))
            return self.hub.receive(member, f"/msg {names.get(other, 'nobody')} {token}".encode())
        if what in ("enter", "back"):
            room = str(event[2]) if what == "enter" else "lobby"
            if member in self.rooms:
                self.rooms[member] = room.casefold()
            return self.hub.receive(member, b"/leave" if what == "back" else f"/join {room}".encode())
        if what == "rename":
            return self.hub.receive(member, f"/name {event[2]}".encode())
        if what == "noise":
            data = event[2]
            assert isinstance(data, bytes)
            return self.hub.receive(member, b"noise " + data.replace(b"\n", b""))
        if HOST in self.rooms and member in self.rooms and member != HOST:
            self.moderate(what, member)
        return self.hub.receive(HOST, f"/{what} {names.get(member, 'nobody')}".encode())

    def moderate(self, what: str, member: int) -> None:
        if what == "mute":
            self.muted.add(member)
        elif what == "unmute":
            self.muted.discard(member)
        else:
            del self.rooms[member]

    def watchers(self, member: int) -> tuple[int, ...]:
        room = self.rooms[member]
        return tuple(other for other, where in self.rooms.items() if where == room and other != member)

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, ShowLine):
                assert all(
                    each.isprintable() or category(each) in ("Co", "Cn") for each in decision.line.replace("\t", " ")
                )
                assert len(set(decision.members)) == len(decision.members)
                for member in decision.members:
                    assert member not in self.gone, "a line behind the disconnection"
                    if not decision.line.startswith("["):  # the history repeats what was said
                        self.seen.setdefault(member, []).append(decision.line)
            elif isinstance(decision, Disconnect):
                self.gone.add(decision.member)


@given(st.lists(EVENTS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_who_sees_which_line(events: list[tuple[object, ...]]) -> None:
    """Each line is seen by all others in its room, and by nobody else; once; in one order for all; and what is not
    seen by anybody was refused with a notice to its writer."""
    book = Book()
    for event in [("join",), ("join",), *events]:
        book.do(event)
    order = {token: number for number, (token, _) in enumerate(book.said)}
    for member, lines in book.seen.items():
        tokens = [word for line in lines for word in line.split() if word in order]
        if member != HOST or HOST in book.rooms:
            assert tokens == [token for token, to in book.said if member in to]
        else:  # a host that has left still watches its last room
            assert [order[each] for each in tokens] == sorted({order[each] for each in tokens})


TALK = st.lists(
    st.one_of(
        st.sampled_from(["hello", "", "a b", "x" * 70, "é", "/me waves", "//x", "bye", "goodbye", "tab\t", "\x1b[2J"]),
        st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=30),
    ),
    min_size=1,
    max_size=12,
)


@given(TALK, st.booleans())
@settings(deadline=None)
def test_many_lines_at_once_are_as_each(texts: list[str], is_muted: bool) -> None:
    """Where lines are taken together, all see the same, and the history and the ids are the same."""
    hubs = [Hub(limits=Limits(history_count=3)) for _ in range(2)]
    for hub in hubs:
        hub.join()
        hub.join()
        if is_muted:
            hub.receive(HOST, b"/mute guest1")
    lines = [text.encode() for text in texts]
    many = hubs[0].say_many(1, lines, 1.0, 2.0)
    if many is None:
        return
    shown: list[str] = []
    for line in lines:
        (decision,) = hubs[1].receive(1, line, 1.0, 2.0)
        assert isinstance(decision, ShowLine) and decision.members == many.members and decision.message is not None
        shown.append(decision.line)
    assert many.lines.split("\n") == shown
    one, other = (hub.members for hub in hubs)
    assert one.history.of("lobby") == other.history.of("lobby")
    assert (one.next_id, one.history.forgotten_id("lobby")) == (other.next_id, other.history.forgotten_id("lobby"))


@given(st.lists(EVENTS, max_size=60))
@settings(deadline=None)
def test_names_never_look_alike(events: list[tuple[object, ...]]) -> None:
    book = Book()
    for event in events:
        book.do(event)
        names = book.hub.names
        assert len({name.casefold().replace("а", "a") for name in names}) == len(names)
        rooms = book.hub.members.rooms
        assert sorted(number for room in rooms.values() for number in room) == sorted(book.hub.members.by_number)
        assert all(here for room, here in rooms.items() if room != "lobby")
