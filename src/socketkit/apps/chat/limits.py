"""Limits of a chat, and the buckets that hold guests to them. Time is an argument."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Final

from socketkit.values import Value

__all__ = ["Limits", "PasswordTries", "Rate"]

BURST_LINES: Final = 60
"""Lines that a guest may send at once: a page that is pasted."""

BYTES_A_LINE: Final = 4 * 1024
"""Bytes a second that are allowed for each line a second of the rate."""

BURST_SIZE: Final = 256 * 1024
"""Bytes that a guest may send at once: 60 long lines."""

MIN_WAIT: Final = 0.001
"""Seconds below which no wait is worth it; they are waited for together with the next."""

MAX_SOURCES: Final = 10_000
"""Sources whose wrong passwords are counted; beyond it the oldest is forgotten."""

TRY_BURST: Final = 5
"""Wrong passwords that one source may send at once; then one a second counts."""


class Limits(Value):
    """What a chat bounds.

    Attributes:
        rate: lines a second of each guest, after 60 at once; None: as fast as it can. Bytes are bounded along with it,
            by 4 KiB a line. A person types one line a second at most.
        max_guests: members besides the host; more are refused.
        history_count: messages that a member sees of a room that it joins.
    """

    rate: float | None = None
    max_guests: int = 1000
    history_count: int = 50


class Rate:
    """The lines and bytes of one guest. Nothing is refused: a guest beyond its rate has to wait."""

    __slots__ = ("_bytes_until", "_lines_until", "_rate")

    def __init__(self, rate: float | None) -> None:
        """Args:
        rate: lines a second; None: no limit.
        """
        self._rate = rate
        self._lines_until = self._bytes_until = 0.0  # the moments at which everything taken so far is paid for

    def take(self, size: int, now: float) -> float:
        """The seconds to wait after a line of this many bytes at this moment."""
        if self._rate is None:
            return 0.0
        bytes_rate = self._rate * BYTES_A_LINE
        self._lines_until = max(self._lines_until, now) + 1 / self._rate
        self._bytes_until = max(self._bytes_until, now) + size / bytes_rate
        over_lines = self._lines_until - now - BURST_LINES / self._rate
        over_bytes = self._bytes_until - now - BURST_SIZE / bytes_rate
        over = max(over_lines, over_bytes)
        return over if over >= MIN_WAIT else 0.0


class PasswordTries:
    """Checks passwords; wrong ones are paced for each source, so that guessing takes longer than anybody waits."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait(self, source: str, now: float) -> float:
        """The seconds until a try of this source is checked again."""
        return max(0.0, self._until.get(source, 0.0) - now - TRY_BURST + 1)

    def is_right(self, source: str, line: str, now: float) -> bool:
        """Whether this is the password; a wrong one counts against its source."""
        if hmac.compare_digest(line.encode(errors="replace"), self._password):
            return True
        self._until[source] = max(self._until.get(source, 0.0), now) + 1.0
        self._until.move_to_end(source)
        if len(self._until) > MAX_SOURCES:
            self._until.popitem(last=False)
        return False
