"""A tunnel: two connections, and the bytes between them in both directions, until both directions have ended.

Each direction ends by itself: its end of stream is relayed, and the other direction goes on. A lost connection resets
the other one, after the bytes that came before the loss were delivered, or a time limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, NamedTuple, Protocol

from socketkit.config.durations import format_duration
from socketkit.config.time_limits import RELAY_DELIVERY_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.condition import Condition
from socketkit.engines.group import Group
from socketkit.errors import BusyError, DeadlineError, StreamError, eof_sent_error
from socketkit.events import EndReceived, EndSent, Event, Observer, Received, Sent, wants_data
from socketkit.streams.copy import OnCopied, Pipes, UntakenError, pump, send_whole, untaken_size, wait_taken
from socketkit.streams.pipes import PipeStream
from socketkit.streams.stream import DatagramStream, MessageStream, Stream
from socketkit.values import Value

__all__ = ["Bucket", "Copied", "Limits", "Pace", "close_because", "copy_between", "run_tunnel"]


class Copied(NamedTuple):
    """How many bytes were copied in each direction; unpack it as `there, back`."""

    a_to_b: int
    b_to_a: int


class Limits(Value):
    """How long a tunnel may last, in seconds; None: without a limit.

    Attributes:
        idle_timeout: without a byte in either direction.
        max_duration: in all.
        linger: of the second direction after the end of the first.
        idle_name: what the error calls the first of them.
    """

    idle_timeout: float | None = None
    max_duration: float | None = None
    linger: float | None = None
    idle_name: str = "--idle-timeout"


class Bucket(Protocol):
    """Limits a rate."""

    def take(self, size: int, now: float) -> float:
        """Take so many bytes; return the seconds to wait before the next ones."""
        ...


class Pace:
    """The pipes for splice(2), and what limits the rate of a tunnel: nothing."""

    def __init__(self, pipes: Pipes | None = None) -> None:
        self.pipes = pipes

    def buckets(self, direction: int) -> Sequence[Bucket]:
        """What limits one direction (0: to the target, 1: back) of a new tunnel."""
        return ()


async def run_tunnel(
    client: Connection,
    target: Connection,
    *,
    limits: Limits,
    pace: Pace,
    observer: Observer | None = None,
    is_text: bool = False,
) -> None:
    """Relay bytes between both, until both directions have ended; then close both.

    A WebSocket's messages are relayed as messages where the other side has some (a WebSocket, datagrams), else as
    bytes; what a stream of bytes brought is a binary message. An end of stream is a close frame (1000) there, a loss of
    the other side 1014, and the other way round.

    Args:
        client, target: closed at the end, by a reset where not all was delivered. Only the tunnel may receive from
            them; the messages that they hold already are relayed first.
        limits: how long it may last.
        pace: how fast it may be.
        observer: called with `Received`, `Sent` and the ends, where it wants data; then every byte is copied. The
            events of a WebSocket are its connection's own.
        is_text: whether a WebSocket gets bytes as text, which have to be UTF-8.

    Raises:
        BrokenError: one of them was lost, or did not take the other's bytes.
        ClosedError: one of them was closed here meanwhile.
        DeadlineError: a limit was reached. Both were closed without a reset where it was the idle timeout, and no byte
            was under way.
        FramingError: a WebSocket's peer has broken its protocol, or bytes are no text.
    """
    first = []
    for connection in (client, target):
        if _has_messages(connection):
            first.append(b"")  # its own channel receives what has come
        else:
            connection.internals.detach_stream()
            first.append(b"".join(connection.internals.unread_messages()))
    streams = _ends(client, target, is_text=is_text)
    await _Tunnel(client, target, limits, pace, observer, streams).run(first, closes=True)


def _has_messages(connection: Connection) -> bool:
    return isinstance(connection.internals.stream, MessageStream)


def _ends(client: Connection, target: Connection, *, is_text: bool) -> tuple[Stream, Stream]:
    """The stream of each, with that of the messages in place of a WebSocket's bytes."""
    near, far = client.internals.stream, target.internals.stream
    if not (_has_messages(client) or _has_messages(target)):
        return near, far
    from socketkit.connection.message_channel import MessageChannel

    def end(connection: Connection, other: Connection) -> Stream:
        if not _has_messages(connection):
            return connection.internals.stream
        keeps = _has_messages(other) or isinstance(other.internals.stream, DatagramStream)
        return MessageChannel(connection, is_text=is_text, joins=not keeps)

    one, two = end(client, target), end(target, client)
    if isinstance(one, MessageChannel) and isinstance(two, MessageChannel):
        one.other, two.other = two, one
    return one, two


def close_because(connection: Connection, error: BaseException) -> None:
    """Have the close frame of a WebSocket say why a relay resets it; nothing where it is none.

    The other side's own code is passed on. Else it is 1014 (a bad gateway), and after a time limit 1001.
    """
    stream = connection.internals.stream
    if not isinstance(stream, MessageStream):
        return
    code = getattr(error, "close_code", None)
    if code is not None and code not in (1005, 1006):
        stream.set_close(code, getattr(error, "close_reason", ""))
    elif isinstance(error, DeadlineError):
        stream.set_close(1001, "a time limit was reached")
    else:
        stream.set_close(1014, "the other side was lost")


async def copy_between(a: Connection, b: Connection) -> Copied:
    """Copy bytes between two connections; see `socketkit.copy_both`."""
    connections = (a, b)
    if a is b:
        raise BusyError("a connection cannot be copied to itself")
    if a.engine is not b.engine and not (a.engine.blocks and b.engine.blocks):
        raise StreamError(f"{a.peer} and {b.peer} are connections of two engines, and neither can wait for the other")
    for connection in connections:
        internals = connection.internals
        if isinstance(internals.stream, DatagramStream):
            raise StreamError(
                f"{internals.peer}: datagrams are not copied as bytes, because they have no end of stream"
            )
        if internals.receiver.is_busy:
            internals.receiver.begin()  # which raises
    idle = [limit for limit in (connection.internals.options.idle_timeout for connection in connections) if limit]
    limits = Limits(idle_timeout=min(idle, default=None), idle_name="idle_timeout")
    shown = [connection.internals.observer for connection in connections]
    streams = _ends(a, b, is_text=False)
    tunnel = _Tunnel(a, b, limits, Pace(None if any(shown) else _PIPES), _both_observers(shown), streams)
    with ExitStack() as afterwards:
        for connection in connections:
            if not _has_messages(connection):
                connection.internals.receiver.begin()
                afterwards.callback(connection.internals.receiver.end)
        for connection in connections:
            await connection.flush()
        first = [_take_unread(connection) for connection in connections]
        for connection in connections:
            afterwards.enter_context(_handed_over(connection))
        await tunnel.run(first, closes=False)
    return Copied(*tunnel.copied)


def _take_unread(connection: Connection) -> bytes:
    """Take what was read and not received; the channel of messages receives them itself."""
    return b"" if _has_messages(connection) else connection.internals.take_unread_bytes()


def _handed_over(connection: Connection) -> AbstractContextManager[None]:
    """Leave the stream of a connection, or its messages, to a tunnel."""
    if not _has_messages(connection):
        return _held(connection)
    from socketkit.connection.message_channel import messages_as_they_are

    return messages_as_they_are(connection)


@contextmanager
def _held(connection: Connection) -> Iterator[None]:
    connection.internals.sender.hold()
    try:
        yield
    finally:
        if not connection.is_closed:
            connection.internals.sender.release(connection.internals.stream)


_PIPES: Final = Pipes()
"""For all calls of `copy_between` in this process."""


def _both_observers(observers: Sequence[Observer | None]) -> Observer | None:
    found = list(dict.fromkeys(observer for observer in observers if observer is not None))
    if len(found) < 2:
        return found[0] if found else None

    def both(event: Event) -> None:
        for observer in found:
            observer(event)

    return both


class _Direction:
    """One direction of a tunnel.

    Attributes:
        source, sink: the connections.
        source_stream, sink_stream: their streams.
        received, sent: the counts of the source and of the sink.
        first: bytes that are sent before any other.
        buckets: limit the rate.
        number: 0: to the target, 1: back.
        is_from_messages, is_to_messages: whether the source, the sink, is a WebSocket: its connection counts and
            reports its own bytes.
    """

    def __init__(
        self,
        source: Connection,
        sink: Connection,
        streams: tuple[Stream, Stream],
        first: bytes,
        buckets: Sequence[Bucket],
        number: int,
    ) -> None:
        self.source = source
        self.sink = sink
        self.source_stream, self.sink_stream = streams
        self.received, self.sent = source.internals.session, sink.internals.session
        self.first = first
        self.buckets = buckets
        self.number = number
        self.is_from_messages, self.is_to_messages = _has_messages(source), _has_messages(sink)


class _Tunnel:
    """The state of both directions."""

    def __init__(
        self,
        client: Connection,
        target: Connection,
        limits: Limits,
        pace: Pace,
        observer: Observer | None,
        streams: tuple[Stream, Stream],
    ) -> None:
        self._engine = client.engine
        self._client = client
        self._target = target
        self._streams = streams
        self._limits = limits
        self._pace = pace
        self._observer = observer
        self._shown = observer if wants_data(observer) else None
        self._changed = Condition(self._engine)
        self._going = 2  # directions that have not ended
        self._is_cut = False  # the direction that still runs is not waited for
        self._is_idle = False
        self._failure: Exception | None = None
        self._began = self._last = self._engine.now()
        self._end_deadline: float | None = None  # by when the second direction has to end
        self._why_late = ""
        self.copied = [0, 0]

    async def run(self, first: Sequence[bytes], *, closes: bool) -> None:
        """Run it to its end.

        Args:
            first: bytes of each that are sent before any other.
            closes: whether both are closed at the end (`run_tunnel`); else that is the caller's, except that a lost
                connection resets the other.
        """
        client, target = self._client, self._target
        near, far = self._streams
        there = _Direction(client, target, (near, far), first[0], self._pace.buckets(0), 0)
        back = _Direction(target, client, (far, near), first[1], self._pace.buckets(1), 1)
        is_whole = False
        is_cut = False  # a connection was lost, and the other one is reset
        try:
            async with Group(self._engine) as group:
                group.start(self._run(there))
                group.start(self._run(back))
                try:
                    await self._wait_end()
                    untaken = untaken_size(near) + untaken_size(far)
                    is_whole = self._failure is None or (self._is_idle and not untaken)
                finally:
                    is_cut = self._failure is not None and not isinstance(self._failure, DeadlineError)
                    # Threads that copy may wait on other engines than this one, where only an abort wakes them.
                    is_stuck = self._engine.blocks and not closes and self._going > 0
                    if closes or is_cut or is_stuck:
                        self._note(client, target)
                    if is_stuck or (not is_whole and (closes or is_cut)):
                        self._close_because(client, target)
                        client.abort()  # also wakes threads
                        target.abort()
                    group.cancel()
            if is_whole and closes:
                await target.close()
                await client.close()
        finally:
            if closes:
                target.abort()  # closed already, unless we were cancelled
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    def _note(self, *connections: Connection) -> None:
        for connection in connections:
            if self._failure is not None:
                connection.internals.set_cause(self._failure)

    def _close_because(self, *connections: Connection) -> None:
        for connection in connections:
            if self._failure is not None:
                close_because(connection, self._failure)

    async def _run(self, direction: _Direction) -> None:
        try:
            if direction.first:
                await send_whole(direction.sink_stream, direction.first)
                direction.sent.sent_size += len(direction.first)
                self.copied[direction.number] += len(direction.first)
            pipes = None if self._shown is not None else self._pace.pipes
            await pump(direction.source_stream, direction.sink_stream, on_copied=self._passed(direction), pipes=pipes)
            direction.sent.refuse(eof_sent_error(direction.sink.internals.peer))
            if direction.is_from_messages and direction.sink_stream.is_connectionless:
                self._is_cut = True  # a peer that has sent a close frame waits for ours, and datagrams have no end
            if self._observer is not None:
                if not direction.is_from_messages:
                    self._observer(EndReceived(direction.source.number))
                if not direction.is_to_messages:
                    self._observer(EndSent(direction.sink.number))
        except UntakenError as error:
            # The lost peer may have sent something before: the other direction delivers it, and then meets the loss.
            self._fail(error)
            self._end_within(RELAY_DELIVERY_TIMEOUT, "")
            self._is_cut = type(direction.sink_stream) is PipeStream  # a closed output says nothing about the input
        except Exception as error:
            self._fail(error)
            await wait_taken(direction.sink_stream, deadline=self._engine.now() + RELAY_DELIVERY_TIMEOUT)
            self._is_cut = True
        finally:
            self._going -= 1
            self._last = self._engine.now()
            if self._limits.linger is not None:
                linger = format_duration(self._limits.linger)
                self._end_within(
                    self._limits.linger, f"gave up after {linger} (--linger): one direction had ended, the other not"
                )
            self._changed.notify()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error

    def _end_within(self, seconds: float, why: str) -> None:
        if self._end_deadline is None:
            self._end_deadline, self._why_late = self._engine.now() + seconds, why

    def _passed(self, direction: _Direction) -> OnCopied:
        received, sent, shown = direction.received, direction.sent, self._shown
        copied, number = self.copied, direction.number
        buckets, now, is_timed = direction.buckets, self._engine.now, self._limits.idle_timeout is not None
        counts_received, counts_sent = not direction.is_from_messages, not direction.is_to_messages

        def passed(size: int, data: bytes | None) -> float:
            if counts_received:
                received.received_size += size
            if counts_sent:
                sent.sent_size += size
            copied[number] += size
            if is_timed:
                self._last = now()
            if shown is not None and data is not None:
                if counts_received:
                    shown(Received(direction.source.number, data))
                if counts_sent:
                    shown(Sent(direction.sink.number, data))
            return max([bucket.take(size, now()) for bucket in buckets]) if buckets else 0.0

        return passed

    async def _wait_end(self) -> None:
        """Wait until both directions have ended, one is lost, or a limit is reached."""
        while self._going and not self._is_cut:
            limit = self._limit()
            try:
                await self._changed.wait_until(lambda: self._has_changed(limit), deadline=limit[0])  # noqa: B023
            except DeadlineError:
                limit = self._limit()
                if limit[0] is not None and limit[0] <= self._engine.now():
                    self._fail(DeadlineError(limit[1]))
                    self._is_idle = limit[2]
                    return

    def _has_changed(self, limit: tuple[float | None, str, bool]) -> bool:
        return not self._going or self._is_cut or self._limit() != limit

    def _limit(self) -> tuple[float | None, str, bool]:
        """The next deadline, its reason, and whether it is the idle timeout."""
        idle, longest = self._limits.idle_timeout, self._limits.max_duration
        limits: list[tuple[float, str, bool]] = []
        if idle is not None:
            limits.append(
                (self._last + idle, f"nothing passed for {format_duration(idle)} ({self._limits.idle_name})", True)
            )
        if longest is not None:
            limits.append(
                (self._began + longest, f"it was open for {format_duration(longest)} (--max-duration)", False)
            )
        if self._end_deadline is not None:
            limits.append((self._end_deadline, self._why_late, False))
        return min(limits) if limits else (None, "", False)
