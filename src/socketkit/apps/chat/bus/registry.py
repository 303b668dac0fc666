"""Which member is at which host, under which name, in which room: what follows from the log alone.

All hosts read one log, so all come to the same registry. A claim of a name that is taken changes nothing. What a host
lists is taken as it is: two hosts that were on their own may list one name. Whoever has it later in the log is given
another one by its host.
"""

from __future__ import annotations

from typing import Final

from socketkit.apps.chat.bus.wire import Event
from socketkit.apps.chat.confusables import skeletons
from socketkit.apps.chat.elsewhere import Key, Place
from socketkit.apps.chat.names import NamesInUse
from socketkit.values import Value

__all__ = ["Change", "Registry"]

MAX_HOSTS: Final = 1000
MAX_MEMBERS: Final = 100_000
"""Of one host; what is beyond these two is left out."""


class Change(Value):
    """What an event has changed for one member.

    Attributes:
        key: its host and number.
        before: its name and room before; None: it was not there.
        after: the same afterwards; None: it is gone.
        how: a text of `texts` about it, where it is gone.
        values: of its fields.
    """

    key: Key
    before: Place | None
    after: Place | None
    how: str = "{name} has left"
    values: tuple[tuple[str, str], ...] = ()


class Registry:
    """The members of all hosts.

    Attributes:
        hosts: for each host the name and the room of each of its members.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, dict[int, Place]] = {}
        self._staged: dict[str, dict[int, Place]] = {}
        self._taken = NamesInUse()
        self._since: dict[Key, int] = {}
        self._count = 0

    def rivals(self, host: str, number: int) -> list[tuple[Key, bool]]:
        """The members whose names look like that of this one, and whether they had it before."""
        place = self.place(host, number)
        if place is None or self.is_unique(place[0]):
            return []
        looks, since = skeletons(place[0]), self._since[host, number]
        return [
            ((other, each), self._since[other, each] < since)
            for other, members in self.hosts.items()
            for each, (name, _) in members.items()
            if (other, each) != (host, number) and skeletons(name) & looks
        ]

    def is_free(self, name: str) -> bool:
        """Whether no member has a name that looks like this."""
        return self._taken.is_free(name)

    def is_unique(self, name: str) -> bool:
        """Whether at most one member has a name that looks like this."""
        return self._taken.is_free(name, instead_of=name)

    def place(self, host: str, number: int) -> Place | None:
        """The name and the room of a member; None: it is not known."""
        return self.hosts.get(host, {}).get(number)

    def apply(self, host: str, event: Event) -> list[Change]:
        """What an event of a host changes; an empty list where it is about something else."""
        kind, *fields = event
        if kind == "reset":
            self._staged[host] = {}
        elif kind == "here" and host in self._staged:
            if len(self._staged[host]) < MAX_MEMBERS:
                self._staged[host][fields[0]] = (fields[1], fields[2])
        elif kind == "ready" and host in self._staged:
            return self._replace(host, self._staged.pop(host), "{name} has left")
        elif kind == "bye":
            return self._replace(host, {}, "{name} has left")
        elif kind == "gone":
            return self._replace(fields[0], {}, "{name} was lost")
        elif kind in ("join", "leave", "move", "name"):
            return self._change(host, kind, *fields)
        return []

    def _change(self, host: str, kind: str, number: int, *fields: object) -> list[Change]:
        before = self.place(host, number)
        if kind == "join":
            return self._set(host, number, (str(fields[0]), str(fields[1])))
        if before is None:
            return []
        if kind == "move":
            return self._set(host, number, (before[0], str(fields[0])))
        if kind == "name":
            name = str(fields[0])
            is_free = self._taken.is_free(name, instead_of=before[0])
            return self._set(host, number, (name, before[1])) if is_free else []
        values = fields[1] if isinstance(fields[1], dict) else {}
        return self._set(host, number, None, str(fields[0]), tuple(sorted(values.items())))

    def _set(
        self, host: str, number: int, place: Place | None, how: str = "", fields: tuple[tuple[str, str], ...] = ()
    ) -> list[Change]:
        members = self.hosts.get(host)
        if members is None:
            if place is None or len(self.hosts) >= MAX_HOSTS:
                return []
            members = self.hosts[host] = {}
        before = members.pop(number, None)
        if before is not None:
            self._taken.remove(before[0])
        if place is not None and len(members) >= MAX_MEMBERS:
            place = None
        if place is not None:
            self._taken.add(place[0])
            members[number] = place
            if before is None or before[0] != place[0]:
                self._count += 1
                self._since[host, number] = self._count
        else:
            self._since.pop((host, number), None)
        if not members:
            del self.hosts[host]
        return [Change((host, number), before, place, how or "{name} has left", fields)] if before != place else []

    def _replace(self, host: str, members: dict[int, Place], how: str) -> list[Change]:
        """Set all members of a host."""
        changes: list[Change] = []
        for number in [each for each in self.hosts.get(host, ()) if each not in members]:
            changes += self._set(host, number, None, how)
        for number, place in members.items():
            changes += self._set(host, number, place)
        return changes
