"""The members of a chat that are at other hosts, as this host knows them."""

from __future__ import annotations

from itertools import islice

__all__ = ["Elsewhere", "Key", "Place"]

Key = tuple[str, int]
"""A member at another host: the host, and its number there."""

Place = tuple[str, str]
"""A name, and the room in which it is."""


class Elsewhere:
    """Who is in which room at other hosts."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Place] = {}
        self._rooms: dict[str, dict[Key, None]] = {}

    def set(self, key: Key, place: Place | None) -> Place | None:
        """Note where a member is (None: gone); where it was before."""
        before = self.by_key.pop(key, None)
        if before is not None:
            here = self._rooms[before[1]]
            del here[key]
            if not here:
                del self._rooms[before[1]]
        if place is not None:
            self.by_key[key] = place
            self._rooms.setdefault(place[1], {})[key] = None
        return before

    def names_in(self, room: str, count: int) -> list[str]:
        """The names of those in a room, at most so many."""
        return [self.by_key[key][0] for key in islice(self._rooms.get(room, ()), max(0, count))]

    def count_in(self, room: str) -> int:
        """How many are in a room."""
        return len(self._rooms.get(room, ()))

    def find(self, name: str) -> Key | None:
        """The member with this name; None: there is none. Case does not matter."""
        folded = name.casefold()
        return next((key for key, place in self.by_key.items() if place[0].casefold() == folded), None)
