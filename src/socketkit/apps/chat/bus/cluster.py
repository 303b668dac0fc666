"""One host among several: what follows from the log, and from a bus that is away. Without I/O; time is an argument.

What is said waits until it is read back from the log, so all hosts show it in one order. What a member changes for
itself (its room, its leaving) is done at once and told to the others. A name is claimed: it is given when the claim is
read back, and was free until then.

While the bus is away a host goes on alone: what is said is shown at once. Afterwards the host reads what the log has
meanwhile, publishes what was said here, in its order, and a list of its members. Each event has its host's number; one
that was read already is left out. What a reader has missed for good (a log that was trimmed, a bus that keeps nothing)
is counted by each host's count of lines, and the members are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from socketkit.apps.chat.bus.bus import Entry
from socketkit.apps.chat.bus.change_notices import change_notices
from socketkit.apps.chat.bus.member_queues import Left, MemberQueues, Wrote
from socketkit.apps.chat.bus.origin import Origin, State
from socketkit.apps.chat.bus.outbox import KEPT_KINDS, Outbox, Unsent
from socketkit.apps.chat.bus.read_marks import EarlyLine, ReadMarks
from socketkit.apps.chat.bus.registry import Change, Registry
from socketkit.apps.chat.bus.wire import Event, decode
from socketkit.apps.chat.decisions import HOST, Decision, Private, Publish, ShowLine
from socketkit.apps.chat.hub import Hub
from socketkit.apps.chat.members import ELSEWHERE, Ban
from socketkit.apps.chat.message import Message, private_line
from socketkit.apps.chat.moderation import HOST_COMMANDS

__all__ = ["ANSWER_TIME", "ECHO_TIME", "FIRST_TIME", "GRACE_TIME", "HOST_TIMEOUT", "Cluster"]

GRACE_TIME: Final = 1.0
"""Seconds without the bus after which a host goes on alone: a broker that is restarted is back sooner, mostly."""

ECHO_TIME: Final = 2.0
"""Seconds that what is said waits for the bus; then the host goes on alone."""

ANSWER_TIME: Final = 2.0
"""Seconds that a host which is back waits for the lists of the others."""

FIRST_TIME: Final = 0.25
"""Seconds that it waits for hosts which it does not know yet."""

LIST_TIME: Final = 5.0
"""Seconds after a host came (back) at which each lists its members once more: then all know all, and what they had
decided before that without knowing is put right."""

HOST_TIMEOUT: Final = 15.0
"""Seconds without a sign of a host after which its members are gone."""

ALONE: Final = "the other hosts cannot be reached: what you say is shown at this host, and there later"


class Cluster:
    """A hub, and what the other hosts of its chat do.

    Attributes:
        origins: of the messages in the decisions that were returned and not taken yet, by their ids.
        is_together: whether this host is one of several now; else it is on its own.
        is_stuck: whether the bus is connected and does not answer: it is to be connected anew.
        position: the entry that was read last.
    """

    def __init__(self, hub: Hub, host: str, now: float, *, state: State = State()) -> None:  # noqa: B008 - a value
        """Args:
        hub: of this host; its members are published.
        host: the name of this run of this host, which no other has: letters and digits.
        now: the moment.
        state: where an earlier run with the same store has stopped.
        """
        self.hub = hub
        self.host = host
        self.registry = Registry()
        self.outbox = Outbox()
        self.origins: dict[int, Origin] = {}
        self.is_together = False
        self.is_stuck = False
        self.position = state.position
        self._members = hub.members
        self._members.changes = []
        self._marks = ReadMarks(state.numbers, state.counts)
        self._keeps = True
        self._earlier_host = state.earlier_host
        self._own = {host} | {origin.host for origin, _ in state.unsent}
        self._number = self._count = 0
        self._queues = MemberQueues()
        self._seen: dict[str, float] = {}
        self._suspected: set[str] = set()
        self._is_linked = False
        self._link_moment = now
        self._problem = ""
        self._is_told_alone = False
        self._hello: int | None = None  # the number of the event, until it is read back
        self._ready: int | None = None
        self._caught_up: float | None = None
        self._awaited: set[str] = set()
        self._is_new = True
        self._list_again: float | None = None
        self._last_list = 0  # the number of that list's end
        self._has_begun = False
        self._invalid_count = 0
        for origin, message in state.unsent:
            event = ("say", origin.count, 0, message.name, message.room, message.kind, message.text, message.at)
            self.outbox.put(Unsent(origin.host, origin.number, event, ELSEWHERE, now, True))

    # What the members of this host do

    def receive(self, member: int, line: bytes, now: float, at: float) -> list[Decision]:
        """A line of a member: at once, or when what it did before has come back from the bus."""
        wrote = Wrote(line, at)
        return [] if self._queues.put(member, wrote) else self._do(member, wrote, now)

    def leave(self, member: int, how: str, now: float) -> list[Decision]:
        """A member has gone; what it said before comes first."""
        left = Left(how)
        return [] if self._queues.put(member, left) else self._do(member, left, now)

    @property
    def is_linked(self) -> bool:
        """Whether the bus is connected."""
        return self._is_linked

    def waiting_count(self) -> int:
        """How many lines wait for the bus."""
        return 0 if not self.is_together else len(self.outbox) + len(self._queues)

    def _do(self, member: int, done: Wrote | Left, now: float) -> list[Decision]:
        if isinstance(done, Left):
            return self.absorb(self.hub.leave(member, how=done.how, now=now), now)
        return self.absorb(self.hub.receive(member, done.line, now, done.at), now)

    def absorb(self, decisions: Iterable[Decision], now: float) -> list[Decision]:
        """Publish what the hub has decided for other hosts; the decisions for this one."""
        rest: list[Decision] = []
        for decision in decisions:
            if isinstance(decision, Publish):
                self._publish(decision.event, decision.member, now)
                continue
            if isinstance(decision, ShowLine) and decision.message is not None:
                self._publish_shown(decision.message, now)
            rest.append(decision)
        changes, self._members.changes = self._members.changes or [], []
        for change in changes:
            if change[0] == "join" and self._is_told_alone:
                rest += self._members.notice((change[1],), ALONE)
            if self._is_linked or self.is_together or change[0] in KEPT_KINDS:
                self._put(change, ELSEWHERE, now, is_shown=True)
        return rest

    def _publish(self, event: tuple[object, ...], member: int, now: float) -> None:
        if event[0] == "say":
            self._count += 1
            event = ("say", self._count, *event[1:])
        unsent = self._put(event, member, now, is_shown=False)
        self._queues.sent(member, unsent)

    def _publish_shown(self, message: Message, now: float) -> None:
        """What was said while this host is on its own: it is published later."""
        self._count += 1
        event = ("say", self._count, 0, message.name, message.room, message.kind, message.text, message.at)
        unsent = self._put(event, ELSEWHERE, now, is_shown=True)
        unsent.message_id = message.id
        self.origins[message.id] = Origin(self.host, unsent.number, self._count, None, True)

    def _put(self, event: Event, member: int, now: float, *, is_shown: bool) -> Unsent:
        self._number += 1
        unsent = Unsent(self.host, self._number, event, member, now, is_shown)
        self.outbox.put(unsent)
        return unsent

    def _resume(self, member: int, now: float) -> list[Decision]:
        """Do what a member did and what need not wait any more."""
        decisions: list[Decision] = []
        while (done := self._queues.take(member)) is not None:
            decisions += self._do(member, done, now)
        return decisions

    # The bus

    def linked(self, is_intact: bool, keeps: bool, now: float) -> list[Decision]:
        """The bus is connected, and is read behind `position`.

        Args:
            is_intact: whether the log still has what was read last; else it was lost.
            keeps: whether the bus keeps the log.
            now: the moment.
        """
        self._is_linked, self._link_moment, self._problem = True, now, ""
        self.is_stuck = False
        self._keeps = keeps
        self._seen = dict.fromkeys(self.registry.hosts, now)
        self._suspected.clear()
        decisions: list[Decision] = []
        if self._is_told_alone:
            self._is_told_alone = False
            decisions = self._tell_all("the other hosts are reached again; what was said there meanwhile follows")
        if not is_intact:
            self.outbox.repeat()
        if not self.is_together or not is_intact or not keeps:
            self._say_hello(now)
        return decisions

    def unlinked(self, problem: str, now: float) -> list[Decision]:
        """The bus is lost, or could not be reached."""
        if self._is_linked:
            self._is_linked, self._link_moment = False, now
            self.outbox.link_lost()
        self._hello = self._ready = self._caught_up = None
        self._problem = problem
        return self.tick(now)

    def next_entry(self) -> bytes | None:
        """What is to be published now; None: nothing."""
        return self.outbox.next_entry() if self._is_linked else None

    def entries(self, entries: Iterable[Entry], now: float) -> list[Decision]:
        """What was read from the log."""
        self._members.now = now
        decisions: list[Decision] = []
        for entry in entries:
            decoded = decode(entry.data)
            if decoded is None:
                self._invalid_count += 1
                decisions += self._tell_invalid()
                self.position = entry.id
                continue
            host, events = decoded
            self._seen[host] = now
            for index, (number, event) in enumerate(events):
                if not self._marks.take(host, number, event, is_own=host in self._own):
                    if host in self._own:
                        self.outbox.returned(host, number)
                    continue
                position = entry.id if index == len(events) - 1 else None
                decisions += self._apply(host, number, event, position, now)
            self.position = entry.id
        return [*decisions, *self.tick(now)]

    def present(self, hosts: Iterable[str], now: float) -> None:
        """These hosts have shown lately that they are there."""
        known = self.registry.hosts
        self._seen = {host: at for host, at in self._seen.items() if host in known or now - at <= HOST_TIMEOUT}
        for host in hosts:
            self._seen[host] = now

    def tick(self, now: float) -> list[Decision]:
        """What follows from the time alone; call it a few times a second."""
        decisions: list[Decision] = []
        if self.is_together:
            decisions += self._check_alone(now)
        elif self._is_linked:
            decisions += self._check_together(now)
        elif not self._is_told_alone and now - self._link_moment >= GRACE_TIME:
            decisions += self._tell_alone()
        if self.is_together and self._list_again is not None and now >= self._list_again:
            self._list_again = None
            self._publish_members(now)
            self._last_list = self._ready or 0
        for host in list(self.registry.hosts):
            if host != self.host and now - self._seen.setdefault(host, now) > HOST_TIMEOUT:
                decisions += self._lose(host, now)
        decisions += self._take_overdue(now)
        if self.outbox.left_out:
            count, self.outbox.left_out = self.outbox.left_out, 0
            decisions += self.hub.tell(HOST, "{count} lines will not reach the other hosts: too many wait", count=count)
        return decisions

    def end(self, now: float) -> None:
        """This host ends; the others are told, where the bus is there."""
        self._queues.clear()
        self._put(("bye",), ELSEWHERE, now, is_shown=True)

    def _check_alone(self, now: float) -> list[Decision]:
        oldest = self.outbox.oldest()
        is_overdue = oldest is not None and now - oldest >= ECHO_TIME
        if is_overdue and self._is_linked:
            self.is_stuck, self._problem = True, f"no answer within {ECHO_TIME:g} s"
        if is_overdue or (not self._is_linked and now - self._link_moment >= GRACE_TIME):
            return self._go_alone(now)
        return []

    def _check_together(self, now: float) -> list[Decision]:
        if self._caught_up is None or self._ready is not None:
            if now - self._link_moment >= 2 * ECHO_TIME:
                self.is_stuck, self._problem = True, "no answer"
                if not self._is_told_alone:
                    return self._tell_alone()
            return []
        waited = now - self._caught_up
        if (self._awaited and waited < ANSWER_TIME) or (self._is_new and waited < FIRST_TIME):
            return []
        self.is_together = self._members.is_shared = True
        self._is_new = False
        self._list_again = now + LIST_TIME
        for host in self._awaited & set(self.registry.hosts):  # they are not there, or will say that they are
            self._put(("gone", host), ELSEWHERE, now, is_shown=True)
        return []

    def _say_hello(self, now: float) -> None:
        self.outbox.drop_changes()
        counts = {} if self._keeps else self._marks.listed()
        self._hello = self._put(("hello", counts), ELSEWHERE, now, is_shown=True).number
        self._caught_up = None
        if self._earlier_host:
            self._put(("gone", self._earlier_host), ELSEWHERE, now, is_shown=True)
        self._publish_members(now)

    def _publish_members(self, now: float) -> None:
        self._put(("reset",), ELSEWHERE, now, is_shown=True)
        for number, member in self._members.by_number.items():
            self._put(("here", number, member.name, member.room), ELSEWHERE, now, is_shown=True)
        for ban in self._members.bans.values():
            seconds = 0.0 if ban.until is None else ban.until - self._members.now
            if seconds >= 0:
                self._put(("ban", ban.name, ban.source, seconds), ELSEWHERE, now, is_shown=True)
        self._ready = self._put(("ready", self._count), ELSEWHERE, now, is_shown=True).number

    def _go_alone(self, now: float) -> list[Decision]:
        """Show what waits for the bus, and go on without it."""
        self.is_together = self._members.is_shared = False
        decisions = self._tell_alone()
        self._queues.forget_sent()
        for each in self.outbox.unseen():
            if each.event[0] == "say":
                _, count, number, name, room, kind, text, at = each.event
                shown = self._members.heard(number, name, room, kind, text, at)
                assert shown.message is not None
                each.message_id = shown.message.id
                self.origins[shown.message.id] = Origin(self.host, each.number, count, None, True)
                decisions.append(shown)
            elif each.event[0] == "name":
                decisions += self._take_name(each.member, each.event[2])
            each.is_shown = True
        self.outbox.drop_changes()
        for member in self._queues.members:
            decisions += self._resume(member, now)
        return decisions

    def _take_name(self, member: int, name: str) -> list[Decision]:
        """Give a member a name, where it is free."""
        if member not in self._members.by_number:
            return []
        if self._members.taken.is_free(name, instead_of=self._members.by_number[member].name):
            decisions = self._members.rename(member, name)
            self._members.changes = []
            return decisions
        free = self._members.taken.free_like(name, 2)
        text = "{name} is here already, or looks the same; free is: /name {free}"
        return self.hub.tell(member, text, name=name, free=free)

    # Events of the log

    def _apply(self, host: str, number: int, event: Event, position: str | None, now: float) -> list[Decision]:
        unsent = self.outbox.returned(host, number) if host in self._own else None
        if event[0] == "say":
            decisions = self._hear(host, number, event, unsent, position, now)
        elif host == self.host:
            decisions = self._apply_own(number, event, unsent, now)
        else:
            decisions = self._apply_foreign(host, event, now)
        if unsent is not None and unsent.member != ELSEWHERE:
            self._queues.returned(unsent.member, unsent)
            decisions += self._resume(unsent.member, now)
        return decisions

    def _hear(
        self, host: str, number: int, event: Event, unsent: Unsent | None, position: str | None, now: float
    ) -> list[Decision]:
        """A line; where others are missing before it that its host will publish again, it waits for them."""
        if not self._keeps and host not in self._own and self._marks.missing(host, event[1]):
            self._marks.keep_early(host, EarlyLine(number, event, position, now + ANSWER_TIME))
            return self._take_overdue(now)
        decisions = self._take_line(host, event, unsent, position)
        while (line := self._marks.next_early(host)) is not None:
            decisions += self._take_line(host, line.event, None, line.position)
        return decisions

    def _take_overdue(self, now: float) -> list[Decision]:
        decisions: list[Decision] = []
        for host, line in self._marks.overdue(now):
            decisions += self._take_line(host, line.event, None, line.position)
        return decisions

    def _take_line(self, host: str, event: Event, unsent: Unsent | None, position: str | None) -> list[Decision]:
        _, count, member, name, room, kind, text, at = event
        is_known = host in self._marks.counts
        missing = 0 if host in self._own else self._marks.missing(host, count)
        decisions: list[Decision] = []
        if missing:
            decisions += self._tell_all("{count} lines from another host were lost", count=missing)
        self._marks.count(host, count)
        if unsent is not None and unsent.is_shown:
            return decisions
        decisions += self._members.introduce((host, member))
        shown = self._members.heard(member if host == self.host else ELSEWHERE, name, room, kind, text, at)
        assert shown.message is not None
        self.origins[shown.message.id] = Origin(host, self._marks.numbers[host], count, position, False)
        # What was said before this host began is history. On a bus that keeps nothing it may be published again for
        # others, when its host has not been met yet.
        is_past = not self._has_begun or (not self._keeps and not is_known and host not in self._own)
        return [*decisions, ShowLine((), shown.line, shown.message) if is_past else shown]

    def _apply_own(self, number: int, event: Event, unsent: Unsent | None, now: float) -> list[Decision]:
        if event[0] == "hello":
            if number == self._hello:
                self._hello, self._caught_up, self._has_begun = None, now, True
                self._awaited = set(self.registry.hosts) - {self.host}
            return []
        staged = dict(self.registry._staged.get(self.host, {})) if event[0] == "ready" else {}
        changes = self.registry.apply(self.host, event)
        if event[0] == "ready":
            if number == self._ready:
                self._ready = None
            return [each for member, place in staged.items() for each in self._adopt(member, place[0], now, number)]
        if event[0] == "join":
            return self._adopt(event[1], event[2], now)
        if event[0] == "name":
            if unsent is not None and not unsent.is_shown:
                return self._decide_name(event[1], event[2], bool(changes), now)
            return self._adopt(event[1], event[2], now)
        if event[0] == "gone":
            return self._apply_gone(event[1], changes, now)
        return []

    def _adopt(self, number: int, published: str, now: float, number_of_list: int | None = None) -> list[Decision]:
        """Where another host's member was first in the log with this name, ours gets another one.

        Hosts that do not know the same may both think so, or neither; the last list after they have met is decided
        by their names.

        A name that ours has got since it was published (a claim was on its way) is published once more.
        """
        place, member = self.registry.place(self.host, number), self._members.by_number.get(number)
        if place is None or member is None or self.outbox.has_name_of(number):
            return []
        if member.name != published or (place[0] != member.name and self.registry.is_free(member.name)):
            if place[0] != member.name:
                self._put(("name", number, member.name), ELSEWHERE, now, is_shown=True)
            return []
        rivals = self.registry.rivals(self.host, number)
        if place[0] == member.name and not any(
            is_earlier or (number_of_list == self._last_list and key < (self.host, number))
            for key, is_earlier in rivals
        ):
            return []
        stem = member.name.rstrip("0123456789") or member.name
        return self.absorb(self._members.rename(number, self._members.taken.free_like(stem, 2)), now)

    def _decide_name(self, number: int, name: str, is_given: bool, now: float) -> list[Decision]:
        member = self._members.by_number.get(number)
        if member is None:
            return []
        if not is_given:
            free = self._members.taken.free_like(name, 2)
            text = "{name} is here already, or looks the same; free is: /name {free}"
            refusal = self.hub.tell(number, text, name=name, free=free)
            return [*refusal, *self._adopt(number, member.name, now)]
        decisions = self._members.rename(number, name)
        self._members.changes = []
        return decisions

    def _apply_foreign(self, host: str, event: Event, now: float) -> list[Decision]:
        kind = event[0]
        if kind == "hello":
            if not self._keeps:
                self.outbox.repeat_lines(event[1])
            if self._hello is None:
                self._publish_members(now)
            self._list_again = now + LIST_TIME
            return []
        if kind == "ready":
            self._awaited.discard(host)
            self._marks.begin(host, event[1])
        if kind in ("msg", "absent", "order"):
            return self._for_us(host, event, now) if event[1] == self.host else []
        if kind in ("ban", "unban"):
            self._ban(event)
            return []
        changes = self.registry.apply(host, event)
        if kind == "gone":
            return self._apply_gone(event[1], changes, now)
        return self._move_elsewhere(changes)

    def _apply_gone(self, host: str, changes: list[Change], now: float) -> list[Decision]:
        self._suspected.discard(host)
        if host == self._earlier_host:
            self._earlier_host = ""
        if host == self.host:  # the others did not see us for long; we are back
            self._publish_members(now)
            return []
        return self._move_elsewhere(changes)

    def _for_us(self, host: str, event: Event, now: float) -> list[Decision]:
        kind, _, number, name, *rest = event
        members = self._members
        if kind == "absent":
            return self.hub.tell(number, "{name} is not here: see /who", name=name)
        if kind == "order":
            if number not in members.by_number or number == HOST or name not in HOST_COMMANDS:
                return []
            return self.absorb(HOST_COMMANDS[name](members, HOST, f"{members.by_number[number].name} {rest[0]}"), now)
        if number not in members.by_number:
            self._put(("absent", host, rest[0], name), ELSEWHERE, now, is_shown=True)
            return []
        detail = Private(rest[1], members.by_number[number].name, rest[2])
        line = private_line(rest[1], members.text_for(number, "private"), rest[2])
        return [*members.introduce((host, rest[0])), ShowLine((number,), line, detail=detail)]

    def _ban(self, event: Event) -> None:
        bans = self._members.bans
        if event[0] == "unban":
            bans.pop(event[1], None)
        elif event[1] not in bans and len(bans) < 10_000:
            until = self._members.now + event[3] if event[3] else None
            bans[event[1]] = Ban(event[1], event[2], until)

    def _move_elsewhere(self, changes: list[Change]) -> list[Decision]:
        """Note where the members of other hosts are, and show it to those in their rooms."""
        for change in changes:
            self._members.set_elsewhere(change.key, change.after)
        if not self._has_begun:
            return []
        return [*change_notices(self._members, changes)]

    def _lose(self, host: str, now: float) -> list[Decision]:
        """A host was not seen for long: all hosts come to know it by the log, or only this one while it is alone."""
        if not self.is_together:
            return self._move_elsewhere(self.registry.apply(self.host, ("gone", host)))
        if host not in self._suspected:
            self._suspected.add(host)
            self._put(("gone", host), ELSEWHERE, now, is_shown=True)
        return []

    # Notices

    def _tell_all(self, text: str, **fields: object) -> list[Decision]:
        return [*self._members.notice(tuple(self._members.by_number), text, **fields)]

    def _tell_alone(self) -> list[Decision]:
        self._is_told_alone = True
        problem = self.hub.tell(HOST, "the bus is away: {problem}", problem=self._problem or "no answer")
        return [*problem, *self._tell_all(ALONE)]

    def _tell_invalid(self) -> list[Decision]:
        if self._invalid_count > 1:
            return []
        return self.hub.tell(HOST, "the bus has entries that are not of a chat: they are left out")
