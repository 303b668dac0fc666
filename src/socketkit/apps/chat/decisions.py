"""What the hub decides: plain values, which its host carries out in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from socketkit.apps.chat.message import Message
from socketkit.values import Value

__all__ = [
    "HOST",
    "Decision",
    "Disconnect",
    "EndChat",
    "Notice",
    "Others",
    "Past",
    "Pause",
    "Private",
    "Publish",
    "Search",
    "ShowLine",
    "ShowMany",
]

HOST: Final = 0
"""The number of the member at the host."""


class Notice(Value):
    """What a notice is made of.

    Attributes:
        text: one of `texts`, in English: its key.
        values: of its fields, and more that a page needs and the line does not have.
    """

    text: str
    values: Mapping[str, Any]


class Past(Value):
    """A message of the history, or one that was found.

    Attributes:
        message: as it was kept.
        is_found: whether it was searched for.
    """

    message: Message
    is_found: bool = False


class Private(Value):
    """A private message.

    Attributes:
        name: of its writer.
        to: of its reader.
        text: is safe for any terminal.
    """

    name: str
    to: str
    text: str


class Others(tuple[int, ...]):
    """The numbers of all in a room but one.

    Attributes:
        all_here: those of all, one object for all such numbers until a member comes or goes.
        left_out: the number that is missing here; None: none is.
    """

    all_here: tuple[int, ...]
    left_out: int | None


class ShowLine(Value):
    """Show this line to these members. It is safe for any terminal.

    Attributes:
        members: their numbers.
        line: as guests with plain lines see it.
        message: what was said, where somebody said it to a room. It is kept, if it can be, before anybody sees it.
            None: a notice of the room, a private message, a line of the history.
        detail: what the line was made of where there is no message, for guests that are shown more than lines.
        writer: the member that wrote it: it is no reader, but a page shows what its guest has written.
    """

    members: tuple[int, ...]
    line: str
    message: Message | None = None
    detail: Notice | Past | Private | None = None
    writer: int | None = None


class ShowMany(Value):
    """Show many lines of one writer, where nobody needs them as messages.

    Attributes:
        members: their numbers.
        lines: as guests with plain lines see them, with a line feed between two.
        writer: the member that wrote them.
    """

    members: tuple[int, ...]
    lines: str
    writer: int


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


class Publish(Value):
    """Tell the other hosts of the chat; what follows here is decided when the bus has put it into its order.

    Attributes:
        event: of `bus.wire`, without its number.
        member: of this host, on whose behalf it is.
    """

    event: tuple[object, ...]
    member: int


Decision = ShowLine | ShowMany | Disconnect | Pause | Search | EndChat | Publish
