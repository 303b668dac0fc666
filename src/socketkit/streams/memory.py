"""A pair of streams inside one program: what one end sends the other receives, without a socket.

For tests. Each direction is a bounded pipe, so that a slow reader causes back-pressure as on a socket.
"""

from __future__ import annotations

from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, closed_error, end_of_stream, eof_sent_error
from socketkit.streams.stream import Stream

__all__ = ["MemoryStream", "memory_pair"]


class Pipe:
    """One direction: at most `size` bytes in transit, and the state of both ends."""

    def __init__(self, engine: Engine, size: int) -> None:
        self._size = size
        self._data = bytearray()
        self.changed = Condition(engine)
        self.ended = False  # the writer has sent its end of stream
        self.cut = False  # one end has aborted: what is in transit is lost
        self.unread = False  # the reader has closed
        self.stopped = False  # the reader takes no more than what is there

    def room(self) -> int:
        """How many bytes `put` takes now."""
        return self._size - len(self._data)

    def is_readable(self) -> bool:
        """Whether a reader gets something: bytes, the end, or an error."""
        return bool(self._data) or self.ended or self.cut or self.stopped

    def put(self, data: bytes | memoryview) -> int:
        """Add as much as there is room for; the number of bytes."""
        count = min(len(data), self.room())
        self._data += data[:count]
        self.changed.notify()
        return count

    def take(self, most: int) -> bytes:
        """Remove and return what is there, at most so many bytes."""
        data = bytes(self._data[:most])
        del self._data[: len(data)]  # not `most`: a thread may have put in more meanwhile
        self.changed.notify()
        return data


class MemoryStream(Stream):
    """One end of a pair."""

    def __init__(self, engine: Engine, incoming: Pipe, outgoing: Pipe, *, local: str, peer: str) -> None:
        self.engine = engine
        self.local = local
        self.peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        self._ended = False
        self._closed = False

    async def receive(self, *, deadline: float | None = None) -> bytes:
        pipe = self._incoming
        if not self._ended:
            await pipe.changed.wait_until(lambda: self._closed or pipe.is_readable(), deadline=deadline)
        self._check_open()
        if pipe.cut:
            raise BrokenError(f"receiving from {self.peer}: the other end has aborted")
        data = b"" if self._ended else pipe.take(256 * 1024)
        if not data:
            self._ended = True
            raise end_of_stream(self.peer)
        return data

    def send_now(self, data: bytes | memoryview) -> int:
        self._check_open()
        pipe = self._outgoing
        if pipe.ended:
            raise eof_sent_error(self.peer)
        if pipe.unread or pipe.cut:
            raise BrokenError(f"sending to {self.peer}: the other end is gone")
        return pipe.put(data)

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        pipe = self._outgoing
        await pipe.changed.wait_until(
            lambda: self._closed or pipe.room() > 0 or pipe.unread or pipe.cut, deadline=deadline
        )
        self._check_open()

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check_open()
        self._outgoing.ended = True
        self._outgoing.changed.notify()

    def stop_receiving(self) -> None:
        self._incoming.stopped = True
        self._incoming.changed.notify()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._outgoing.ended = True
            self._incoming.unread = True
            self._notify_both()

    def abort(self) -> None:
        if not self._closed:
            self._outgoing.cut = True
            self.close()

    def _notify_both(self) -> None:
        self._incoming.changed.notify()
        self._outgoing.changed.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.peer)


def memory_pair(engine: Engine, *, size: int = 64 * 1024) -> tuple[MemoryStream, MemoryStream]:
    """Two connected ends in one engine.

    Args:
        engine: the engine on which both wait.
        size: bytes that each direction holds before `send_now` takes no more.
    """
    right_going, left_going = Pipe(engine, size), Pipe(engine, size)
    left = MemoryStream(engine, incoming=left_going, outgoing=right_going, local="memory:left", peer="memory:right")
    right = MemoryStream(engine, incoming=right_going, outgoing=left_going, local="memory:right", peer="memory:left")
    return left, right
