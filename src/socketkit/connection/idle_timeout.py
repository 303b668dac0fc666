"""How long a peer may let us wait (`idle_timeout`): the time is counted only while we wait for him.

A sign of life is a byte that he sends, or that he takes of those that had to wait for him. A handler that is busy with
something else makes nobody late.
"""

from __future__ import annotations

from collections.abc import Callable

from socketkit.config.options import Options
from socketkit.connection.sender import Sender
from socketkit.errors import DeadlineError
from socketkit.streams.stream import Stream

__all__ = ["IdleTimer", "silence_of"]


class IdleTimer:
    """Receives from one stream, and counts.

    Args:
        stream: whose peer it is.
        limit: seconds without a sign of life.
        taken: how many bytes the peer has taken, so far, of those that had to wait for him.

    Attributes:
        is_over: whether the limit was met; stays so.
    """

    __slots__ = ("_limit", "_seen", "_stream", "_taken", "_waited", "is_over")

    def __init__(self, stream: Stream, limit: float, taken: Callable[[], int]) -> None:
        self._stream = stream
        self._limit = limit
        self._taken = taken
        self._seen = 0
        self._waited = 0.0  # seconds since the last sign of life, as far as we waited for one
        self.is_over = False

    async def receive(self, deadline: float | None) -> bytes:
        """As `Stream.receive`.

        Raises:
            DeadlineError: the caller's moment came; or the limit was met, then `is_over` says so.
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


def silence_of(stream: Stream, options: Options, outgoing: Sender) -> IdleTimer | None:
    """How the silence of a stream's peer is counted; None where it is not."""
    limit = options.idle_timeout
    if limit is None or stream.times_out_itself:
        return None
    return IdleTimer(stream, limit, lambda: outgoing.drained_size)
