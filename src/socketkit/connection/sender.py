"""Send: the messages of one turn of the engine leave with one system call.

The batch is written at the end of the turn, at once when it is large, and on close. When the system takes only part of
it, the rest is drained in the background, in order; above the high-water mark `send` returns an awaitable that waits.
Frames never interleave and are never cut: after a cut the connection refuses to send.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeAlias

from socketkit.connection.session import Session
from socketkit.connection.turn import Turn
from socketkit.engines.condition import Condition
from socketkit.engines.engine import DONE, Done, Engine
from socketkit.errors import BrokenError, DeadlineError, StreamError
from socketkit.events import Observer, Sent
from socketkit.streams.stream import Stream

__all__ = ["LARGE_SIZE", "Drain", "Sender", "Sending"]

LARGE_SIZE: Final = 16 * 1024
"""Bytes from which on a batch leaves at once, not at the end of the turn: waiting saves nothing, and costs memory."""


class Drain(Coroutine[Any, Any, None]):
    """Returned by `send` above the high-water mark. Awaiting it applies back-pressure; ignoring it is allowed.

    Tasks and nurseries accept it as a coroutine; but where it is never started, Python does not warn.
    """

    __slots__ = ("_begun", "_drain")

    def __init__(self, drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._drain = drain
        self._begun: Coroutine[Any, Any, None] | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        return self._drain().__await__()

    def send(self, value: Any, /) -> Any:
        return self._begin().send(value)

    def throw(self, error: Any, value: Any = None, traceback: Any = None, /) -> Any:
        return self._begin().throw(error)

    def close(self) -> None:
        if self._begun is not None:
            self._begun.close()

    def _begin(self) -> Coroutine[Any, Any, None]:
        if self._begun is None:
            self._begun = self._drain()
        return self._begun


Sending: TypeAlias = Done | Drain
"""What `send` returns: a coroutine, to await or to start as a task, or to ignore."""


class Sender:
    """The sending side of one connection.

    Attributes:
        error: why not everything could be sent; None while nothing was lost.
        drained_size: bytes that the peer took after they had to wait for it.
        turn: how long this connection's task has worked without a wait; the receiver uses it too.
    """

    __slots__ = (
        "_changed",
        "_engine",
        "_high",
        "_limit",
        "_number",
        "_observer",
        "_send_timeout",
        "_session",
        "_silence_limit",
        "_stream",
        "_turn",
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
        send_timeout: float | None = None,
    ) -> None:
        self._session = session
        self._stream = stream
        self._engine: Engine = stream.engine
        self._high = high_water
        self._send_timeout = send_timeout
        limits = [limit for limit in (idle_timeout, send_timeout) if limit is not None]
        self._limit = min(limits, default=None)  # seconds in which the peer must take something of what is unsent
        self._silence_limit: float | None = None
        self._number = number
        self._observer = observer
        # Both are made when they are asked for: an idle connection needs neither. Where the engine blocks, threads may
        # ask at once.
        self._changed: Condition | None = None
        self._turn: Turn | None = None
        if stream.engine.blocks:
            self._condition()
        self.drained_size = 0
        self.error: StreamError | DeadlineError | None = None

    def limit_silence(self, seconds: float | None) -> None:
        """Count the peer as lost when it takes nothing of what is unsent for so long, because pings are unsent too."""
        if seconds is not None and (self._limit is None or seconds < self._limit):
            self._limit = self._silence_limit = seconds

    @property
    def turn(self) -> Turn:
        """See the class."""
        turn = self._turn
        if turn is None:
            turn = self._turn = Turn(self._engine)
        return turn

    def _condition(self) -> Condition:
        """Return what tasks wait for that want to send more, or to know that all was sent."""
        changed = self._changed
        if changed is None:
            changed = self._changed = Condition(self._engine)
            self._session.drain_waiters = changed.waiting
        return changed

    def _low_water(self) -> int:
        """Bytes unsent from which on there is space again: as asyncio, far enough below to be worth a wake-up."""
        return self._high // 4

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.notify()

    @property
    def is_empty(self) -> bool:
        """Whether the system has all of it."""
        return not self._session.is_draining and not self._session.has_unsent

    def flush(self) -> None:
        """Hand the batch to the system, as far as it takes it now; the rest follows in the background.

        Never raises: an error is kept in `error`, and raised by the next `send`.
        """
        session = self._session
        unsent = session.outgoing
        if session._out_size:
            unsent.append(session._take_out())
        if not unsent or session.is_draining:
            return
        # As `take` and `sent`, without the calls: this is done for every batch.
        data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
        unsent.clear()
        try:
            count = self._stream.send_now(data)
        except StreamError as error:
            self.fail(error)
            return
        session.sent_size += count
        session.outgoing_size -= count
        if self._observer is not None and count:
            self._observer(Sent(self._number, data[:count]))
        if count < len(data) or self._stream.has_unsent:
            self._session.is_draining = True
            self._engine.background(self._drain(memoryview(data)[count:]))
        else:
            self._notify()  # a sender that was woken may have found the space filled by others, and waits again

    def push(self, data: bytes) -> None:
        """Send one encoded message on an engine that blocks, where the turn ends at once: append it, and flush.

        Raises:
            BrokenError, ClosedError, DeadlineError: it was not sent whole, and never will be.
        """
        session = self._session
        session.sent_count += 1
        if not session.has_unsent and not session.is_draining and self._observer is None:
            # The batch is this message, and mostly it is taken at once: a third of the price of what is below.
            try:
                count = self._stream.send_now(data)
            except StreamError as error:
                session.outgoing_size += len(data)
                self.fail(error)
                raise
            session.sent_size += count
            if count == len(data) and not self._stream.has_unsent:
                return
            session.outgoing_size += len(data) - count
            self._session.is_draining = True
            self._engine.background(self._drain(memoryview(data)[count:]))
        else:
            session.outgoing_size += len(data)
            session.outgoing.append(data)
            self.flush()
        self.check()

    def offer(self, data: bytes) -> None:
        """Send one encoded message as far as the system takes it now, on an engine that blocks. The rest leaves with
        the next message, or on close."""
        session = self._session
        session.sent_count += 1
        session.outgoing_size += len(data)
        session.outgoing.append(data)
        if session.is_draining or self.error is not None:
            return
        batch = session.take()
        try:
            count = self._stream.send_now(batch)
        except StreamError as error:
            self.fail(error)
            return
        session.sent(count)
        if self._observer is not None and count:
            self._observer(Sent(self._number, batch[:count]))
        if count < len(batch):
            session.outgoing.insert(0, batch[count:])

    def send_large(self) -> Sending:
        """Flush a batch that has become large; return what the sender is to await."""
        self.flush()
        if self.error is None and self._session.outgoing_size < self._high and not self.turn.is_over():
            return DONE
        return Drain(self.drain)

    def drained(self) -> Sending:
        """Return what waits until there is space again."""
        return Drain(self.drain)

    async def drain(self) -> None:
        """Wait, above the high-water mark, until a quarter of it is left; below it, let others run when it is their
        turn.

        Raises:
            BrokenError, ClosedError, DeadlineError: the rest will never be sent.
        """
        self.flush()
        session = self._session
        if session.outgoing_size >= self._high:
            await self._condition().wait_until(
                lambda: session.outgoing_size <= self._low_water() or self.error is not None
            )
        elif self.turn.is_over():
            await self.turn.hand_over()
        self.check()

    async def wait_empty(self, *, deadline: float | None = None) -> None:
        """Wait until the system has all of it, or never will (see `error`).

        Raises:
            DeadlineError: the deadline has passed.
        """
        self.flush()
        if not self.is_empty and self.error is None:
            await self._condition().wait_until(lambda: self.is_empty or self.error is not None, deadline=deadline)

    def hold(self) -> None:
        """Hand nothing to the stream until `release`: it is being replaced. What is sent meanwhile waits."""
        self._session.is_draining = True

    def release(self, stream: Stream) -> None:
        """Go on, with this stream."""
        self._stream = stream
        self._session.is_draining = False
        self.flush()

    def check(self) -> None:
        """Raise `error`, if there is one."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def cut(self, reason: StreamError | DeadlineError) -> None:
        """Drop what is unsent, and refuse to send, for this reason; an earlier one stays."""
        if self.error is None:
            self.error = reason
        if not self.is_empty:
            self._stream.set_cut()
        self._session.refuse(self.error)
        self._session.outgoing.clear()
        self._session._drop_out()
        self._notify()

    async def _drain(self, rest: memoryview) -> None:
        session, stream = self._session, self._stream
        try:
            deadline = self._engine.deadline(self._limit)
            while True:
                await stream.wait_writable(deadline=deadline)
                count = stream.send_now(rest)
                session.sent(count)
                self.drained_size += count
                if deadline is not None and count:
                    deadline = self._engine.deadline(self._limit)
                if self._observer is not None and count:
                    self._observer(Sent(self._number, bytes(rest[:count])))
                rest = rest[count:]
                if not rest and stream.has_unsent:
                    continue
                if session.outgoing_size <= self._low_water():
                    self._notify()
                if not rest:
                    if not session.has_unsent or self.error is not None:
                        break
                    rest = memoryview(session.take())
        except StreamError as error:
            self.fail(error)
        except DeadlineError:
            self.fail(self._stalled())
        except BaseException:
            self.fail(BrokenError(f"sending to {stream.peer}: the engine ended, and a message was cut"))
            raise
        finally:
            self._session.is_draining = False
            self._notify()

    def _stalled(self) -> BrokenError | DeadlineError:
        name = "send_timeout" if self._limit == self._send_timeout else "idle_timeout"
        if self._limit == self._silence_limit:
            name = "ping_interval and ping_timeout"
        text = (
            f"sending to {self._stream.peer}: it took nothing for {self._limit:g} s ({name}), and "
            f"{self._session.outgoing_size} bytes are unsent"
        )
        if name == "send_timeout":
            return DeadlineError(f"{text}: nothing can be sent any more")
        error = BrokenError(text)
        error.close_code = None if self._silence_limit is None else 1006
        return error

    def fail(self, error: StreamError | DeadlineError) -> None:
        """Drop what is unsent: it was lost."""
        self.cut(error.with_traceback(None))
