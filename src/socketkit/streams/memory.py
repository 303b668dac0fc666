"""A pair of streams inside one program: what one end sends the other receives, without a socket.

For tests and for talking to oneself. Each direction is a bounded pipe, so that a slow reader is felt as on a socket.
"""

from __future__ import annotations

from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, closed_error, end_of_stream, eof_sent_error
from socketkit.streams.stream import Stream

__all__ = ["MemoryStream", "memory_pair"]


class Pipe:
    """One direction: bytes under way, at most `size` of them, and how it stands at both ends."""

    def __init__(self, engine: Engine, size: int) -> None:
        self._size = size
        self._data = bytearray()
        self.changed = Condition(engine)
        self.ended = False  # the writer has said its last word
        self.cut = False  # somebody aborted: what is under way is lost
        self.unread = False  # the reader is gone
        self.stopped = False  # the reader wants no more than what is there

    def room(self) -> int:
        """How many bytes can be put in now."""
        return self._size - len(self._data)

    def has_news(self) -> bool:
        """Whether a reader would learn something: bytes, the end, or the loss."""
        return bool(self._data) or self.ended or self.cut or self.stopped

    def put(self, data: bytes | memoryview) -> int:
        """Put in what there is room for."""
        count = min(len(data), self.room())
        self._data += data[:count]
        self.changed.notify()
        return count

    def take(self, most: int) -> bytes:
        """Take out what is there."""
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
            await pipe.changed.wait_until(lambda: self._closed or pipe.has_news(), deadline=deadline)
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
            self._tell_both()

    def abort(self) -> None:
        if not self._closed:
            self._outgoing.cut = True
            self.close()

    def _tell_both(self) -> None:
        self._incoming.changed.notify()
        self._outgoing.changed.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.peer)


def memory_pair(engine: Engine, *, size: int = 64 * 1024) -> tuple[MemoryStream, MemoryStream]:
    """Two connected ends in one engine.

    Args:
        engine: where both wait.
        size: bytes that each direction holds before `send_now` takes no more.
    """
    there, back = Pipe(engine, size), Pipe(engine, size)
    left = MemoryStream(engine, incoming=back, outgoing=there, local="memory:left", peer="memory:right")
    right = MemoryStream(engine, incoming=there, outgoing=back, local="memory:right", peer="memory:left")
    return left, right
