"""A stream and a session: send and receive messages.

This room moves bytes between the two: it receives a batch when a message is wanted, hands out decoded messages without
waiting, and lets `outgoing` write what a turn has gathered. The rules of the conversation are the session's, the
system calls are the stream's, the waiting is the engine's.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from socketkit.connection.close import close_gracefully
from socketkit.connection.receiver import Receiver
from socketkit.connection.sender import LARGE_SIZE, Drain, Sender
from socketkit.connection.session import ConnectionStatistics, Session
from socketkit.connection.starttls import upgrade
from socketkit.engines.engine import DONE, Engine
from socketkit.errors import EndOfStream, SocketkitError, closed_error, eof_sent_error
from socketkit.events import Closed, EndSent, Observer, Proxied, Secured, TlsFacts
from socketkit.framing import of as framing_of
from socketkit.framing.codec import Framing
from socketkit.sockets.peer_credentials import Credentials, credentials_of
from socketkit.streams.stream import DatagramStream, Stream
from socketkit.tls.handshake import side_for

if TYPE_CHECKING:
    from socketkit.connection.fd_passing import FdChannel
    from socketkit.connection.proxy_protocol import ProxyHeader
    from socketkit.tls.context import ServerSide, Side

__all__ = ["Connection", "ConnectionStatistics", "both_sides"]

_numbers = itertools.count(1)


class Connection:
    """A conversation with a peer, in messages. Made by `connect`, `serve`, `listen` and `pair`.

    Attributes:
        engine: the way of waiting, for handlers that wait for something else too (`connection.engine.sleep(1)`).
        number: unique in this process; events carry it.
        server_closing: True when the server has been told to stop: finish what you are at, and return.
        proxy: the address of the proxy that has passed this connection on to us (`accept_proxy`), else None.
        proxy_header: all that it said, else None.

    Concurrency: many tasks may send, one at a time receives.
    """

    def __init__(
        self,
        stream: Stream,
        framing: Framing,
        *,
        options: Options | None = None,
        observer: Observer | None = None,
        dialled: Address | None = None,
    ) -> None:
        options = Options() if options is None else options
        self.engine: Engine = stream.engine
        self.number = next(_numbers)
        self.server_closing = False
        self.proxy: Address | None = None
        self.proxy_header: ProxyHeader | None = None
        self._stream = stream
        self._framing, self._dialled = framing, dialled
        self._options = options
        self._observer = observer
        self._session, self._outgoing = both_sides(stream, framing, options, self.number, observer)
        self._inward = Receiver(self._session, self._outgoing, stream, options, number=self.number, observer=observer)
        self._waiting = self._session.waiting
        self._unsent = self._session.outgoing
        self._high_water = options.high_water
        self._large = min(options.high_water, LARGE_SIZE)
        self._soon = stream.engine.call_soon
        self._blocks = stream.engine.blocks
        self._flush = self._outgoing.flush
        self.on_closed: Callable[[], object] | None = None
        self._closed = False
        self._end_told = False  # that our direction has ended
        self._passing: FdChannel | None = None

    # --- sending ---

    def send(self, message: Any) -> Awaitable[None]:
        """Send one message: it joins what this turn sends, and leaves with it.

        Await the result: it is done already, unless more than `high_water` bytes are unsent; then it waits for the
        peer to read. The message is on its way from the call on, whole, whether or not the wait is cancelled.

        Args:
            message: of the framing's type: bytes for `chunks`, str for `lines`.

        Raises:
            FramingError, TypeError: the message cannot be framed; nothing was sent.
            ClosedError: this end, or its sending direction, was closed.
            BrokenError: the conversation was lost; what was sent before may be lost too.
        """
        session = self._session
        encode_one = session.encode_one
        if encode_one is None:
            return self.send_many((message,))
        data = encode_one(message)
        if self._blocks:
            self._outgoing.push(data)
            return DONE if session.outgoing_size < self._high_water else Drain(self._outgoing.drain)
        unsent = self._unsent
        unsent.append(data)
        session.sent_count += 1
        session.outgoing_size = size = session.outgoing_size + len(data)
        if len(unsent) == 1:
            self._soon(self._flush)
        return DONE if size < self._large else self._outgoing.send_large()

    def send_many(self, messages: Collection[Any]) -> Awaitable[None]:
        """Send several messages, in order, encoded in one go; all of them or, on an error of framing, none.

        Raises and waits as `send` does.
        """
        is_first = not self._unsent
        session = self._session
        session.queue(messages, len(messages))
        if is_first:
            if self._blocks:
                self._flush()
                self._outgoing.check()
            else:
                self._soon(self._flush)
        return DONE if session.outgoing_size < self._large else self._outgoing.send_large()

    async def flush(self, *, timeout: float | None = None) -> None:
        """Wait until the system has taken everything that was sent. (Whether the peer has read it, only the peer can
        say.)

        Raises:
            BrokenError: the conversation was lost.
            DeadlineError: after `timeout` seconds; what is unsent is still on its way.
        """
        await self._outgoing.wait_empty(deadline=self.engine.deadline(timeout))
        self._outgoing.check()

    async def send_eof(self) -> None:
        """End our direction after everything that was sent: the peer sees the end, and may go on talking to us.
        Harmless twice.

        Raises:
            BrokenError: the conversation was lost.
            ClosedError: this end was closed.
            DeadlineError: the peer did not take what was unsent within `close_timeout`.
        """
        self._check_open()
        self._session.refuse(eof_sent_error(self._stream.peer))
        deadline = self.engine.deadline(self._options.close_timeout)
        await self._outgoing.wait_empty(deadline=deadline)
        self._outgoing.check()
        await self._stream.send_eof(deadline=deadline)
        if self._observer is not None and not self._end_told:
            self._end_told = True
            self._observer(EndSent(self.number))

    # --- receiving ---

    async def receive(self, *, timeout: float | None = None) -> Any:
        """The next message, as soon as it is whole.

        Raises:
            EndOfStream: the peer has ended its direction, and every message was received. Sending is still possible.
            FramingError: the bytes after the last whole message follow no framing. Sending is still possible. Of a
                datagram: that one alone; the next call goes on with the next.
            BrokenError: the conversation was lost; every message that had come whole was received before. Over a
                socket without a connection (udp, unixgram, ip): an earlier datagram was refused; one may go on.
            ClosedError: this end was closed.
            BusyError: another task receives here.
            DeadlineError: after `timeout` seconds; or, and then always, the peer was silent for `idle_timeout`.

        Cancellation: nothing is lost; the next call gets it.
        """
        if not self._waiting:
            await self._inward.fill(timeout)
        return self._waiting.pop()

    async def receive_many(self, *, timeout: float | None = None) -> list[Any]:
        """Every whole message that is there, as soon as there is one; raises as `receive` does."""
        if not self._waiting:
            await self._inward.fill(timeout)
        return self._session.take_all()

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> Any:
        waiting = self._waiting
        if not waiting:
            try:
                await self._inward.fill()
            except EndOfStream:
                raise StopAsyncIteration from None
        return waiting.pop()

    async def batches(self) -> AsyncIterator[list[Any]]:
        """Iterate by lists: each holds every message that is there, at least one. Ends with the peer's direction."""
        while True:
            try:
                messages = await self.receive_many()
            except EndOfStream:
                return
            yield messages

    async def wait_message(self, *, timeout: float | None = None) -> None:
        """Wait until the next `receive` will not wait; raises as it does."""
        if not self._waiting:
            await self._inward.fill(timeout)

    @property
    def receiver(self) -> Receiver:
        """What receives, for the one who waits without a coroutine (`BlockingConnection`)."""
        return self._inward

    @property
    def incoming(self) -> list[Any]:
        """The messages that came whole and were not received yet, oldest first; they stay."""
        return self._waiting[::-1]

    def reframe(self, framing: object) -> None:
        """Go on in another framing, in both directions, from here: after the last message that was received, and after
        the last that was sent. Bytes that came already are read anew (but for datagrams, which are framed one by one).
        Works inside an iteration too.

        Args:
            framing: as for `connect`.

        Raises:
            OptionError: no such framing.
            TypeError: the codec in use is of your own making and has no `take_rest`.
            FramingError: the bytes are not there any more: an over-long frame was being skipped.
        """
        chosen = framing_of(framing)
        self._session.adopt(chosen)
        self._framing = chosen

    async def start_tls(self, tls: TLS | Side | bool = True, *, server_side: bool | None = None) -> None:
        """Go on encrypted from here (STARTTLS), within `handshake_timeout`; what was sent goes in plain text first.
        What came and was not received is TLS already for a server; a client refuses it as an injection.

        Args:
            tls: how; True: as the options say.
            server_side: None: the side that accepted is the server, the side that connected is the client.

        Raises:
            OptionError: a file cannot be used, or a client has no name to check. Nothing has happened.
            HandshakeError, DeadlineError, StreamError: no agreement; unless it is BusyError, it is of no further use.
        """
        self._check_open()
        await self._upgrade(*side_for(tls, self._options, self._dialled, server_side), None)

    async def accept_tls(self, side: ServerSide, *, deadline: float | None) -> None:
        """As `start_tls`, for a server that has read its certificates, and whose deadline is under way."""
        await self._upgrade(side, None, deadline)

    async def _upgrade(self, side: Side, name: str | None, deadline: float | None) -> None:
        stream = self.detach_stream()
        try:
            secured = await upgrade(
                self._session, self._outgoing, stream, self._framing, side, name, self._options, deadline
            )
        except SocketkitError as error:
            self.set_cause(error)
            raise
        finally:
            self._inward.is_busy = False
        self._stream = secured
        self._inward.use(secured, self._options)
        if self._observer is not None:
            self._observer(Secured(self.number, secured.tls))

    async def send_descriptors(self, descriptors: Sequence[int], message: Any) -> None:
        """Send a message, and open descriptors with it, over a UNIX socket; the peer gets copies, yours stay yours.

        Raises:
            OptionError: none, too many (253) or closed ones; or the message has no byte to travel with.
            StreamError: this is no UNIX socket. Else, and in what it waits for, as `send`.
        """
        await self._pass().send(descriptors, lambda: self.send(message))

    async def receive_descriptors(self, *, timeout: float | None = None) -> tuple[Any, tuple[int, ...]]:
        """The next message, and the descriptors that came with it: yours to close. Call it before any can have come:
        to receive otherwise is to refuse them, until the first call; later they are held (253) for this call alone.

        Raises and cancels as `receive`; and StreamError where this is no UNIX socket.
        """
        return await self._pass().receive(lambda: self.receive(timeout=timeout))

    def _pass(self) -> FdChannel:
        self._check_open()
        if self._passing is None:
            from socketkit.connection.fd_passing import FdChannel  # only who passes any pays for it

            self._passing = FdChannel(self._session, self._outgoing, self._stream)
        return self._passing

    # --- carrying bytes past the framing ---

    def detach_stream(self) -> Stream:
        """Hand the stream below to one who carries bytes past the framing (a relay does) and counts them in `counts`.
        Messages are received no more (BusyError), and none should be sent. What came already is in `incoming`. Closing,
        aborting and the end event stay here.

        Raises:
            BusyError: a task receives messages, or somebody carries bytes already.
        """
        self._inward.begin()
        return self._stream

    @property
    def counts(self) -> Session:
        """Where `received_size` and `sent_size` are counted, for one who carries bytes past the framing."""
        return self._session

    # --- the end ---

    async def close(self) -> None:
        """Say goodbye: send what is unsent, end our direction, let go. Takes at most `close_timeout`. Harmless twice.

        Raises:
            DeadlineError: the peer took nothing for so long; what was unsent is lost, and it was reset.
            BrokenError: something was lost that no earlier call has told.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await close_gracefully(self._session, self._outgoing, self._stream, timeout=self._options.close_timeout)
        except SocketkitError as error:
            self.set_cause(error)
            raise
        finally:
            self._end()

    def abort(self) -> None:
        """Let go at once, without a goodbye: the peer sees a reset, what is unsent is lost. Harmless twice."""
        if self._closed:
            self._stream.abort()
            return
        self._closed = True
        self._outgoing.cut(closed_error(self._stream.peer))
        self._stream.abort()
        self._end()

    def stop_receiving(self) -> None:
        """End the peer's direction from our side: what has arrived is still received, then receiving ends as if the
        peer had ended it."""
        self._stream.stop_receiving()

    def set_cause(self, error: BaseException) -> None:
        """Say in the end event that this is what ended the conversation; the first to say so is heard."""
        self._inward.set_cause(error)

    @property
    def cause(self) -> BaseException | None:
        """What the end event names as the cause of the end, so far; None: nothing."""
        return self._inward.loss

    def _end(self) -> None:
        self._session.fail(closed_error(self._stream.peer))
        self._waiting.clear()
        if self._passing is not None:
            self._passing.close()
        if self.on_closed is not None:
            self.on_closed()
        if self._observer is not None:
            session = self._session
            self._observer(Closed(self.number, session.received_size, session.sent_size, self._inward.loss))

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self._stream.peer)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
        elif isinstance(error, Exception):
            try:
                await self.close()
            except SocketkitError:
                pass  # the block's own error goes on
        else:
            self._flush()  # cancelled, or the program ends: what can go now goes, and nothing is waited for
            self.abort() if not self._outgoing.is_empty else await self.engine.shielded(self.close())

    # --- facts ---

    @property
    def stream(self) -> Stream:
        """The bytes below the messages, for what comes before the first message (a proxy's header)."""
        return self._stream

    def apply_proxy_header(self, header: ProxyHeader) -> None:
        """A proxy has said for whom it speaks: that one is our peer from now on. One that speaks for itself (a health
        check), or does not know, stays the peer."""
        self.proxy, self.proxy_header = self.peer, header
        if header.source is not None:
            self._stream.peer = str(header.source)  # type: ignore[misc]  # each kind has a slot for it
            if self._observer is not None:
                self._observer(Proxied(self.number, self._stream.peer, str(self.proxy)))

    @property
    def local(self) -> Address:
        """Our end's address."""
        return Address.parse(self._stream.local)

    @property
    def peer(self) -> Address:
        """The other end's address; for the caller of a UNIX socket, who mostly has none, the listener's own."""
        return Address.parse(self._stream.peer)

    @property
    def socket(self) -> socket.socket:
        """The real socket, for its options. Receiving or sending on it behind our back breaks the framing.

        Raises:
            AttributeError: there is none under this connection (a pair in memory).
        """
        sock = self._stream.socket
        if sock is None:
            raise AttributeError(f"there is no socket under {self._stream.peer}")
        return sock

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed on, and who the peer says it is; None where plain bytes are spoken."""
        return self._stream.tls

    @property
    def peer_credentials(self) -> Credentials | None:
        """The peer's process, user and group on a UNIX socket; None elsewhere."""
        sock = self._stream.socket
        return None if sock is None or self._closed else credentials_of(sock)

    @property
    def child_status(self) -> int | None:
        """How the child at the other end (`exec:`) has ended, as a shell says it: its status, or 128 and the number of
        the signal that killed it. None while it runs, and where there is none; known when `close` returns."""
        return self._stream.exit_status

    @property
    def is_closed(self) -> bool:
        """Whether this end was closed or aborted."""
        return self._closed

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: somebody waits for a message, none has begun to come, nothing is unsent."""
        return self._inward.is_busy and self._session.is_between_messages and self._outgoing.is_empty

    def statistics(self) -> ConnectionStatistics:
        """How it stands now."""
        session = self._session
        return ConnectionStatistics(
            received_size=session.received_size,
            sent_size=session.sent_size,
            received_count=session.received_count,
            sent_count=session.sent_count,
            waiting_count=len(session.waiting),
            unsent_size=session.outgoing_size,
        )

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended by the peer" if self._session.has_ended else "open"
        return f"<Connection {self.number} {self._stream.local} - {self._stream.peer}, {state}>"


def both_sides(
    stream: Stream, framing: Framing, options: Options, number: int, observer: Observer | None
) -> tuple[Session, Sender]:
    """The incoming and the outgoing side of a connection, by the kind of stream: decided once, not at each message."""
    high_water, idle_timeout = options.high_water, options.idle_timeout
    if isinstance(stream, DatagramStream):
        from socketkit.connection.datagrams import DatagramOutgoing, DatagramSession

        datagrams = DatagramSession(framing, max_size=stream.max_size, is_connectionless=stream.is_connectionless)
        return datagrams, DatagramOutgoing(
            datagrams, stream, high_water=high_water, number=number, observer=observer, idle_timeout=idle_timeout
        )
    session = Session(framing.codec())
    return session, Sender(
        session, stream, high_water=high_water, number=number, observer=observer, idle_timeout=idle_timeout
    )
