"""What members did that has to wait for the bus: what follows would be shown before what they said. Without I/O."""

from __future__ import annotations

from collections import deque

from socketkit.apps.chat.bus.outbox import Unsent
from socketkit.apps.chat.hub import is_farewell
from socketkit.values import Value

__all__ = ["Left", "MemberQueues", "Wrote"]


class Wrote(Value):
    """A member wrote a line.

    Attributes:
        line: without its end.
        at: when, in seconds since 1970.
    """

    line: bytes
    at: float


class Left(Value):
    """A member has gone.

    Attributes:
        how: a text of `texts`.
    """

    how: str


class MemberQueues:
    """For each member what of it is on its way, and what it did behind that."""

    def __init__(self) -> None:
        self._sent: dict[int, list[Unsent]] = {}
        self._waiting: dict[int, deque[Wrote | Left]] = {}

    def __len__(self) -> int:
        """How much waits."""
        return sum(map(len, self._waiting.values()))

    @property
    def members(self) -> list[int]:
        """Those for whom something waits."""
        return list(self._waiting)

    def put(self, member: int, done: Wrote | Left) -> bool:
        """Queue what a member did, where it has to wait; False: it is to be done at once."""
        if member not in self._waiting and not self._must_wait(member, done):
            return False
        self._waiting.setdefault(member, deque()).append(done)
        return True

    def take(self, member: int) -> Wrote | Left | None:
        """Take the next thing that a member did and that need not wait any more; None: there is none."""
        waiting = self._waiting.get(member)
        if not waiting:
            self._waiting.pop(member, None)
            return None
        return None if self._must_wait(member, waiting[0]) else waiting.popleft()

    def sent(self, member: int, unsent: Unsent) -> None:
        """Note that something of a member is on its way."""
        self._sent.setdefault(member, []).append(unsent)

    def returned(self, member: int, unsent: Unsent) -> None:
        """Note that it has come back."""
        sent = self._sent.get(member)
        if sent is not None and unsent in sent:
            sent.remove(unsent)
            if not sent:
                del self._sent[member]

    def forget_sent(self) -> None:
        """Wait for nothing that is on its way: it was shown."""
        self._sent.clear()

    def clear(self) -> None:
        """Forget what members did."""
        self._waiting.clear()

    def _must_wait(self, member: int, done: Wrote | Left) -> bool:
        sent = self._sent.get(member)
        if not sent:
            return False
        if isinstance(done, Left) or any(each.event[0] == "name" for each in sent):
            return True
        text = done.line.decode(errors="replace")
        return (text.startswith("/") and not text.startswith(("//", "/me "))) or is_farewell(text)
