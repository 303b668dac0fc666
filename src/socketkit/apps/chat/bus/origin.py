"""Where messages stand in the log, and where a host has stopped reading it: what a store keeps beside the messages."""

from __future__ import annotations

from socketkit.apps.chat.message import Message
from socketkit.values import Value

__all__ = ["Origin", "State"]


class Origin(Value):
    """Where a message stands in the log: for the store, which keeps it with the message.

    Attributes:
        host: which published it.
        number: of the last event of this host that was read with it.
        count: what this host's members had said with it.
        position: the entry up to which everything was read; None: as before.
        is_unsent: whether it has still to be published.
    """

    host: str
    number: int
    count: int
    position: str | None
    is_unsent: bool


class State(Value):
    """Where a host has stopped reading: what a store keeps.

    Attributes:
        position: the entry that was read last; "": none.
        numbers: for each host the number of its last event that was read.
        counts: for each host the count of its last line that was read.
        unsent: what was said here and is perhaps not in the log: its origin and the message.
        earlier_host: the name of the last run, whose members are gone; "": none.
    """

    position: str = ""
    numbers: dict[str, int] = {}
    counts: dict[str, int] = {}
    unsent: tuple[tuple[Origin, Message], ...] = ()
    earlier_host: str = ""
