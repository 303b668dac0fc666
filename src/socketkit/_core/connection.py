"""`async for` and `send`, in Python; `connection.c` is the same, compiled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from typing import Any

from socketkit._core.session import NOTHING, SessionCore

__all__ = ["DONE", "ConnectionCore", "Done", "broadcast", "read_messages", "receive_blocking"]

TURN_MESSAGES = 512
"""Messages that are handed out, or sent, between two looks at the clock (see `connection.turn`): to receive and send
one takes 0.5 to 3 us."""


class Done(Coroutine[Any, Any, None]):
    """A coroutine that has ended, for a verb that has nothing to wait for. Tasks and nurseries accept it, and it may be
    awaited any number of times.
    """

    __slots__ = ()

    # A builtin function, called without arguments, returns an exhausted iterator: half the price of a Python function,
    # and `await` is part of every `send`.
    __await__: Any = [].__reversed__

    def send(self, value: object, /) -> Any:
        raise StopIteration

    def throw(self, error: Any, value: Any = None, traceback: Any = None, /) -> Any:
        raise error

    def close(self) -> None:
        pass


DONE = Done()
"""Returned by a verb that has nothing to wait for."""


def broadcast(targets: tuple[Any, ...], message: Any, /) -> tuple[int, list[Any]] | None:
    """Send a message to all these connections, where they encode it alike; none is over its high-water mark.

    Returns:
        How many took it, and those that are over their mark; None: nothing was sent, do it one by one.
    """
    return None


def receive_blocking(session: Any, stream: Any, /) -> Any:
    """Return the next message of a native framing, on an engine that blocks; NOTHING: the receiver is to go on, or to
    say why there will be none.

    Args:
        session: nothing has to be held back for it, no observer and no time limit.
        stream: the calling thread is no task, so that nothing can cancel its wait.
    """
    return NOTHING


def push(targets: tuple[Any, ...], data: bytes, /) -> tuple[int, list[Any]]:
    """Send the bytes of one message to all these connections, but those for which that is not enough: they are slow, or
    closed, or their engine blocks.

    Returns:
        How many took it, and the others.
    """
    return 0, list(targets)


def read_messages(session: Any, refill: Callable[[], bool], /) -> Iterator[Any]:
    """Iterate over messages in plain code; `refill` returns whether there is one now, and False at the end."""
    waiting = session.waiting
    take = waiting.pop
    while True:
        while waiting:
            yield take()
        if not refill():
            return


class ConnectionCore:
    """What every message needs; see `connection.connection`."""

    __slots__ = (
        "_blocks", "_closed", "_end_sent_reported", "_high_water", "_large", "_session", "_soon", "engine",
        "server_closing",
    )  # fmt: skip

    _receiver: Any
    _session: Any
    _sender: Any
    _blocks: bool
    _closed: bool
    _end_sent_reported: bool
    engine: Any
    server_closing: bool
    _soon: Callable[[Callable[[], object]], object]
    _large: int
    _high_water: int

    def _attach(
        self,
        session: SessionCore,
        stream: object,
        engine: object,
        soon: object,
        large: int,
        high: int,
        can_receive: bool,
        can_send: bool,
        blocks: bool,
        /,
    ) -> None:
        """Set the parts of the hot path; again after each change of the stream."""
        self._session = session
        self.engine = engine
        self._soon = soon  # type: ignore[assignment]
        self._large = large
        self._high_water = high
        self._blocks = blocks

    def send(self, message: Any, /) -> Any:
        """Send one message: it joins the batch of this turn of the engine, and leaves with it.

        Await what it returns, or start it as a task. It is done already, unless over `high_water` bytes are unsent:
        then it waits for the peer to read. The message is queued by the call itself, whole; cancelling the wait does
        not take it back.

        Args:
            message: of the framing's type: bytes for `chunks`, str for `lines`.

        Raises:
            FramingError, TypeError: the message cannot be framed; nothing was sent.
            ClosedError: this end, or its sending direction, was closed.
            BrokenError: the connection was lost; what was sent before may be lost too.
            DeadlineError: the peer took nothing for `send_timeout`. A frame may have been cut, so nothing can be sent
                any more, and every later call raises this. Receiving goes on.
        """
        session = self._session
        encode_one = session.encode_one
        if encode_one is None:
            return ConnectionCore.send_many(self, (message,))
        return self._send_encoded(encode_one(message))

    def _send_encoded(self, data: bytes) -> Any:
        """Send the bytes of one message, as `send` does."""
        session = self._session
        if self._blocks:
            self._sender.push(data)
            return DONE if session.outgoing_size < self._high_water else self._sender.drained()
        unsent = session.outgoing
        if session._out_size:
            unsent.append(session._take_out())
        unsent.append(data)
        session.sent_count += 1
        session.outgoing_size = size = session.outgoing_size + len(data)
        count = len(unsent)
        if count == 1:
            self._soon(self._flush_soon)
        elif count >= TURN_MESSAGES:
            return self._sender.send_large()
        return DONE if size < self._large else self._sender.send_large()

    def send_many(self, messages: Collection[Any], /) -> Any:
        """Send several messages, in order, encoded in one go; all of them or, on an error of framing, none.

        Returns, raises and waits as `send` does.
        """
        session = self._session
        is_first = not session.has_unsent
        session.queue(messages, len(messages))
        if is_first:
            if self._blocks:
                self._sender.flush()
                self._sender.check()
            else:
                self._soon(self._flush_soon)
        is_small = session.outgoing_size < self._large and len(session.outgoing) < TURN_MESSAGES
        return DONE if is_small else self._sender.send_large()

    def _flush_soon(self) -> None:
        """Hand the batch to the system, as far as it takes it now."""
        self._sender.flush()

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        waiting = self._session.waiting
        if not waiting:
            await self._receiver.fill_or_stop()
        return waiting.pop()

    async def batches(self) -> AsyncIterator[list[Any]]:
        """Iterate by lists, as `receive_many` returns them, until the end of stream."""
        while True:
            try:
                messages = await self._next_batch()
            except StopAsyncIteration:
                return
            yield messages
            del messages  # or an idle connection would hold them

    async def _next_batch(self) -> list[Any]:
        """Receive the messages that are there, at least one; stop at the end of stream."""
        session = self._session
        if not session.waiting:
            await self._receiver.fill_or_stop()
        messages: list[Any] = session.take_all()
        return messages

    async def _next(self) -> Any:
        """Receive a message."""
        waiting = self._session.waiting
        if not waiting:
            await self._receiver.fill()
        return waiting.pop()

    async def _next_many(self) -> list[Any]:
        """Receive the messages that are there, at least one."""
        session = self._session
        if not session.waiting:
            await self._receiver.fill()
        messages: list[Any] = session.take_all()
        return messages
