"""A conversation between a connection and standard input and output: input is sent, what is received is written.

The two directions end separately. The end of the input ends the sending direction; the peer's end of stream ends the
receiving direction. The conversation is over when both have ended. Nothing that was read or received is dropped
without an error. The module prints nothing: standard input and output are a stream.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from socketkit.apps.relay.token_bucket import TokenBucket, portion_of
from socketkit.apps.talk.byte_formats import Filter
from socketkit.apps.talk.line_messages import MessageFormat
from socketkit.config.durations import format_duration
from socketkit.connection.connection import Connection
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream, SocketkitError
from socketkit.server.signals import stop_signals
from socketkit.streams.stream import MessageStream, Stream
from socketkit.values import Value

if TYPE_CHECKING:
    from socketkit.apps.talk.telnet import Telnet

__all__ = ["AbandonedError", "TalkOptions", "converse", "run_until_signal"]

POLL_INTERVAL: Final = 0.25
"""Seconds between two looks whether the peer, or the reader of standard output, has gone while no call would say so."""

LAST_INPUT_TIMEOUT: Final = 1.0
"""Seconds to send what was read before the input was given up."""

MAX_DATAGRAM_SIZE: Final = 65_507
"""Bytes of the largest datagram over UDP and IPv4: what one read returns is sent as one datagram, or as several."""

READER_GONE: Final = (errno.EPIPE, errno.ECONNRESET)
"""Standard output has no reader any more: a pipe's end, or a socket's."""


class AbandonedError(SocketkitError):
    """Data was given up: the peer may have had more to send, or what was read here could not be sent.

    Attributes:
        unsent_size: bytes that were read here and not sent, as far as they are counted.
    """

    unsent_size = 0


class TalkOptions(Value):
    """How a conversation is held.

    Attributes:
        linger: seconds that one direction may go on after the end of the other; None: without limit.
        screen: makes the filter for received bytes before they are written.
        typed: makes the filter for input bytes before they are sent.
        only: "send": what is received is discarded, and the end of the input ends the conversation. "receive": nothing
            is read or sent. None: both directions.
        telnet: whether telnet's commands are answered and not shown.
        reply_wait: seconds without a datagram, after the end of the input, after which a connectionless peer (UDP)
            counts as ended; None: never.
        answer_wait: seconds without a message, after the end of the input, after which a WebSocket gets our close
            frame: most programs end both directions when they receive it. None: at once.
        lingers_after_input: whether `linger` begins at the end of the input only; else at the first end of either.
        input_timeout: seconds of silence of the input, after the peer's end of stream, that end the conversation;
            None: the input is read to its end.
        is_output_closed: tells whether standard output has lost its reader. It is asked after the end of the input.
        on_peer_end: is called when the peer has ended its direction while the input goes on.
        rate: bytes a second of each direction; a direction waits until it may go on. None: no limit.
    """

    linger: float | None = None
    screen: Callable[[], Filter] | None = None
    typed: Callable[[], Filter] | None = None
    only: str | None = None
    telnet: bool = False
    reply_wait: float | None = 1.0
    answer_wait: float | None = None
    lingers_after_input: bool = False
    input_timeout: float | None = None
    is_output_closed: Callable[[], bool] | None = None
    on_peer_end: Callable[[], object] | None = None
    rate: int | None = None


async def converse(
    connection: Connection,
    stdio: Stream,
    *,
    messages: MessageFormat,
    talk: TalkOptions = TalkOptions(),  # noqa: B008 - a value
) -> bool:
    """Hold a conversation to its end, and close the connection.

    At the end of the input the sending direction is shut down, and the peer is received until its end of stream. When
    the peer ends first, the input is still sent to its end, because the peer may have ended one direction only. It is
    not read further when the peer has closed both directions and the system knows it: a reset, a UNIX socket, a child
    that has exited. When standard output has no reader any more (EPIPE), the conversation ends without an error.

    Args:
        connection: is closed at the end; reset, where something is left unsent.
        stdio: is read for what is sent, and written with what is received. It stays open; the caller closes it.
        messages: how input bytes become the connection's messages, and back.
        talk: how the conversation is held.

    Returns:
        Whether standard output still has a reader.

    Raises:
        AbandonedError: `linger` ran out; or the peer had ended, and did not take the rest.
        BrokenError: the connection was lost; what was received before is written.
        FramingError: received or input bytes violate the framing.
        OSError: standard input could not be read, or standard output not written.

    Cancellation: what the system takes at once is still sent.
    """
    async with connection:
        return await _Conversation(connection, stdio, messages, talk).hold()


def _telnet() -> Telnet:
    from socketkit.apps.talk.telnet import Telnet

    return Telnet()


class _Conversation:
    """Both directions, and their progress."""

    def __init__(self, connection: Connection, stdio: Stream, messages: MessageFormat, talk: TalkOptions) -> None:
        self._connection = connection
        self._stdio = stdio
        self._messages = messages
        self._talk = talk
        self._telnet = _telnet() if talk.telnet else None
        self._screen = None if talk.screen is None else talk.screen()
        self._typed = None if talk.typed is None else talk.typed()
        self._reply_wait = None if talk.only == "receive" else talk.reply_wait
        self._has_eof = connection.peer.transport.kind not in ("SOCK_DGRAM", "SOCK_RAW")
        self._received_at = connection.engine.now()
        self._changed = Condition(connection.engine)
        self._sending_rate = None if talk.rate is None else TokenBucket(talk.rate)
        self._receiving_rate = None if talk.rate is None else TokenBucket(talk.rate)
        self._reading_since: float | None = None  # when the read of the input that waits now has begun
        self._input_ended = False
        self._sending_ended = False
        self._peer_ended = False
        self._peer_ended_at = 0.0
        self._output_closed = False  # standard output has no reader
        self._send_error: SocketkitError | None = None  # why not everything could be sent
        self._failure: Exception | None = None

    async def hold(self) -> bool:
        """Run both directions to their ends; see `converse`."""
        only = self._talk.only
        async with Group(self._connection.engine) as group:
            group.start(self._run(self._send_nothing if only == "receive" else self._send_input))
            group.start(self._run(self._discard if only == "send" else self._receive))
            group.start(self._run(self._watch))
            if self._reply_wait is not None and not self._has_eof:
                group.start(self._run(partial(self._wait_replies, self._reply_wait)))
            try:
                await self._wait_end()
            except AbandonedError:
                self._give_up_answer()
                raise
            finally:
                if self._unsent_size():
                    self._connection.abort()  # also wakes a thread that waits for space in the send buffer
                group.cancel()
        error = self._failure or self._send_error
        if error is not None and not self._output_closed:
            raise error.with_traceback(None)
        return not self._output_closed

    async def _wait_end(self) -> None:
        changed, talk = self._changed, self._talk
        await changed.wait_until(lambda: self._input_ended or self._peer_ended or self._is_over())
        if talk.lingers_after_input:
            await changed.wait_until(lambda: self._input_ended or self._is_done())
        deadline = self._connection.engine.deadline(talk.linger)
        try:
            await changed.wait_until(self._is_done, deadline=deadline)
        except DeadlineError:
            if not self._is_input_silent():
                raise self._late_error() from None
            await self._end_input()

    def _give_up_answer(self) -> None:
        """Close a WebSocket whose peer has not answered our close frame in time, without another wait for that."""
        stream = self._connection.internals.stream
        if isinstance(stream, MessageStream) and not self._unsent_size():
            stream.close()

    async def _end_input(self) -> None:
        """Stop reading the input, and send what was read before."""
        self._stdio.stop_receiving()
        deadline = self._connection.engine.deadline(LAST_INPUT_TIMEOUT)
        try:
            await self._changed.wait_until(self._is_done, deadline=deadline)
        except DeadlineError:
            raise self._late_error() from None

    def _is_input_silent(self) -> bool:
        """Whether only the input is waited for, and nothing was read since the peer's end of stream."""
        since = self._reading_since
        return self._peer_ended and not self._unsent_size() and since is not None and since <= self._peer_ended_at

    async def _watch(self) -> None:
        """See what no pending call reports: a peer that has closed both directions, an output without a reader."""
        is_output_closed, is_told = self._talk.is_output_closed, False
        await self._changed.wait_until(
            lambda: self._peer_ended or (self._sending_ended and is_output_closed is not None) or self._is_over()
        )
        while not self._is_done():
            if self._sending_ended and is_output_closed is not None and is_output_closed():
                self._output_closed = True
                self._changed.notify()
            elif self._peer_ended and not self._input_ended:
                if self._is_peer_gone() or self._is_input_over():
                    self._stdio.stop_receiving()
                elif is_told is False and self._talk.on_peer_end is not None:
                    is_told = True
                    self._talk.on_peer_end()
            with suppress(DeadlineError):
                await self._changed.wait_until(self._is_done, deadline=self._connection.engine.deadline(POLL_INTERVAL))

    def _is_peer_gone(self) -> bool:
        """Whether the system knows that the peer takes nothing any more.

        poll(2) reports POLLHUP where both directions are shut down: after a reset, and when a UNIX socket was closed.
        A TCP peer that has closed looks the same as one that has ended its direction, until it answers with a reset.
        """
        if self._connection.child_status is not None:
            return True
        sock = self._connection.internals.stream.socket
        if sock is None or sock.fileno() < 0 or not hasattr(select, "poll"):
            return False
        poller = select.poll()
        poller.register(sock.fileno(), 0)
        return bool(poller.poll(0))

    def _is_input_over(self) -> bool:
        timeout, since = self._talk.input_timeout, self._reading_since
        if timeout is None or since is None:
            return False
        return self._connection.engine.now() >= max(since, self._peer_ended_at) + timeout

    async def _wait_replies(self, seconds: float) -> None:
        """Treat a connectionless peer as ended when no datagram has come for so long after the end of the input."""
        await self._changed.wait_until(lambda: self._sending_ended or self._is_over())
        await self._wait_silence(seconds)
        if not (self._peer_ended or self._is_over()):
            self._connection.stop_receiving()

    async def _wait_silence(self, seconds: float) -> None:
        """Wait until nothing has come for so long, or nothing more will."""
        now = self._connection.engine.now
        self._received_at = now()
        while not (self._peer_ended or self._is_over()):
            deadline = self._received_at + seconds
            if now() >= deadline:
                return
            with suppress(DeadlineError):
                await self._changed.wait_until(lambda: self._peer_ended or self._is_over(), deadline=deadline)

    def _is_done(self) -> bool:
        return (self._sending_ended and (self._peer_ended or self._talk.only == "send")) or self._is_over()

    def _is_over(self) -> bool:
        return self._output_closed or self._failure is not None

    def _late_error(self) -> AbandonedError:
        error = AbandonedError(self._why_late())
        error.unsent_size = self._unsent_size()
        return error

    def _why_late(self) -> str:
        peer, linger = self._connection.peer, format_duration(self._talk.linger or 0)
        if size := self._unsent_size():
            return f"gave up after {linger} (--linger): {size} bytes were left unsent, because {peer} did not take them"
        if self._peer_ended:
            return f"gave up after {linger} (--linger): {peer} had ended, and our input went on"
        return f"gave up after {linger} (--linger): {peer} did not end its direction; the rest is not received"

    def _unsent_size(self) -> int:
        return self._connection.statistics().unsent_size

    async def _run(self, direction: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await direction()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._changed.notify()

    async def _send_input(self) -> None:
        """Send the input to the peer. A loss does not end the conversation: what the peer sent before it is received
        first, and the receiving direction usually meets the loss too."""
        connection, messages_of = self._connection, self._messages
        try:
            while data := await self._read():
                messages = messages_of.to_messages(self._as_sent(data))
                if not self._has_eof:
                    messages = split_datagrams(messages)
                if messages and self._sending_rate is None:
                    await connection.send_many(messages)
                elif self._sending_rate is not None:
                    await self._send_slowly(messages, self._sending_rate)
            rest = self._typed.end() if self._typed is not None else b""
            last = [*(messages_of.to_messages(rest) if rest else ()), *messages_of.last_messages()]
            if last:
                await connection.send_many(last)
            await connection.flush()
            if self._talk.answer_wait is not None and isinstance(connection.internals.stream, MessageStream):
                await self._wait_silence(self._talk.answer_wait)
            await connection.send_eof()
        except BrokenError as error:
            self._send_error = error
            if self._peer_ended:
                self._send_error = AbandonedError(f"{connection.peer} had ended, and did not take what we still sent")
        finally:
            self._input_ended = self._sending_ended = True

    async def _send_slowly(self, messages: list[Any], rate: TokenBucket) -> None:
        """Send in portions of a tenth of a second; a message that is no chunk of a stream is not divided."""
        connection, size = self._connection, portion_of(self._talk.rate or 1)
        is_divided = self._has_eof and self._messages.carries_chunks
        for message in messages:
            pieces = [message[at : at + size] for at in range(0, len(message), size)] if is_divided else [message]
            for piece in pieces:
                before = connection.statistics().sent_size
                await connection.send(piece)
                await connection.flush()
                sent_size = connection.statistics().sent_size - before
                await connection.engine.sleep(rate.take(sent_size, connection.engine.now()))

    def _as_sent(self, data: bytes) -> bytes:
        if self._typed is not None:
            data = self._typed.feed(data)
        return data if self._telnet is None else self._telnet.escape(data)

    async def _send_nothing(self) -> None:
        self._sending_ended = True

    async def _discard(self) -> None:
        """Receive and discard, so that the peer is not held up and its end is seen."""
        try:
            while not self._sending_ended:
                await self._connection.receive_many()
        except EndOfStream:
            pass
        self._note_peer_end()

    def _note_peer_end(self) -> None:
        self._peer_ended_at = self._connection.engine.now()
        self._peer_ended = True

    async def _read(self) -> bytes:
        """Read the input; empty at its end."""
        self._reading_since = self._connection.engine.now()
        try:
            return await self._stdio.receive()
        except EndOfStream:
            self._input_ended = True
            self._changed.notify()
            return b""
        except BrokenError as error:
            raise OSError(str(error)) from None
        finally:
            self._reading_since = None

    async def _receive(self) -> None:
        """Write what the peer sends to standard output."""
        connection, screen = self._connection, self._screen
        while not self._output_closed:
            try:
                messages = await connection.receive_many()
            except EndOfStream:
                break
            self._received_at = connection.engine.now()
            data = self._messages.to_bytes(messages)
            if self._telnet is not None:
                data = self._telnet.feed(data)
                if answers := self._telnet.take_answers():
                    with suppress(ClosedError):  # the sending direction has ended: the answer cannot be sent
                        await connection.send(answers)
            await self._write(data if screen is None else screen.feed(data))
            if self._receiving_rate is not None:
                await connection.engine.sleep(self._receiving_rate.take(len(data), connection.engine.now()))
        if screen is not None:
            await self._write(screen.end())
        self._note_peer_end()

    async def _write(self, data: bytes) -> None:
        try:
            await self._stdio.send(data)
        except BrokenError as error:
            if error.errno not in READER_GONE:
                raise OSError(str(error)) from None
            self._output_closed = True


def split_datagrams(messages: list[Any]) -> list[Any]:
    """Bytes in pieces that each go into one datagram; other messages as they are."""
    if not any(isinstance(message, bytes) and len(message) > MAX_DATAGRAM_SIZE for message in messages):
        return messages
    return [
        message[begin : begin + MAX_DATAGRAM_SIZE]
        for message in messages
        for begin in range(0, len(message), MAX_DATAGRAM_SIZE)
    ]


async def run_until_signal(engine: Engine, work: Callable[[], Coroutine[Any, Any, None]]) -> int | None:
    """Run some work to its end, or until SIGINT or SIGTERM, which cancels it and lets it clean up.

    Returns:
        The number of the signal; None where there was none.
    """
    received: list[int] = []
    ended = engine.event()

    async def run() -> None:
        try:
            await work()
        finally:
            ended.set()

    async with Group(engine) as group:

        def stop(number: int) -> None:
            received.append(number)
            group.cancel()

        with stop_signals(engine, stop):
            group.start(run())
            await ended.wait()
    return received[0] if received else None
