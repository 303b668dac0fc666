"""Who came and went lately: few are told of one by one, many at once together. Without I/O; time is an argument.

A notice goes to all in a room, so a hundred guests that come in a moment would cost ten thousand lines. Who has left
again before it was told of is not told of at all.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from socketkit.values import Value

__all__ = ["Arrivals", "Gathered", "listed_names"]

SINGLE_BURST: Final = 20
"""Comings and goings that are told at once, each in a line of its own."""

SINGLE_RATE: Final = 20.0
"""Of them a second, after those: about what can be read. In a room of a thousand it costs a tenth of a core."""

TOGETHER_TIME: Final = 0.25
"""Seconds for which those beyond are gathered; then they are told in one line."""

LISTED_NAMES: Final = 10
"""Names in one line about many."""


class Gathered(Value):
    """Who came to a room and went from it, not told yet.

    Attributes:
        room: its name.
        came: names.
        went: names.
    """

    room: str
    came: tuple[str, ...]
    went: tuple[str, ...]


class Arrivals:
    """Gathers comings and goings where there are many of them.

    Attributes:
        due: the moment at which what was gathered is to be told; None: nothing was.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._paid_until = 0.0  # the moment at which all that were told at once are paid for
        self._came: dict[Hashable, tuple[str, str]] = {}
        self._went: list[tuple[str, str]] = []

    def __contains__(self, who: Hashable) -> bool:
        """Whether nobody was told yet that this member has come."""
        return who in self._came

    def come(self, who: Hashable, name: str, room: str, now: float) -> bool:
        """Note that a member came; whether it is to be told at once."""
        if self._is_single(now):
            return True
        self._came[who] = (name, room)
        return False

    def go(self, who: Hashable, name: str, room: str, now: float) -> bool:
        """Note that a member went; whether it is to be told at once. False too where nobody was told that it came."""
        if self.take_back(who):
            return False
        if self._is_single(now):
            return True
        self._went.append((name, room))
        return False

    def take_back(self, who: Hashable) -> bool:
        """Do not tell that a member has come; whether it was not told yet."""
        return self._came.pop(who, None) is not None

    def rename(self, who: Hashable, name: str) -> bool:
        """Tell of a member under another name; False: it was told of already, or not noted."""
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


def listed_names(names: tuple[str, ...] | list[str]) -> str:
    """The first of many names, and how many they are."""
    return ", ".join(names[:LISTED_NAMES]) + (f" ... {len(names)}" if len(names) > LISTED_NAMES else "")
