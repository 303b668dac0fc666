"""A conversation between a connection and whoever sits here: what is read here is sent, what comes is written here.

Two directions that end one by one. The end of our input ends our direction, and the peer is heard out; the end of the
peer's ends it all. Nothing that was read or received is dropped in silence. Prints nothing: the person is a stream.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from socketkit.apps.talk.byte_formats import Filter
from socketkit.apps.talk.line_messages import MessageFormat
from socketkit.config.durations import format_duration
from socketkit.connection.connection import Connection
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream, SocketkitError
from socketkit.server.signals import stop_signals
from socketkit.streams.stream import Stream
from socketkit.values import Value

if TYPE_CHECKING:
    from socketkit.apps.talk.telnet import Telnet

__all__ = ["AbandonedError", "TalkOptions", "converse", "run_until_signal"]

PAUSE: Final = 0.5
"""Seconds of silence after which nothing more is expected of an input whose peer has ended: a program in a pipe pauses
shorter while it works, and a person is not to wait."""

MAX_DATAGRAM: Final = 65_507
"""Bytes of the largest datagram over UDP and IPv4: what is read here at once is one datagram, or several such."""

_GONE: Final = (errno.EPIPE, errno.ECONNRESET)
"""The person's output is read by nobody any more: a pipe's end, or a socket's."""


class AbandonedError(SocketkitError):
    """Something was given up: the peer may have had more to say, or what was read here could not be sent."""


class TalkOptions(Value):
    """How a conversation is held.

    Attributes:
        linger: seconds that the other direction may take after the end of the first; None: as long as it takes.
        screen: makes what the peer's bytes pass through before they are written here.
        typed: makes what the person's bytes pass through before they are sent.
        only: "send": what comes is thrown away, and our end is the end; "receive": nothing is read here, and nothing
            sent. None: both ways.
        telnet: whether telnet's commands are answered, and kept from being shown.
        reply_wait: seconds without an answer, after our end, after which a peer that cannot say goodbye (over UDP, say)
            counts as having ended; None: it never does.
    """

    linger: float | None = None
    screen: Callable[[], Filter] | None = None
    typed: Callable[[], Filter] | None = None
    only: str | None = None
    telnet: bool = False
    reply_wait: float | None = 1.0


async def converse(
    connection: Connection,
    person: Stream,
    *,
    words: MessageFormat,
    talk: TalkOptions = TalkOptions(),  # noqa: B008 - a value
) -> bool:
    """Hold a conversation to its end, and close the connection.

    At the end of the person's input our direction ends, and the peer is listened to until it ends too. When the peer
    ends first, a person who is silent is not waited for; what is being said is still sent, up to its end or a pause
    (the peer may have ended one direction only). When nobody reads what is written here any more (EPIPE), it is over,
    quietly.

    Args:
        connection: is closed at the end; reset, where something is left unsent.
        person: whose bytes are sent, and who is given those that come. It stays open, and has to be closed.
        words: how the person's bytes become the connection's messages, and back.
        talk: how it is held.

    Returns:
        Whether somebody still reads what is written here.

    Raises:
        AbandonedError: the linger ran out; or the peer had ended, and did not take the rest.
        BrokenError: the connection was lost; what came before is written.
        FramingError: what came, or what was read, follows no framing.
        OSError: the person could not be read, or written.

    Cancellation: what the system takes at once is still sent.
    """
    async with connection:
        return await _Conversation(connection, person, words, talk).hold()


def _telnet() -> Telnet:
    from socketkit.apps.talk.telnet import Telnet

    return Telnet()


class _Conversation:
    """Both directions, and how far they are."""

    def __init__(self, connection: Connection, person: Stream, words: MessageFormat, talk: TalkOptions) -> None:
        self._connection = connection
        self._person = person
        self._words = words
        self._linger = talk.linger
        self._only = talk.only
        self._telnet = _telnet() if talk.telnet else None
        self._screen = None if talk.screen is None else talk.screen()
        self._typed = None if talk.typed is None else talk.typed()
        self._reply_wait = None if talk.only == "receive" else talk.reply_wait
        self._has_goodbye = connection.peer.transport.kind not in ("SOCK_DGRAM", "SOCK_RAW")
        self._heard_at = connection.engine.now()
        self._changed = Condition(connection.engine)
        self._reading_since: float | None = None  # the moment from which on the person could have said something
        self._has_read = False  # the person's input has ended
        self._has_said = False  # our direction has
        self._has_heard = False  # the peer's has
        self._is_deaf = False  # nobody reads what is written here
        self._unsaid: SocketkitError | None = None  # why not everything could be sent
        self._failure: Exception | None = None

    async def hold(self) -> bool:
        """All of it; see `converse`."""
        async with Group(self._connection.engine) as group:
            group.start(self._run(self._listen_only if self._only == "receive" else self._say))
            group.start(self._run(self._throw_away if self._only == "send" else self._hear))
            if self._reply_wait is not None and not self._has_goodbye:
                group.start(self._run(partial(self._wait_replies, self._reply_wait)))
            try:
                await self._wait_end()
            finally:
                if self._unsent_size():
                    self._connection.abort()  # also wakes a thread that waits until it is taken
                group.cancel()
        error = self._failure or self._unsaid
        if error is not None and not self._is_deaf:
            raise error.with_traceback(None)
        return not self._is_deaf

    async def _wait_end(self) -> None:
        changed = self._changed
        await changed.wait_until(lambda: self._has_read or self._has_heard or self._is_over())
        deadline = self._connection.engine.deadline(self._linger)
        try:
            if self._has_heard and self._only != "receive":
                await self._wait_silence(deadline)
                self._person.stop_receiving()
            await changed.wait_until(self._is_done, deadline=deadline)
        except DeadlineError:
            raise AbandonedError(self._why_late()) from None

    async def _wait_replies(self, seconds: float) -> None:
        """Who cannot say goodbye has ended when nothing has come for a while after our own end."""
        await self._changed.wait_until(lambda: self._has_said or self._is_over())
        now = self._connection.engine.now
        self._heard_at = now()
        while not (self._has_heard or self._is_over()):
            deadline = self._heard_at + seconds
            if now() >= deadline:
                self._connection.stop_receiving()
                return
            with suppress(DeadlineError):
                await self._changed.wait_until(lambda: self._has_heard or self._is_over(), deadline=deadline)

    async def _wait_silence(self, linger_deadline: float | None) -> None:
        """Wait until the person has said nothing for a while, and not because the peer was slow to take it."""
        now = self._connection.engine.now
        while not (self._has_read or self._is_over()):
            since = self._reading_since
            if since is not None and now() >= since + PAUSE:
                return
            deadline = (now() if since is None else since) + PAUSE
            if linger_deadline is not None and linger_deadline < deadline:
                deadline = linger_deadline
            try:
                await self._changed.wait_until(lambda: self._has_read or self._is_over(), deadline=deadline)
            except DeadlineError:
                if deadline == linger_deadline:
                    raise

    def _is_done(self) -> bool:
        return (self._has_said and (self._has_heard or self._only == "send")) or self._is_over()

    def _is_over(self) -> bool:
        return self._is_deaf or self._failure is not None

    def _why_late(self) -> str:
        peer, linger = self._connection.peer, format_duration(self._linger or 0)
        if size := self._unsent_size():
            return f"gave up after {linger} (--linger): {size} bytes were left unsent, because {peer} did not take them"
        if self._has_heard:
            return f"gave up after {linger} (--linger): {peer} had ended, and our input went on"
        return f"gave up after {linger} (--linger): {peer} did not end, and is not heard any more"

    def _unsent_size(self) -> int:
        return self._connection.statistics().unsent_size

    # --- the two directions ---

    async def _run(self, direction: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await direction()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._changed.notify()

    async def _say(self) -> None:
        """From the person to the peer. A loss does not end it all: what came before it is still to be heard, and who
        hears meets the loss too, mostly."""
        connection, words = self._connection, self._words
        try:
            while data := await self._read():
                messages = words.to_messages(self._as_sent(data))
                if not self._has_goodbye:
                    messages = _fitting(messages)
                if messages:
                    await connection.send_many(messages)
            rest = self._typed.end() if self._typed is not None else b""
            last = [*(words.to_messages(rest) if rest else ()), *words.last_messages()]
            if last:
                await connection.send_many(last)
            await connection.flush()
            await connection.send_eof()
        except BrokenError as error:
            self._unsaid = error
            if self._has_heard:
                self._unsaid = AbandonedError(f"{connection.peer} had ended, and did not take what we still sent")
        finally:
            self._has_read = self._has_said = True

    def _as_sent(self, data: bytes) -> bytes:
        if self._typed is not None:
            data = self._typed.feed(data)
        return data if self._telnet is None else self._telnet.escape(data)

    async def _listen_only(self) -> None:
        self._has_said = True

    async def _throw_away(self) -> None:
        """Receive, so that the peer is not held up and its end is noticed; our end is the end of it all."""
        try:
            while not self._has_said:
                await self._connection.receive_many()
        except EndOfStream:
            pass
        self._has_heard = True

    async def _read(self) -> bytes:
        """What the person says; empty at its end."""
        self._reading_since = self._connection.engine.now()
        try:
            return await self._person.receive()
        except EndOfStream:
            self._has_read = True
            self._changed.notify()
            return b""
        except BrokenError as error:
            raise OSError(str(error)) from None
        finally:
            self._reading_since = None

    async def _hear(self) -> None:
        """From the peer to the person."""
        connection, words, screen = self._connection, self._words, self._screen
        while not self._is_deaf:
            try:
                messages = await connection.receive_many()
            except EndOfStream:
                break
            self._heard_at = connection.engine.now()
            data = words.to_bytes(messages)
            if self._telnet is not None:
                data = self._telnet.feed(data)
                if answers := self._telnet.take_answers():
                    with suppress(ClosedError):  # our direction has ended: no answer is owed any more
                        await connection.send(answers)
            await self._write(data if screen is None else screen.feed(data))
        if screen is not None:
            await self._write(screen.end())
        self._has_heard = True

    async def _write(self, data: bytes) -> None:
        try:
            await self._person.send(data)
        except BrokenError as error:
            if error.errno not in _GONE:
                raise OSError(str(error)) from None
            self._is_deaf = True


def _fitting(messages: list[Any]) -> list[Any]:
    """Bytes in pieces that each go into one datagram; other messages as they are."""
    if not any(isinstance(message, bytes) and len(message) > MAX_DATAGRAM for message in messages):
        return messages
    return [
        message[begin : begin + MAX_DATAGRAM] for message in messages for begin in range(0, len(message), MAX_DATAGRAM)
    ]


async def run_until_signal(engine: Engine, work: Callable[[], Coroutine[Any, Any, None]]) -> int | None:
    """Do some work to its end, or until SIGINT or SIGTERM, which cancels it and lets it clean up.

    Returns:
        The number of the signal; None where there was none.
    """
    told: list[int] = []
    ended = engine.event()

    async def live() -> None:
        try:
            await work()
        finally:
            ended.set()

    async with Group(engine) as group:

        def stop(number: int) -> None:
            told.append(number)
            group.cancel()

        with stop_signals(engine, stop):
            group.start(live())
            await ended.wait()
    return told[0] if told else None
