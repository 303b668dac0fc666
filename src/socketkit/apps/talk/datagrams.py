"""`listen --keep` over datagrams: every sender is received as it sends, without a session for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from socketkit.apps.relay.token_bucket import TokenBucket
from socketkit.apps.talk.conversation import READER_GONE, TalkOptions, split_datagrams
from socketkit.apps.talk.line_messages import MessageFormat
from socketkit.config.address import Address
from socketkit.datagrams.datagrams import Datagrams
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, EndOfStream, FramingError, SocketkitError
from socketkit.events import Accepted, Closed, Observer, Received, Sent
from socketkit.streams.stream import Stream

__all__ = ["receive_from_all"]

MAX_WATCHED: Final = 1024
"""Senders that are reported as open, at most; of more the one that was silent longest is reported as closed."""

SILENCE: Final = 60.0
"""Seconds without a datagram after which the input goes to another sender: as long as a session lives (RFC 4787: 2 min
is a NAT's, and dnsmasq, socat and HAProxy use 10 to 60 s)."""


async def receive_from_all(
    datagrams: Datagrams[Any],
    engine: Engine,
    person: Callable[[Engine], Stream],
    *,
    messages: MessageFormat,
    talk: TalkOptions,
    timeout: float | None = None,
    is_named: bool = False,
    report: Callable[[SocketkitError], object] = lambda error: None,
    observer: Observer | None = None,
) -> None:
    """Write what every sender sends to standard output, until that has no reader.

    The input is sent to the first sender, and to the next one that sends when that one has been silent for a minute.

    Args:
        datagrams: open.
        engine: runs already.
        person: makes the stream of standard input and output.
        messages: how messages are input and output.
        talk: as for `converse`; of `only` None and "receive".
        timeout: seconds to wait for a datagram; None: no limit.
        is_named: whether each datagram is shown with its sender, from the second sender on.
        report: called with the error of a datagram that was refused.
        observer: receives the events of a connection for each sender.

    Raises:
        DeadlineError: no datagram came within `timeout`.
        BrokenError: the socket is lost.
        OSError: standard output cannot be written to.
    """
    with closing(person(engine)) as stdio:
        watched = None if observer is None else _Watched(observer, str(datagrams.local), engine.now)
        senders = _Senders(datagrams, engine, stdio, messages, talk, is_named, watched)
        try:
            async with Group(engine) as group:
                if talk.only != "receive":
                    group.start(senders.send_input(report))
                await senders.receive(timeout, report)
                group.cancel()
        finally:
            if watched is not None:
                watched.end()


class _Senders:
    """Who sends, and to whom the input goes."""

    def __init__(
        self,
        datagrams: Datagrams[Any],
        engine: Engine,
        stdio: Stream,
        messages: MessageFormat,
        talk: TalkOptions,
        is_named: bool,
        watched: _Watched | None,
    ) -> None:
        self._datagrams = datagrams
        self._engine = engine
        self._stdio = stdio
        self._messages = messages
        self._screen = None if talk.screen is None else talk.screen()
        self._typed = None if talk.typed is None else talk.typed()
        self._rate = None if talk.rate is None else TokenBucket(talk.rate)
        self._is_named = is_named
        self._watched = watched
        self._is_line_begun = False  # the last datagram that was shown did not end with a line
        self._first: Address | None = None
        self._are_several = False
        self._target: Address | None = None  # of the input
        self._target_at = 0.0  # when it sent last
        self._changed = Condition(engine)

    async def receive(self, timeout: float | None, report: Callable[[SocketkitError], object]) -> None:
        """Receive until standard output has no reader."""
        while True:
            try:
                pairs = await self._datagrams.receive_many_from(timeout=timeout)
            except FramingError as error:
                report(error)
                continue
            self._note(pairs)
            data = b"".join([self._shown(message, address) for message, address in pairs])
            try:
                await self._stdio.send(data if self._screen is None else self._screen.feed(data))
            except BrokenError as error:
                if error.errno in READER_GONE:
                    return
                raise OSError(str(error)) from None
            if self._rate is not None:
                await self._engine.sleep(self._rate.take(len(data), self._engine.now()))

    def _note(self, pairs: list[tuple[Any, Address]]) -> None:
        now = self._engine.now()
        for _, address in pairs:
            self._first = self._first or address
            self._are_several = self._are_several or address != self._first
            if self._target is None or (address != self._target and now - self._target_at > SILENCE):
                self._target = address
                self._changed.notify()
            if address == self._target:
                self._target_at = now

    def _shown(self, message: Any, address: Address) -> bytes:
        data = self._messages.to_bytes([message])
        if self._watched is not None:
            self._watched.received(address, data)
        if not self._is_named:
            return data
        if self._are_several:
            data = b"\n" * self._is_line_begun + f"[{address}] ".encode() + data
        self._is_line_begun = bool(data) and not data.endswith(b"\n")
        return data

    async def send_input(self, report: Callable[[SocketkitError], object]) -> None:
        """Send the input, from when there is a sender."""
        await self._changed.wait_until(lambda: self._target is not None)
        while True:
            try:
                data = await self._stdio.receive()
            except (EndOfStream, BrokenError):
                break
            await self._send(
                self._messages.to_messages(data if self._typed is None else self._typed.feed(data)), report
            )
        rest = b"" if self._typed is None else self._typed.end()
        last = self._messages.to_messages(rest) if rest else []
        await self._send([*last, *self._messages.last_messages()], report)

    async def _send(self, messages: list[Any], report: Callable[[SocketkitError], object]) -> None:
        assert self._target is not None
        for message in split_datagrams(messages):
            try:
                await self._datagrams.send_to(message, self._target)
            except BrokenError as error:
                report(error)
                continue
            if self._watched is not None:
                self._watched.sent(self._target, self._messages.to_bytes([message]))


class _Sender:
    """What is counted of one sender."""

    __slots__ = ("number", "received_count", "received_size", "sent_count", "sent_size", "since")

    def __init__(self, number: int, since: float) -> None:
        self.number = number
        self.since = since
        self.received_count = self.received_size = self.sent_count = self.sent_size = 0


class _Watched:
    """Reports each sender as a connection: its start, its data, and its end, which is ours or that of its turn here."""

    def __init__(self, observer: Observer, local: str, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._local = local
        self._clock = clock
        self._count = 0
        self._senders: OrderedDict[Address, _Sender] = OrderedDict()

    def received(self, address: Address, data: bytes) -> None:
        sender = self._senders.get(address)
        if sender is None:
            self._count += 1
            sender = self._senders[address] = _Sender(self._count, self._clock())
            self._observer(Accepted(sender.number, self._local, str(address)))
            if len(self._senders) > MAX_WATCHED:
                self._close(*self._senders.popitem(last=False))
        else:
            self._senders.move_to_end(address)
        sender.received_count += 1
        sender.received_size += len(data)
        self._observer(Received(sender.number, data))

    def sent(self, address: Address, data: bytes) -> None:
        sender = self._senders.get(address)
        if sender is not None:
            sender.sent_count += 1
            sender.sent_size += len(data)
            self._observer(Sent(sender.number, data))

    def end(self) -> None:
        while self._senders:
            self._close(*self._senders.popitem(last=False))

    def _close(self, address: Address, sender: _Sender) -> None:
        self._observer(
            Closed(
                sender.number,
                sender.received_size,
                sender.sent_size,
                None,
                local=self._local,
                peer=str(address),
                seconds=self._clock() - sender.since,
                received_count=sender.received_count,
                sent_count=sender.sent_count,
                reason="closed",
            )
        )
