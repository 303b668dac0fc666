"""The idle timeout: how long a receive may wait for an inactive peer (`idle_timeout`).

Only the time of waiting counts: a handler that is busy with something else does not time its peer out. The timer starts
anew with each byte that the peer sends, and with each that it takes of those that had to wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

from socketkit.config.options import Options
from socketkit.connection.sender import Sender
from socketkit.errors import DeadlineError
from socketkit.streams.stream import Stream

__all__ = ["IdleTimer", "idle_timer_for"]


class IdleTimer:
    """Receives from one stream, and measures how long its peer is inactive.

    Args:
        stream: where it receives.
        limit: seconds without activity.
        taken: returns how many bytes the peer has taken, so far, of those that had to wait for it.

    Attributes:
        is_over: whether the limit was reached; stays so.
    """

    __slots__ = ("_limit", "_seen", "_stream", "_taken", "_waited", "is_over")

    def __init__(self, stream: Stream, limit: float, taken: Callable[[], int]) -> None:
        self._stream = stream
        self._limit = limit
        self._taken = taken
        self._seen = 0
        self._waited = 0.0  # seconds of waiting since the last activity
        self.is_over = False

    async def receive(self, deadline: float | None) -> bytes:
        """As `Stream.receive`.

        Raises:
            DeadlineError: `deadline` has passed; or the limit was reached, and `is_over` is set.
        """
        engine = self._stream.engine
        while True:
            began = engine.now()
            last = began + self._limit - self._waited
            try:
                data = await self._stream.receive(deadline=last if deadline is None else min(last, deadline))
            except BaseException as error:
                self._waited += engine.now() - began
                if self._seen != self._taken():
                    self._seen = self._taken()
                    self._waited = 0.0
                if not isinstance(error, DeadlineError) or (deadline is not None and engine.now() >= deadline):
                    raise
                if self._waited >= self._limit:
                    self.is_over = True
                    raise DeadlineError(
                        f"receiving from {self._stream.peer}: it was silent for {self._limit:g} s (idle_timeout)"
                    ) from None
            else:
                self._waited = 0.0
                return data


def idle_timer_for(stream: Stream, options: Options, sender: Sender) -> IdleTimer | None:
    """Return the timer of a stream; None without an idle timeout, and where the stream has its own."""
    limit = options.idle_timeout
    if limit is None or stream.times_out_itself:
        return None
    return IdleTimer(stream, limit, lambda: sender.drained_size)
