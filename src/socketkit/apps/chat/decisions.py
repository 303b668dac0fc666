"""What the hub decides: plain values, which its host carries out in their order."""

from __future__ import annotations

from typing import Final

from socketkit.apps.chat.message import Message
from socketkit.values import Value

__all__ = ["HOST", "Decision", "Disconnect", "EndChat", "Pause", "Search", "ShowLine"]

HOST: Final = 0
"""The number of the member at the host."""


class ShowLine(Value):
    """Show this line to these members. It is safe for any terminal.

    Attributes:
        members: their numbers.
        line: as guests with plain lines see it.
        message: what was said, where somebody said it to a room. It is kept, if it can be, before anybody sees it.
            None: a notice of the room, a private message, a line of the history.
    """

    members: tuple[int, ...]
    line: str
    message: Message | None = None


class Disconnect(Value):
    """Disconnect this member, after the lines that it was sent before."""

    member: int


class Pause(Value):
    """Take no line of this member for so many seconds: it is faster than its rate. What it has sent waits."""

    member: int
    seconds: float


class Search(Value):
    """Search what was said in this room; the result goes to `Hub.found`."""

    member: int
    room: str
    text: str


class EndChat(Value):
    """End the chat, for all members."""


Decision = ShowLine | Disconnect | Pause | Search | EndChat
