"""Send: what one turn of the engine gathers leaves with one call, and what the system does not take yet follows.

The batch is written at the end of the turn, at once when it is large, and on close. When the
system takes only part, the rest is drained in the background, in order, and senders feel it at the high-water mark.
Frames never interleave and are never cut: after a cut the connection refuses to send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from socketkit.connection.session import Session
from socketkit.engines.condition import Condition
from socketkit.engines.engine import DONE, Engine
from socketkit.errors import BrokenError, DeadlineError, StreamError
from socketkit.events import Observer, Sent
from socketkit.streams.stream import Stream

__all__ = ["LARGE_SIZE", "Drain", "Sender"]

LARGE_SIZE: Final = 16 * 1024
"""Bytes from which on a batch leaves at once, and not at the end of the turn: there is nothing left to gain by waiting,
and memory to lose."""

TURN_BATCHES: Final = 16
"""So many times the high-water mark a sender may write without a wait before it lets the others have their turn."""


class Drain:
    """What `send` returns over the high-water mark. Who does not await it is not held back, and not warned."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()


class Sender:
    """The sending side of one connection.

    Attributes:
        error: why not everything could be sent; None while nothing was lost.
        drained_size: bytes that the peer took after they had to wait for him.
    """

    __slots__ = (
        "_changed",
        "_draining",
        "_engine",
        "_high",
        "_idle_timeout",
        "_low",
        "_number",
        "_observer",
        "_session",
        "_streak",
        "_stream",
        "drained_size",
        "error",
    )

    def __init__(
        self,
        session: Session,
        stream: Stream,
        *,
        high_water: int,
        number: int,
        observer: Observer | None,
        idle_timeout: float | None = None,
    ) -> None:
        self._session = session
        self._stream = stream
        self._engine: Engine = stream.engine
        self._high = high_water
        self._idle_timeout = idle_timeout
        self._low = high_water // 4  # as asyncio: far enough below to be worth a wake-up
        self._number = number
        self._observer = observer
        self._draining = False
        self._changed = Condition(stream.engine)
        self._streak = 0  # about how many bytes went in large batches since a sender has let the others have their turn
        self.drained_size = 0
        self.error: StreamError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the system has all of it."""
        return not self._draining and not self._session.outgoing

    def flush(self) -> None:
        """Hand the batch to the system, as far as it takes it now; the rest follows in the background. Never raises:
        an error is kept in `error` and met by the next sender."""
        session = self._session
        unsent = session.outgoing
        if not unsent or self._draining:
            return
        # As `take` and `sent`, without the calls: this is done for every batch.
        data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
        unsent.clear()
        try:
            count = self._stream.send_now(data)
        except StreamError as error:
            self._fail(error)
            return
        session.sent_size += count
        session.outgoing_size -= count
        if self._observer is not None and count:
            self._observer(Sent(self._number, data[:count]))
        if count < len(data) or self._stream.has_unsent:
            self._draining = True
            self._engine.background(self._drain(memoryview(data)[count:]))
        elif self._changed.waiting:
            self._changed.notify()  # a sender may have been woken by room that others filled before it came to its turn

    def push(self, data: bytes) -> None:
        """Send one encoded message where the turn ends at once: as if it were put into the batch, and that flushed.

        Raises:
            BrokenError, ClosedError: it was not sent whole, and never will be.
        """
        session = self._session
        session.sent_count += 1
        if not session.outgoing and not self._draining and self._observer is None:
            # The batch is this message, and mostly it goes at once: a third of the price of what is below.
            try:
                count = self._stream.send_now(data)
            except StreamError as error:
                session.outgoing_size += len(data)
                self._fail(error)
                raise
            session.sent_size += count
            if count == len(data) and not self._stream.has_unsent:
                return
            session.outgoing_size += len(data) - count
            self._draining = True
            self._engine.background(self._drain(memoryview(data)[count:]))
        else:
            session.outgoing_size += len(data)
            session.outgoing.append(data)
            self.flush()
        self.check()

    def send_large(self) -> Awaitable[None]:
        """The batch has become large: hand it over. What is returned is to be awaited by the sender."""
        size = self._session.outgoing_size
        self.flush()
        is_taken = self.error is None and self._session.outgoing_size < self._high
        if is_taken and self._streak + size < TURN_BATCHES * self._high:
            self._streak += size
            return DONE
        return Drain(self.drain)

    async def drain(self) -> None:
        """After a batch over the high-water mark: wait until it has sunk to a quarter of it.

        Raises:
            BrokenError, ClosedError: it never will.
        """
        self.flush()
        session = self._session
        if session.outgoing_size < self._high:
            self._streak += self._high
            if self._streak >= TURN_BATCHES * self._high:
                self._streak = 0
                await self._engine.sleep(0)
        else:
            await self._changed.wait_until(lambda: session.outgoing_size <= self._low or self.error is not None)
        self.check()

    async def wait_empty(self, *, deadline: float | None = None) -> None:
        """Wait until the system has all of it, or never will (see `error`).

        Raises:
            DeadlineError: the moment came first.
        """
        self.flush()
        await self._changed.wait_until(lambda: self.is_empty or self.error is not None, deadline=deadline)

    def hold(self) -> None:
        """Hand nothing to the stream until `release`: it is being exchanged. What is sent meanwhile waits."""
        self._draining = True

    def release(self, stream: Stream) -> None:
        """Go on, with this stream."""
        self._stream = stream
        self._draining = False
        self.flush()

    def check(self) -> None:
        """Raise what went wrong, for the sender to know."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def cut(self, reason: StreamError) -> None:
        """Give up what is unsent, for this reason."""
        if self.error is None:
            self.error = reason
        self._session.refuse(self.error)
        self._session.outgoing.clear()
        self._changed.notify()

    async def _drain(self, rest: memoryview) -> None:
        session, stream = self._session, self._stream
        try:
            deadline = self._engine.deadline(self._idle_timeout)
            while True:
                await stream.wait_writable(deadline=deadline)
                count = stream.send_now(rest)
                session.sent(count)
                self.drained_size += count
                if deadline is not None and count:
                    deadline = self._engine.deadline(self._idle_timeout)
                if self._observer is not None and count:
                    self._observer(Sent(self._number, bytes(rest[:count])))
                rest = rest[count:]
                if not rest and stream.has_unsent:
                    continue
                if session.outgoing_size <= self._low:
                    self._changed.notify()
                if not rest:
                    if not session.outgoing or self.error is not None:
                        break
                    rest = memoryview(session.take())
        except StreamError as error:
            self._fail(error)
        except DeadlineError:
            self._fail(self._stalled())
        except BaseException:
            self._fail(BrokenError(f"sending to {stream.peer}: the engine ended, and a message was cut"))
            raise
        finally:
            self._draining = False
            self._changed.notify()

    def _stalled(self) -> BrokenError:
        return BrokenError(
            f"sending to {self._stream.peer}: it took nothing for {self._idle_timeout:g} s (idle_timeout), and "
            f"{self._session.outgoing_size} bytes are unsent"
        )

    def _fail(self, error: StreamError) -> None:
        self.cut(error.with_traceback(None))
