"""Receives lines from a chat's peer. Text without a line end becomes a line too, when nothing follows it for a moment.

A program that sends `sock.send(text.encode())` sends no line end, and then waits for an answer.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from itertools import islice
from typing import Final, cast

from socketkit.config.time_limits import UNFINISHED_LINE_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.errors import DeadlineError, EndOfStream
from socketkit.framing.codec import ConnectionCodec, Framing
from socketkit.framing.registry import parse

__all__ = ["CHAT_FRAMING", "LineReader", "framing_of"]

CHAT_FRAMING: Final = "chunks"
"""The framing of a chat's connections: the reader must be called for bytes that end no line."""


@cache
def framing_of(text: str) -> Framing:
    """The framing that a text names: one object for all connections, as reading the text costs a fifth of a join."""
    return parse(text)


class LineReader:
    """Lines of a connection whose framing is `CHAT_FRAMING`.

    Concurrency: one task receives.
    """

    def __init__(
        self, connection: Connection, framing: str, *, unfinished_timeout: float = UNFINISHED_LINE_TIMEOUT
    ) -> None:
        """Args:
        connection: only this reader receives from it.
        framing: how lines are decoded; one of `lines` without an encoding.
        unfinished_timeout: seconds without a byte after which text without a line end is a line.
        """
        self._unfinished_timeout = unfinished_timeout
        self._connection = connection
        self._codec = cast(ConnectionCodec, framing_of(framing).codec())
        self._lines: deque[bytes] = deque()
        self._ends_late = False  # the end of the last line may still come
        self._has_ended = False

    async def wait_data(self, timeout: float) -> bytes:
        """Wait for the first bytes, or for so many seconds; the bytes, which `receive` sees as well.

        Raises:
            BrokenError, ClosedError: as `Connection.receive`.
        """
        try:
            data: bytes = await self._connection.receive(timeout=timeout)
        except DeadlineError:
            return b""
        except EndOfStream:
            self._has_ended = True
            return b""
        self._take(self._codec.feed(data))
        return data

    async def receive(self, *, deadline: float | None = None) -> bytes:
        """The next line, without its end; or text that nothing has followed for the timeout.

        Args:
            deadline: a moment of the engine's clock; None: no limit.

        Raises:
            DeadlineError: the deadline has passed.
            EndOfStream: the peer has ended, after its last line.
            BrokenError, ClosedError, DeadlineError: as `Connection.receive`.

        Cancellation: no byte is lost.
        """
        while not self._lines:
            if self._has_ended:
                raise EndOfStream("the peer has ended")
            await self._receive_more(deadline)
        return self._lines.popleft()

    def waiting(self, count: int) -> list[bytes]:
        """The next lines that are here already, at most so many; they stay until `drop`."""
        return list(islice(self._lines, count))

    def drop(self, count: int) -> None:
        """Take so many lines that are here."""
        for _ in range(count):
            self._lines.popleft()

    async def _receive_more(self, deadline: float | None) -> None:
        is_unfinished = self._codec.buffered > 0 and not self._codec.is_skipping
        timeout = self._unfinished_timeout if is_unfinished else None
        if deadline is not None and timeout is None:
            timeout = max(0.0, deadline - self._connection.engine.now())
        try:
            data = await self._connection.receive(timeout=timeout)
        except DeadlineError:
            if not is_unfinished:
                raise
            text = self._codec.take_rest().rstrip(b"\r")
            if text:
                self._lines.append(text)
                self._ends_late = True
        except EndOfStream:
            self._has_ended = True
            self._take(self._codec.feed_eof())
        else:
            self._take(self._codec.feed(data))

    def _take(self, lines: list[bytes]) -> None:
        """Take whole lines. The end of a line that was taken before it came is no empty line."""
        if lines and self._ends_late:
            self._ends_late = False
            if not lines[0]:
                del lines[0]
        self._lines.extend(lines)
