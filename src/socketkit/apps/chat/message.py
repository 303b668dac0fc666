"""A message: what a member has said to a room, as it is shown, kept and found."""

from __future__ import annotations

import time

from socketkit.values import Value

__all__ = ["Message", "line_of", "private_line", "show_time"]


class Message(Value):
    """What was said, once and for good.

    Attributes:
        id: grows by one from each message to the next, over all rooms and all runs of a chat with a store.
        at: when it was said, in seconds since 1970.
        room: where it was said.
        name: of its writer, at that time.
        kind: "say", or "me" for an action (`/me waves`).
        text: is safe for any terminal.
    """

    id: int
    at: float
    room: str
    name: str
    kind: str
    text: str

    @property
    def line(self) -> str:
        """The line that guests see."""
        return line_of(self.name, self.kind, self.text)


def line_of(name: str, kind: str, text: str) -> str:
    """A line behind its writer's name. `~` begins actions: `* ` is the room's own."""
    return f"~ {name} {text}" if kind == "me" else f"{name}: {text}"


def private_line(name: str, note: str, text: str) -> str:
    """The line of a private message. A name holds no blank, so nobody can imitate it in a room."""
    return f"{name} ({note}): {text}"


def show_time(at: float, now: float) -> str:
    """When something was said, in this machine's time zone: hours and minutes, with the date on another day."""
    moment, today = time.localtime(at), time.localtime(now)
    pattern = "%H:%M" if moment[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(pattern, moment)
