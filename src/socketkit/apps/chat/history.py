"""The latest messages of each room, in memory: shown to whoever joins it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from socketkit.apps.chat.message import Message

__all__ = ["MAX_ROOMS", "MAX_ROOM_SIZE", "History"]

MAX_ROOMS: Final = 1000
"""Rooms that are remembered; beyond it the one is forgotten in which nobody has said anything for the longest time."""

MAX_ROOM_SIZE: Final = 256 * 1024
"""Characters that are remembered of a room: a guest that joins is not sent more."""


class _Room:
    __slots__ = ("forgotten_id", "messages", "size")

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.size = 0
        self.forgotten_id = 0


class History:
    """Remembers the last messages of each room, bounded in rooms, messages and characters."""

    def __init__(self, count: int, messages: Iterable[Message] = ()) -> None:
        """Args:
        count: messages of each room that are remembered; 0: none.
        messages: were said before, in their order.
        """
        self._count = count
        self._rooms: OrderedDict[str, _Room] = OrderedDict()
        for message in messages:
            self.add(message)

    def add(self, message: Message) -> None:
        """Remember a message."""
        if not self._count:
            return
        room = self._rooms.setdefault(message.room, _Room())
        self._rooms.move_to_end(message.room)
        room.messages.append(message)
        room.size += len(message.text)
        while len(room.messages) > self._count or (room.size > MAX_ROOM_SIZE and len(room.messages) > 1):
            forgotten = room.messages.popleft()
            room.size -= len(forgotten.text)
            room.forgotten_id = forgotten.id
        if len(self._rooms) > MAX_ROOMS:
            self._rooms.popitem(last=False)

    def add_many(self, messages: Iterable[Message], forgotten_id: int) -> None:
        """Remember the last of many messages of one room; those up to this id were not worth making."""
        room = ""
        for message in messages:
            self.add(message)
            room = message.room
        if room in self._rooms:
            self._rooms[room].forgotten_id = max(self._rooms[room].forgotten_id, forgotten_id)

    def of(self, room: str) -> tuple[Message, ...]:
        """The last messages of this room, the oldest first."""
        kept = self._rooms.get(room)
        return tuple(kept.messages) if kept else ()

    def before(self, room: str, message_id: int, count: int) -> list[Message]:
        """The last messages of this room with a smaller id, the oldest first."""
        return [each for each in self.of(room) if each.id < message_id][-count:]

    def last_id(self, room: str) -> int:
        """The id of the last message of this room; 0: there is none."""
        kept = self._rooms.get(room)
        return kept.messages[-1].id if kept else 0

    def forgotten_id(self, room: str) -> int:
        """The id of the last message of this room that was forgotten; 0: there is none."""
        kept = self._rooms.get(room)
        return kept.forgotten_id if kept else 0

    def search(self, room: str, text: str, count: int) -> list[Message]:
        """The last messages of this room that hold each of these words, in any case; the oldest first."""
        words = text.casefold().split()
        found = [each for each in self.of(room) if all(word in each.text.casefold() for word in words)]
        return found[-count:]
