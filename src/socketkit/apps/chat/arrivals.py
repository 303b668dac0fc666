"""Notices of members that came and went: one each while there are few, one for all when there are many.

A notice goes to all in a room, so a hundred guests that come in a moment would cost ten thousand lines. A member that
has left again before its notice has none. Without I/O; time is an argument.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from socketkit.values import Value

__all__ = ["Arrivals", "Gathered", "listed_names"]

SINGLE_BURST: Final = 20
"""Members that may come or go in a row with a notice each, at once."""

SINGLE_RATE: Final = 20.0
"""Such notices a second, after those: about what can be read. In a room of a thousand they cost a tenth of a core."""

TOGETHER_TIME: Final = 0.25
"""Seconds for which the members beyond are gathered; then one notice is for all of them."""

LISTED_NAMES: Final = 10
"""Names in a notice of many members."""


class Gathered(Value):
    """The members that came to a room and went from it, without a notice yet.

    Attributes:
        room: its name.
        came: names.
        went: names.
    """

    room: str
    came: tuple[str, ...]
    went: tuple[str, ...]


class Arrivals:
    """Decides which members have a notice at once, and gathers the others.

    Attributes:
        due: the moment at which what was gathered is to be shown; None: nothing was.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._paid_until = 0.0  # the moment at which the notices that were shown at once are within the rate
        self._came: dict[Hashable, tuple[str, str]] = {}
        self._went: list[tuple[str, str]] = []

    def __contains__(self, who: Hashable) -> bool:
        """Whether this member has come and its notice was not shown yet."""
        return who in self._came

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
        if self._is_single(now):
            return True
        self._went.append((name, room))
        return False

    def take_back(self, who: Hashable) -> bool:
        """Drop the notice that a member has come; whether there was one to be shown."""
        return self._came.pop(who, None) is not None

    def rename(self, who: Hashable, name: str) -> bool:
        """Change the name in the notice of a member; False: there is none to be shown."""
        if who not in self._came:
            return False
        self._came[who] = (name, self._came[who][1])
        return True

    def take(self) -> list[Gathered]:
        """Take what was gathered, for each room."""
        rooms: dict[str, tuple[list[str], list[str]]] = {}
        for name, room in self._came.values():
            rooms.setdefault(room, ([], []))[0].append(name)
        for name, room in self._went:
            rooms.setdefault(room, ([], []))[1].append(name)
        self._came.clear()
        self._went.clear()
        self.due = None
        return [Gathered(room, tuple(came), tuple(went)) for room, (came, went) in rooms.items()]

    def _is_single(self, now: float) -> bool:
        if self.due is not None:
            return False  # behind those that were gathered
        owed = max(0.0, self._paid_until - now)
        if owed <= (SINGLE_BURST - 1) / SINGLE_RATE + 1e-9:
            self._paid_until = now + owed + 1 / SINGLE_RATE
            return True
        self.due = now + TOGETHER_TIME
        return False


def listed_names(names: Sequence[str], most: int = LISTED_NAMES, count: int | None = None) -> str:
    """The first of many names, and how many they are.

    Args:
        names: are all of them, or at least the first ones.
        most: that are listed.
        count: of all; None: it is that of the names.
    """
    count = len(names) if count is None else count
    return ", ".join(names[:most]) + (f" ... {count}" if count > most else "")
