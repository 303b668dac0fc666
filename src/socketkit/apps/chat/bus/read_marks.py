"""What was read of each host: which of its events are new, and which of its lines are missing. Without I/O.

Each host numbers its events, and counts its lines besides. A host that publishes a line again does so under its old
number, so the number tells what was read before. Of lines the count does: one that was missed may come behind others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socketkit.apps.chat.bus.wire import MAX_LISTED_HOSTS, Event
from socketkit.values import Value

__all__ = ["EarlyLine", "ReadMarks"]

MAX_HOSTS: Final = 1000
"""Hosts that are remembered, those that were read last; each run of a host is one."""

MAX_EARLY: Final = 1000
"""Lines of one host that wait for those before them: as many as a host publishes again."""


class EarlyLine(Value):
    """A line before which others are missing.

    Attributes:
        number: of the event, within its host.
        event: what was said.
        position: of its entry in the log.
        deadline: the moment up to which it waits for the others.
    """

    number: int
    event: Event
    position: str | None
    deadline: float


class ReadMarks:
    """Up to where each host was read.

    Attributes:
        numbers: for each host the number of its last event, those that were read last behind the others.
        counts: for each host the count of its last line.
    """

    def __init__(self, numbers: Mapping[str, int], counts: Mapping[str, int]) -> None:
        self.numbers = dict(numbers)
        self.counts = dict(counts)
        self._early: dict[str, dict[int, EarlyLine]] = {}

    def take(self, host: str, number: int, event: Event, *, is_own: bool) -> bool:
        """Note an event that was read; whether it was not read before.

        Args:
            host: which published it.
            number: of the event.
            event: what it is.
            is_own: whether it is of this host, whose lines always come in their order.
        """
        last = self.numbers.pop(host, 0)
        self.numbers[host] = max(last, number)
        if len(self.numbers) > MAX_HOSTS:
            forgotten = next(iter(self.numbers))
            for each in (self.numbers, self.counts, self._early):
                each.pop(forgotten, None)
        if event[0] == "say" and not is_own:
            return int(event[1]) > self.counts.get(host, 0)
        return number > last

    def begin(self, host: str, count: int) -> None:
        """Note how many lines a host had published before we came to know it. Nothing where it is known."""
        self.counts.setdefault(host, count)

    def missing(self, host: str, count: int) -> int:
        """How many lines of this host are missing before the one with this count; 0 of an unknown host."""
        last = self.counts.get(host)
        return 0 if last is None else max(0, count - last - 1)

    def count(self, host: str, count: int) -> None:
        """Note that a line was taken."""
        self.counts[host] = max(count, self.counts.get(host, 0))

    def keep_early(self, host: str, line: EarlyLine) -> None:
        """Keep a line until those before it have come, or its time is over, or too many wait."""
        self._early.setdefault(host, {})[line.event[1]] = line

    def next_early(self, host: str) -> EarlyLine | None:
        """Take the line that follows the last one of this host, where it is waiting."""
        waiting = self._early.get(host)
        if waiting is None:
            return None
        found = waiting.pop(self.counts.get(host, 0) + 1, None)
        if not waiting:
            del self._early[host]
        return found

    def overdue(self, now: float) -> list[tuple[str, EarlyLine]]:
        """Take the lines that have waited long enough, or that are too many: for each host those up to its last
        overdue one, in their order."""
        found: list[tuple[str, EarlyLine]] = []
        for host, waiting in list(self._early.items()):
            late = [count for count, line in waiting.items() if line.deadline <= now or len(waiting) > MAX_EARLY]
            last = max(late, default=0)
            found += [(host, waiting.pop(count)) for count in sorted(waiting) if count <= last]
            if not waiting:
                del self._early[host]
        return found

    def listed(self) -> dict[str, int]:
        """The count of each host, of those that were read last: for a `hello`."""
        return {host: self.counts[host] for host in list(self.numbers)[-MAX_LISTED_HOSTS:] if host in self.counts}
