"""The members of a chat: who is in which room, under which name, and what they are shown. Without I/O."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

from socketkit.apps.chat.arrivals import LISTED_NAMES, Arrivals, listed_names
from socketkit.apps.chat.decisions import (
    HOST,
    Decision,
    Disconnect,
    EndChat,
    Notice,
    Others,
    Past,
    Publish,
    ShowLine,
    ShowMany,
)
from socketkit.apps.chat.elsewhere import Elsewhere, Key, Place
from socketkit.apps.chat.history import History
from socketkit.apps.chat.limits import Limits, Rate
from socketkit.apps.chat.message import Message, line_of, show_time
from socketkit.apps.chat.names import NamesInUse
from socketkit.apps.chat.texts import translate
from socketkit.apps.chat.unstacked import unstacked
from socketkit.values import Value

__all__ = ["ELSEWHERE", "LISTED_HERE", "LOBBY", "MAX_PEOPLE", "Ban", "Member", "Members", "others_of"]

LOBBY = "lobby"
"""The room in which everybody begins."""

GONE = ("{name} has left", "{name} was lost", "{name} was disconnected: it has stopped reading")
"""How members go who went by themselves: many of them at once are told of together."""

ELSEWHERE = -1
"""A number that no member of this host has."""

MAX_PAST = 200
"""Messages of the history that are remembered as they are shown."""

LISTED_HERE = 100
"""Names of those in a room that a member is shown as it comes: who joins a room of thousands would be sent a book."""

MAX_PEOPLE = 1000
"""Names of those in a room that `/who` and a page list. The others are counted."""

MAX_WRITERS = 16
"""Writers of one room whose readers are remembered: each list is as long as the room is full."""


def others_of(all_here: tuple[int, ...], number: int) -> Others:
    """All of these members but this one, which need not be among them."""
    index = all_here.index(number) if number in all_here else None
    others = Others(all_here if index is None else all_here[:index] + all_here[index + 1 :])
    others.all_here, others.left_out = all_here, None if index is None else number
    return others


class Ban(Value):
    """A name that may not be used, and a source that may not connect, until a moment (None: for good)."""

    name: str
    source: str
    until: float | None


class Member:
    """A member: the person at the host, or a guest.

    Attributes:
        name: its name.
        room: the room that it is in.
        source: where it connected from.
        rate: holds it to its lines and bytes a second.
        muted_until: the moment up to which nobody sees its lines.
        paused_at: when it was last told that it is too fast.
        has_encoding_notice: whether it was told that it does not send UTF-8.
    """

    __slots__ = ("has_encoding_notice", "muted_until", "name", "paused_at", "rate", "room", "source")

    def __init__(self, name: str, source: str, rate: float | None) -> None:
        self.name = name
        self.room = LOBBY
        self.source = source
        self.rate = Rate(rate)
        self.muted_until = 0.0
        self.paused_at = float("-inf")
        self.has_encoding_notice = False


class Members:
    """Who is where. Each change returns what follows from it.

    Attributes:
        by_number: the members, in the order in which they joined.
        taken: the names in use.
        host_name: of the person at the host.
        rooms: the numbers of the members in each room that is not empty; the lobby is always there.
        bans: the bans, by the name that was banned.
        now: the moment of the current event, on the clock of its caller.
        at: the same, in seconds since 1970.
        elsewhere: the members at other hosts of the same chat.
        is_shared: whether a bus orders what is said: it is published, and shown when the bus has returned it.
        arrivals: who came and went, where there are too many to tell of each.
        changes: what has changed since another part took it, for other hosts; None: there are none.
    """

    def __init__(self, host_name: str, *, once: bool, language: str, limits: Limits, history: History) -> None:
        self.once = once
        self.limits = limits
        self.host_name = host_name
        self.by_number: dict[int, Member] = {}
        self.taken = NamesInUse()
        self.rooms: dict[str, dict[int, None]] = {LOBBY: {}}
        self.room_names = NamesInUse()
        self.room_names.add(LOBBY)
        self.bans: dict[str, Ban] = {}
        self.now = self.at = 0.0
        self.next_id = 1
        self.history = history
        self.elsewhere = Elsewhere()
        self.is_shared = False
        self.arrivals = Arrivals()
        self.changes: list[tuple[Any, ...]] | None = None
        self._others: dict[str, tuple[tuple[int, ...], dict[int, Others]]] = {}  # until a member comes or goes
        self._past: dict[int, tuple[tuple[int, ...], tuple[str, Past]]] = {}
        self._language = language
        self._languages: dict[int, str] = {}  # of those who have another one
        self._watched = LOBBY  # what the host sees, also after it has left
        self.add(HOST, host_name)

    def add(self, number: int, name: str, source: str = "", room: str = LOBBY) -> None:
        """Add a member to a room."""
        member = self.by_number[number] = Member(name, source, None if number == HOST else self.limits.rate)
        member.room = room
        self.taken.add(name)
        self._enter_room(number, room)
        self.note("join", number, name, room)

    def note(self, *change: object) -> None:
        """Remember a change for the other hosts."""
        if self.changes is not None:
            self.changes.append(change)

    def remove(self, number: int, how: str = "{name} has left", **fields: object) -> list[Decision]:
        """Remove a member; nothing where it is not here."""
        gone = self.by_number.pop(number, None)
        if gone is None:
            return []
        self.taken.remove(gone.name)
        self._leave_room(number, gone.room)
        self.note("leave", number, how, fields)
        decisions: list[Decision] = [*self.went(number, gone.name, gone.room, how, **fields)]
        if number != HOST:
            self.forget_language(number)
            decisions.append(Disconnect(number))
            if self.once:
                decisions.append(EndChat())
        return decisions

    def clear(self) -> tuple[int, ...]:
        """Remove all; the guests that were here."""
        guests = tuple(number for number in self.by_number if number != HOST)
        self.by_number.clear()
        self.taken = NamesInUse()
        self.rooms = {LOBBY: {}}
        self._others.clear()
        self.arrivals.take()
        return guests

    def move(self, number: int, room: str) -> list[Decision]:
        """Bring a member into another room, which is made where there is none of this name."""
        member = self.by_number[number]
        before, member.room = member.room, room
        if number == HOST:
            self._watched = room
            self._others.clear()
        left: list[ShowLine] = []
        if not self.arrivals.take_back(number):
            how = "{name} has left for {room}"
            left = [
                *self.introduce(number),
                *self.notice(self.others(number, before), how, name=member.name, room=room),
            ]
        self._leave_room(number, before)
        here = self.list_of(room)
        joined = self.came(number, member.name, room)
        self._enter_room(number, room)
        self.note("move", number, room)
        return [
            *left,
            *self.notice((number,), "you are in {room} now; here: {here}", room=room, **here),
            *self.earlier(number),
            *joined,
        ]

    def came(self, who: int | Key, name: str, room: str) -> list[ShowLine]:
        """What the others in a room are told of one that came, of this host (its number) or another one; nothing where
        it is told later, with others."""
        if not self.arrivals.come(who, name, room, self.now):
            return []
        return self.notice(self.others(_number(who), room), "{name} has joined", name=name)

    def went(self, who: int | Key, name: str, room: str, how: str, **fields: object) -> list[ShowLine]:
        """What they are told of one that went, as `came`."""
        before: list[ShowLine] = []
        if how in GONE:
            if not self.arrivals.go(who, name, room, self.now):
                return []
        else:
            before = self.introduce(who)
        return [*before, *self.notice(self.others(_number(who), room), how, name=name, **fields)]

    def introduce(self, who: int | Key) -> list[ShowLine]:
        """Tell of those that came or have another name and were not told of, where this one is among them: it does
        something now."""
        return self.tell_arrivals() if who in self.arrivals else []

    def tell_arrivals(self) -> list[ShowLine]:
        """Tell of all that came and went, together."""
        told: list[ShowLine] = []
        for gathered in self.arrivals.take():
            here = self.others(ELSEWHERE, gathered.room)
            listed = self.list_of(gathered.room)
            if gathered.went:
                told += self.notice(here, "have left: {names}", names=listed_names(gathered.went), **listed)
            if len(gathered.renamed) > LISTED_NAMES:
                names = [name for _, name in gathered.renamed]
                told += self.notice(here, "are called otherwise now: {names}", names=listed_names(names), **listed)
            else:
                for before, name in gathered.renamed:
                    told += self.notice(here, "{before} is {name} now", before=before, name=name)
            if gathered.came:
                told += self.notice(here, "have joined: {names}", names=listed_names(gathered.came), **listed)
        return told

    def rename(self, number: int, name: str) -> list[Decision]:
        """Give a member this name, which is valid and free."""
        member = self.by_number[number]
        before, member.name = member.name, name
        if number == HOST:
            self.host_name = name
        self.taken.remove(before)
        self.taken.add(name)
        self.note("name", number, name)
        told = self.notice((number,), "you are {name} now", name=name)
        if self.arrivals.is_name_before(number, name):
            told += self.tell_arrivals()
        if self.arrivals.rename(number, name) or not self.arrivals.change(number, before, name, member.room, self.now):
            return [*told]
        return [
            *told,
            *self.notice(self.others(number, member.room), "{before} is {name} now", before=before, name=name),
        ]

    def set_elsewhere(self, key: Key, place: Place | None) -> None:
        """Note the name and the room of a member at another host; None: it is not here any more."""
        before = self.elsewhere.set(key, place)
        if before is not None:
            self.taken.remove(before[0])
        if place is not None:
            self.taken.add(place[0])
            self._make_room(place[1])
        if before is not None:
            self._drop_empty(before[1])

    def _make_room(self, room: str) -> None:
        if room not in self.rooms:
            self.rooms[room] = {}
            self.room_names.add(room)

    def _enter_room(self, number: int, room: str) -> None:
        self._make_room(room)
        self.rooms[room][number] = None
        self._others.pop(room, None)

    def _leave_room(self, number: int, room: str) -> None:
        del self.rooms[room][number]
        self._others.pop(room, None)
        self._drop_empty(room)

    def _drop_empty(self, room: str) -> None:
        if room != LOBBY and room in self.rooms and not self.rooms[room] and not self.elsewhere.count_in(room):
            del self.rooms[room]
            self.room_names.remove(room)

    def find(self, name: str) -> int | None:
        """The number of the member with this name; None: there is none. Case does not matter."""
        folded = name.casefold()
        return next((number for number, each in self.by_number.items() if each.name.casefold() == folded), None)

    def list_of(self, room: str) -> dict[str, Any]:
        """The fields of a notice that lists who is in a room: `here` in its sentence; `people`, and the `count` of
        them all, for a page."""
        by_number, numbers = self.by_number, self.rooms.get(room, {})
        people = [by_number[number].name for number in islice(numbers, MAX_PEOPLE)]
        people += self.elsewhere.names_in(room, MAX_PEOPLE - len(people))
        count = len(numbers) + self.elsewhere.count_in(room)
        return {"here": listed_names(people, LISTED_HERE, count) or "nobody yet", "people": people, "count": count}

    def others(self, number: int, room: str) -> Others:
        """All in this room but one. The host is among them in the room that it saw last: so it sees what guests write
        there after it has left."""
        known = self._others.get(room)
        if known is None:
            here = self.rooms.get(room, {})
            if room == self._watched and HOST not in here:
                here = {HOST: None, **here}
            known = self._others[room] = tuple(here), {}
        all_here, by_number = known
        others = by_number.get(number)
        if others is None:
            if len(by_number) >= MAX_WRITERS:
                by_number.clear()
            others = by_number[number] = others_of(all_here, number)
        return others

    def said(self, number: int, kind: str, text: str) -> ShowLine | Publish:
        """What a member says to its room; it is remembered, where no bus has to order it first."""
        member = self.by_number[number]
        text = unstacked(text)
        if self.is_shared:
            return Publish(("say", number, member.name, member.room, kind, text, self.at), number)
        return self.heard(number, member.name, member.room, kind, text, self.at)

    def heard(self, number: int, name: str, room: str, kind: str, text: str, at: float) -> ShowLine:
        """What is shown of this to all others in the room; it is remembered.

        Args:
            number: of the writer, which is not shown it; below 0: it is at another host.
            name: of the writer at that time.
            room: where it was said.
            kind: "say" or "me".
            text: is safe for any terminal.
            at: when it was said, in seconds since 1970.
        """
        message = Message(self.next_id, at, room, name, kind, text)
        self.next_id += 1
        self.history.add(message)
        writer = number if number >= 0 else None
        return ShowLine(self.others(number, room), line_of(name, kind, text), message, None, writer)

    def heard_many(self, number: int, text: str, count: int) -> ShowMany:
        """What is shown of so many lines that a member says at once; the last of them are remembered.

        Args:
            number: of the member.
            text: the lines, with a line feed between two; safe for any terminal.
            count: of the lines.
        """
        member = self.by_number[number]
        skipped = max(0, count - self.limits.history_count)
        first = self.next_id + skipped
        self.next_id += count
        last = text.split("\n")[skipped:]
        messages = [
            Message(first + index, self.at, member.room, member.name, "say", each) for index, each in enumerate(last)
        ]
        self.history.add_many(messages, first - 1 if skipped else 0)
        name = member.name
        lines = f"{name}: " + text.replace("\n", f"\n{name}: ")
        return ShowMany(self.others(number, member.room), lines, number)

    def earlier(self, number: int) -> list[ShowLine]:
        """What was said before in a member's room."""
        return self.listed(number, self.history.of(self.by_number[number].room))

    def listed(self, number: int, messages: Iterable[Message], *, is_found: bool = False) -> list[ShowLine]:
        """Messages of the past for a member: a heading, and each with its time. Nothing where there are none."""
        to = (number,)  # one tuple: they leave together
        today = time.localtime(self.at)[:3]
        past = [self._past_of(each, today, is_found) for each in messages]
        lines = [ShowLine(to, line, None, detail, None) for line, detail in past]
        return [*self.notice(to, "found:" if is_found else "said here before:"), *lines] if lines else []

    def _past_of(self, message: Message, today: tuple[int, ...], is_found: bool) -> tuple[str, Past]:
        """A message with its time; remembered for the next ones that join."""
        if is_found:
            return f"[{show_time(message.at, self.at)}] {message.line}", Past(message, is_found)
        day, known = self._past.get(message.id, (None, None))
        if known is None or day != today:
            if len(self._past) >= MAX_PAST:
                self._past.clear()
            known = f"[{show_time(message.at, self.at)}] {message.line}", Past(message)
            self._past[message.id] = today, known
        return known

    def set_language(self, number: int, language: str) -> None:
        """Show a member its notices in this language."""
        self.forget_language(number)
        if language != self._language:
            self._languages[number] = language

    def forget_language(self, number: int) -> None:
        """Forget the language of a guest that goes. Harmless where it had none of its own."""
        self._languages.pop(number, None)

    def notice(self, members: tuple[int, ...], text: str, **fields: object) -> list[ShowLine]:
        """A notice of the room, to each in its language."""
        if not members:
            return []
        if not self._languages:
            return [ShowLine(members, f"* {translate(self._language, text, fields)}", None, Notice(text, fields), None)]
        languages = self._languages
        groups: dict[str, list[int]] = {}
        for number in members:
            groups.setdefault(languages.get(number, self._language), []).append(number)
        detail = Notice(text, fields)
        return [
            ShowLine(tuple(group), f"* {translate(each, text, fields)}", detail=detail)
            for each, group in groups.items()
        ]

    def text_for(self, number: int, text: str, **fields: object) -> str:
        """A text in a member's language."""
        return translate(self._languages.get(number, self._language), text, fields)


def _number(who: int | Key) -> int:
    return who if isinstance(who, int) else ELSEWHERE
