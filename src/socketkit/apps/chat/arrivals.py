"""Notices of members that came, went or changed their names: one each while there are few, one for all of many.

A notice goes to all in a room, so a hundred guests that come in a moment would cost ten thousand lines. A member that
has left again before its notice has none, and one that has changed its name a hundred times has one. Without I/O; time
is an argument.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from socketkit.values import Value

__all__ = ["LISTED_NAMES", "Arrivals", "Gathered", "listed_names"]

SINGLE_BURST: Final = 20
"""Members that may come or go in a row with a notice each, at once."""

SINGLE_RATE: Final = 20.0
"""Such notices a second, after those: about what can be read. In a room of a thousand they cost a tenth of a core."""

TOGETHER_TIME: Final = 0.25
"""Seconds for which the members beyond are gathered; then one notice is for all of them."""

LISTED_NAMES: Final = 10
"""Names in a notice of many members."""


class Gathered(Value):
    """What happened in a room without a notice yet, in the order in which it is to be told.

    Attributes:
        room: its name.
        went: names.
        renamed: names before and now.
        came: names.
    """

    room: str
    went: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    came: tuple[str, ...]


class Arrivals:
    """Decides which members have a notice at once, and gathers the others.

    Attributes:
        due: the moment at which what was gathered is to be shown; None: nothing was.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        # The moments at which the notices that were shown at once are within the rate.
        self._paid_until = self._renames_paid_until = 0.0
        self._came: dict[Hashable, tuple[str, str]] = {}
        self._went: list[tuple[str, str]] = []
        self._renamed: dict[Hashable, tuple[str, str, str]] = {}  # before, now, the room
        self._names_before: set[str] = set()

    def __contains__(self, who: Hashable) -> bool:
        """Whether this member has come or changed its name, and its notice was not shown yet."""
        return who in self._came or who in self._renamed

    def come(self, who: Hashable, name: str, room: str, now: float) -> bool:
        """Note that a member came; whether its notice is to be shown at once."""
        if self._is_single(now):
            return True
        self._came[who] = (name, room)
        return False

    def go(self, who: Hashable, name: str, room: str, now: float) -> bool:
        """Note that a member went; as `come`. False too where the notice of its coming was not shown."""
        if self.take_back(who):
            return False
        name = self._take_rename(who) or name
        if self._is_single(now):
            return True
        self._went.append((name, room))
        return False

    def take_back(self, who: Hashable) -> bool:
        """Drop the notice that a member has come; whether there was one to be shown."""
        return self._came.pop(who, None) is not None

    def is_name_before(self, who: Hashable, name: str) -> bool:
        """Whether another member than this one is known by this name still: it has changed it, without a notice yet."""
        return name in self._names_before and self._renamed.get(who, ("",))[0] != name

    def change(self, who: Hashable, before: str, name: str, room: str, now: float) -> bool:
        """Note that a member whose coming was told has another name; whether its notice is to be shown at once."""
        if who in self._renamed:
            before = self._take_rename(who) or before
        elif self.due is None:
            paid_until = _paid_until(self._renames_paid_until, now)
            if paid_until is not None:
                self._renames_paid_until = paid_until
                return True
            self.due = now + TOGETHER_TIME
        if before != name:
            self._renamed[who] = before, name, room
            self._names_before.add(before)
        return False

    def _take_rename(self, who: Hashable) -> str | None:
        before = self._renamed.pop(who, (None,))[0]
        if before is not None:
            self._names_before.discard(before)
        return before

    def rename(self, who: Hashable, name: str) -> bool:
        """Change the name in the notice of a member that came; False: there is none to be shown."""
        if who not in self._came:
            return False
        self._came[who] = (name, self._came[who][1])
        return True

    def take(self) -> list[Gathered]:
        """Take what was gathered, for each room."""
        went, renamed, came = dict[str, list[str]](), dict[str, list[tuple[str, str]]](), dict[str, list[str]]()
        for name, room in self._went:
            went.setdefault(room, []).append(name)
        for before, name, room in self._renamed.values():
            renamed.setdefault(room, []).append((before, name))
        for name, room in self._came.values():
            came.setdefault(room, []).append(name)
        for gathered in (self._went, self._renamed, self._names_before, self._came):
            gathered.clear()
        self.due = None
        return [
            Gathered(room, tuple(went.get(room, ())), tuple(renamed.get(room, ())), tuple(came.get(room, ())))
            for room in went | renamed | came
        ]

    def _is_single(self, now: float) -> bool:
        if self.due is not None:
            return False  # behind those that were gathered
        paid_until = _paid_until(self._paid_until, now)
        if paid_until is None:
            self.due = now + TOGETHER_TIME
            return False
        self._paid_until = paid_until
        return True


def _paid_until(before: float, now: float) -> float | None:
    """The moment at which one more notice is within the rate; None: it is one too many."""
    owed = max(0.0, before - now)
    return now + owed + 1 / SINGLE_RATE if owed <= (SINGLE_BURST - 1) / SINGLE_RATE + 1e-9 else None


def listed_names(names: Sequence[str], most: int = LISTED_NAMES, count: int | None = None) -> str:
    """The first of many names, and how many they are.

    Args:
        names: are all of them, or at least the first ones.
        most: that are listed.
        count: of all; None: it is that of the names.
    """
    count = len(names) if count is None else count
    return ", ".join(names[:most]) + (f" ... {count}" if count > most else "")
