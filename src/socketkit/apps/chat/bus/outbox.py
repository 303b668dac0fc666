"""What a host has decided and not yet seen in the log: in its order, one entry on its way at a time. Without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from socketkit.apps.chat.bus.bus import MAX_ENTRY_SIZE
from socketkit.apps.chat.bus.wire import Event, Numbered, encode

__all__ = ["KEPT_KINDS", "Outbox", "Unsent"]

KEPT_KINDS: Final = frozenset({"say", "msg", "absent", "order", "ban", "unban"})
"""Events that are published later where a host is on its own; a list of its members replaces the others."""

MAX_UNSENT: Final = 10_000
"""What was said and is not published yet; beyond it the oldest is left out. As many as a store keeps in memory."""

MAX_REMEMBERED: Final = 1000
"""Own events in the log that are remembered, to be published again where the bus has lost its log."""

MAX_BATCH: Final = 500
"""Events of one entry."""


class Unsent:
    """An event that is not in the log yet.

    Attributes:
        host: which published it: this one, or an earlier run of it.
        number: of the event, within its host.
        event: what it is.
        member: on whose behalf it is.
        since: when it was decided; only of events that were not shown.
        is_shown: whether the members of this host have seen it.
        message_id: of the message in the store, where it was shown.
    """

    __slots__ = ("event", "host", "is_shown", "member", "message_id", "number", "since")

    def __init__(self, host: str, number: int, event: Event, member: int, since: float, is_shown: bool) -> None:
        self.host = host
        self.number = number
        self.event = event
        self.member = member
        self.since = since
        self.is_shown = is_shown
        self.message_id: int | None = None


class Outbox:
    """The events of this host on their way into the log.

    An entry is published when the one before it was read back. So the entries of a host stand in the log in the order
    of their numbers, whatever is published again after a loss, and a reader knows by the number what it has seen.

    Attributes:
        left_out: what was said and left out because too much was waiting.
    """

    def __init__(self) -> None:
        self._unsent: dict[tuple[str, int], Unsent] = {}
        self._sent: deque[Unsent] = deque(maxlen=MAX_REMEMBERED)
        self._in_flight: tuple[str, int] | None = None
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._unsent)

    def said_count(self) -> int:
        """How many lines wait."""
        return sum(each.event[0] == "say" for each in self._unsent.values())

    def unseen(self) -> list[Unsent]:
        """The events that nobody here has been shown."""
        return [each for each in self._unsent.values() if not each.is_shown]

    def put(self, unsent: Unsent) -> None:
        """Append an event; its number is above those before it."""
        if len(self._unsent) >= MAX_UNSENT:
            oldest = next((each for each in self._unsent.values() if each.event[0] == "say"), None)
            if oldest is not None:
                del self._unsent[oldest.host, oldest.number]
                self.left_out += 1
        self._unsent[unsent.host, unsent.number] = unsent

    def returned(self, host: str, number: int) -> Unsent | None:
        """Take an event that was read back; None: it is not on its way, but published before or dropped."""
        if self._in_flight is not None and self._in_flight[0] == host and number >= self._in_flight[1]:
            self._in_flight = None
        unsent = self._unsent.pop((host, number), None)
        if unsent is not None and unsent.event[0] in KEPT_KINDS:
            self._sent.append(unsent)
        return unsent

    def oldest(self) -> float | None:
        """When the first event was decided that nobody has been shown; None: there is none."""
        return next((each.since for each in self._unsent.values() if not each.is_shown), None)

    def has_name_of(self, member: int) -> bool:
        """Whether a name of this member waits."""
        return any(each.event[:2] == ("name", member) for each in self._unsent.values())

    def drop_changes(self) -> None:
        """Leave out what a list of the members replaces; a name that was asked for is still to be decided."""
        for key, each in list(self._unsent.items()):
            if each.event[0] not in KEPT_KINDS and each.is_shown:
                del self._unsent[key]

    def repeat(self) -> None:
        """Publish again what was published lately, first: the log was lost, and others may not have read it."""
        self._put_again(list(self._sent))
        self._sent.clear()

    def repeat_lines(self, counts: Mapping[str, int]) -> None:
        """Publish again what another host has missed of what was said lately, first.

        Args:
            counts: for each host the count of its last line that was read there; a host that is not among them was
                not known there, and nothing of it is missed.
        """

        def is_missed(each: Unsent) -> bool:
            return each.event[0] == "say" and bool(each.event[1] > counts.get(each.host, each.event[1]))

        self._put_again([each for each in self._sent if is_missed(each)])
        self._sent = deque([each for each in self._sent if not is_missed(each)], maxlen=MAX_REMEMBERED)

    def _put_again(self, events: list[Unsent]) -> None:
        for each in events:
            each.is_shown = True
        self._unsent = {**{(each.host, each.number): each for each in events}, **self._unsent}

    def link_lost(self) -> None:
        """Whether the entry on its way is in the log is not known: it is published again."""
        self._in_flight = None

    def next_entry(self) -> bytes | None:
        """The next entry to be published; None: there is none now."""
        if self._in_flight is not None or not self._unsent:
            return None
        host = next(iter(self._unsent))[0]
        batch: list[Numbered] = []
        size = 0
        for (owner, number), each in self._unsent.items():
            size += 100 + sum(4 * len(field) if isinstance(field, str) else 20 for field in each.event)
            if owner != host or len(batch) >= MAX_BATCH or (size > MAX_ENTRY_SIZE and batch):
                break
            batch.append((number, each.event))
        self._in_flight = (host, batch[-1][0])
        return encode(host, batch)
