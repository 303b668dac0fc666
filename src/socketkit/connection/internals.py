"""The parts of a connection that other packages of this library use, and handlers do not.

A relay moves bytes past the framing, a server reads a proxy's header before the first message and sets why a connection
ended, plain code receives without a coroutine. All of that is here, and not on `Connection`.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.receiver import Receiver
from socketkit.connection.sender import Sender
from socketkit.connection.sending_lock import SendingLock
from socketkit.connection.session import Session
from socketkit.connection.starttls import upgrade
from socketkit.errors import ClosedError, OptionError, SocketkitError, StreamError
from socketkit.events import Observer, Proxied, Received, Secured, Upgraded
from socketkit.framing.codec import Framing
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import DatagramStream, MessageStream, Stream

if TYPE_CHECKING:
    from socketkit.connection.proxy_protocol import ProxyHeader
    from socketkit.tls.context import Side

__all__ = ["Internals"]

LIMITS: Final = ("high_water", "idle_timeout", "send_timeout")
"""The options of the sending side."""

_numbers = itertools.count(1)


class Internals:
    """The parts of one connection.

    Attributes:
        stream: moves the bytes.
        session: the state of both directions; bytes that are moved past the framing are counted there.
        sender, receiver: move messages between the two.
        options: as the connection was opened with.
        number: unique in this process; events carry it.
        began: when it was opened, by the engine's clock.
        observer: gets the events; or None.
        peer: the other end's address, as text: the client's, where a proxy said for whom it speaks.
        proxy_peer: the proxy's address, as text; None without a proxy.
        proxy_header: what the proxy said; None without a proxy.
        framing: of both directions.
        on_closed: is called when this end was closed; None: nothing is.
        sending_lock: held by a thread that sends, where the stream's protocol answers by itself; None: one task sends.
    """

    # These are rarely set: an idle connection has no room for them.
    on_closed: Callable[[], object] | None = None
    sending_lock: SendingLock | None = None
    proxy_peer: str | None = None
    proxy_header: ProxyHeader | None = None

    __slots__ = (
        "__dict__",
        "_receiver",
        "_sender",
        "began",
        "framing",
        "number",
        "observer",
        "options",
        "peer",
        "session",
        "stream",
    )

    def __init__(self, stream: Stream, framing: Framing, options: Options, observer: Observer | None) -> None:
        self.stream = stream
        self.framing = framing
        self.options = options
        self.number = next(_numbers)
        self.began = stream.engine.now()
        self.observer = observer
        if isinstance(stream, MessageStream):
            framing = stream.framed(framing)
        self.session = session_of(stream, framing, self.number, observer)
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None
        if stream.engine.blocks:  # threads may ask for it at once
            self._sender = self._make_sender()
        if isinstance(stream, MessageStream):
            self._attach(stream)
        self.peer = stream.peer

    @property
    def sender(self) -> Sender:
        """The sending side; made when it is asked for: an idle connection in the compiled core has none."""
        sender = self._sender
        if sender is None:
            sender = self._sender = self._make_sender()
        return sender

    @property
    def needed_sender(self) -> Sender | None:
        """The same, where something is unsent, or was lost; else perhaps None: there is nothing that it could do."""
        return self.sender if self._sender is None and self.session.has_unsent else self._sender

    def _make_sender(self) -> Sender:
        kind: type[Sender] = Sender
        if isinstance(self.stream, DatagramStream):
            from socketkit.connection.datagrams import DatagramSender

            kind = DatagramSender
        limits: dict[str, Any] = {name: getattr(self.options, name) for name in LIMITS}
        return kind(self.session, self.stream, number=self.number, observer=self.observer, **limits)

    @property
    def receiver(self) -> Receiver:
        """The receiving side; made when it is asked for: an idle connection in the compiled core has none."""
        receiver = self._receiver
        if receiver is None:
            receiver = self._receiver = Receiver(
                self.session, self.sender, self.stream, self.options, number=self.number, observer=self.observer
            )
        return receiver

    @property
    def receives_directly(self) -> bool:
        """Whether the bytes may be received without `receiver`: they are not reported, and no time limit holds."""
        if self.options.idle_timeout is not None:
            return self.receiver.is_direct
        return self.observer is None and self.stream.plain is not None and self.stream.engine.is_prompt

    def detach_stream(self) -> Stream:
        """Return the stream, to move bytes past the framing; count them in `session`.

        Messages are received no more (BusyError), and none should be sent. Messages that were read already are in
        `unread_messages`. Closing, aborting and the end event stay with the connection.

        Raises:
            BusyError: a task receives, or the stream was detached already.
            StreamError: it is a WebSocket, whose bytes are frames.
        """
        if isinstance(self.stream, MessageStream):
            raise StreamError(f"{self.peer}: the frames of a WebSocket are not copied as bytes")
        self.receiver.begin()
        return self.stream

    def unread_messages(self) -> list[Any]:
        """Return the messages that were read and not received yet, oldest first; they stay."""
        self.session.decode_all()
        return self.session.waiting[::-1]

    def take_unread_bytes(self) -> bytes:
        """Take back every byte that was read and not received, as it came.

        Raises:
            TypeError, FramingError: as for `Session.reframe`. Nothing was taken.
        """
        return self.session.give_back(self.framing)

    async def start_tls(self, side: Side, name: str | None, deadline: float | None = None) -> None:
        """Change to TLS; see `Connection.start_tls`.

        Args:
            side: the client's or the server's, whose certificates were read.
            name: of the server, for the check.
            deadline: None: `handshake_timeout` from now.
        """
        stream = self.detach_stream()
        try:
            secured = await upgrade(self.session, self.sender, stream, self.framing, side, name, self.options, deadline)
        except SocketkitError as error:
            self.set_cause(error)
            raise
        finally:
            self.receiver.end()
        self.stream = secured
        if self.peer == stream.peer:
            self.peer = secured.peer
        else:  # the client that a proxy has named
            self.peer = str(Address.parse(self.peer).replace(scheme=Address.parse(secured.peer).scheme))
        self.receiver.use(secured, self.options)
        if self.observer is not None:
            self.observer(Secured(self.number, secured.tls))

    async def upgrade(self, change: Callable[[Stream], Awaitable[MessageStream | None]]) -> bool:
        """Change to a protocol with messages of its own, before the first message; False where it came to nothing.

        Args:
            change: does the handshake, and returns the new stream.
        """
        stream = self.detach_stream()
        try:
            if isinstance(stream, SocketStream):
                stream.give_up_plain()
            upgraded = await change(stream)
            if upgraded is None:
                return False
            self.session.take_unread(upgraded.framed(self.framing))  # nothing: no message was before
            self._attach(upgraded)
        except SocketkitError as error:
            self.set_cause(error)
            raise
        finally:
            self.receiver.end()
        if self.peer == stream.peer:
            self.peer = upgraded.peer
        else:  # the client that a proxy has named
            self.peer = str(Address.parse(self.peer).replace(scheme=Address.parse(upgraded.peer).scheme))
        self.stream = upgraded
        if isinstance(stream, SocketStream) and upgraded.plain is stream:
            stream.take_up_plain()
        self.sender.release(upgraded)
        self.receiver.use(upgraded, self.options)
        self.report_upgrade()
        return True

    def _attach(self, stream: MessageStream) -> None:
        stream.attach(self.write, self.session.refuse, self.sender.cut, self._awaited_size)
        self.sender.limit_silence(stream.silence_limit)

    def report_upgrade(self) -> None:
        """Report a WebSocket that was opened; nothing where there is none."""
        stream = self.stream
        if self.observer is None or not isinstance(stream, MessageStream):
            return
        request, how = stream.request, (stream.has_compression, stream.handshake_seconds)
        self.observer(Upgraded(self.number, request.path, request.query, request.subprotocol, *how))

    def choose_close(self, code: int | None, reason: str) -> None:
        """Have the close frame of a WebSocket say this; raises OptionError, see `Connection.close`."""
        stream = self.stream
        if not isinstance(stream, MessageStream):
            raise OptionError(
                f"closing {self.peer}: code and reason have no effect here; they act on WebSocket, as ws://"
            )
        stream.choose_close(1000 if code is None else code, reason)

    def lock_sending(self) -> SendingLock:
        """Return the lock of threads that send here."""
        if self.sending_lock is None:
            self.sending_lock = SendingLock(self.write_now)
        return self.sending_lock

    def write(self, data: bytes) -> None:
        """Append bytes of the stream's own protocol to what is sent."""
        lock = self.sending_lock
        if lock is None:
            self.write_now(data)
        else:
            lock.answer(data)

    def write_now(self, data: bytes) -> None:
        """The same, where no other thread sends."""
        is_first = not self.session.has_unsent
        self.session.append(data)
        if self.stream.engine.blocks:
            self.sender.flush()
        elif is_first:
            self.stream.engine.call_soon(self.sender.flush)

    def _awaited_size(self) -> int | None:
        session = self.session
        return session.received_size if session.is_receiving else None

    def reframe(self, framing: Framing) -> None:
        """Change the framing of both directions; see `Connection.reframe`."""
        stream = self.stream
        if isinstance(stream, MessageStream):
            self.session.reframe_messages(lambda count: stream.reframe(framing, count))
        else:
            self.session.reframe(framing)
        self.framing = framing

    async def wait_message(self, timeout: float | str | None = None) -> None:
        """Wait until the next `receive` will not wait; raises as `receive` does."""
        if not self.session.waiting:
            await self.receiver.fill(timeout)

    @property
    def cause(self) -> BaseException | None:
        """What the end event names as the cause of the end, so far; None: nothing."""
        return None if self._receiver is None else self._receiver.loss

    @property
    def has_ended(self) -> bool:
        """Whether one of the directions has ended, or was lost, as far as it was noticed."""
        session = self.session
        return session.has_ended or session.refusal is not None or self.cause is not None

    def set_cause(self, error: BaseException) -> None:
        """Set what ended the connection, for the end event; the first cause stays."""
        self.receiver.set_cause(error)

    def forget_errors(self) -> None:
        """Keep no error that was raised: it holds the frames that it passed, and they hold the connection.

        Call it for a connection that is closed and not used any more. So it is freed at once, with its buffers, and not
        when the collector of cycles comes.
        """
        closed = ClosedError("the connection is closed")
        self.session.close(closed)
        if self._sender is not None:
            self._sender.error = closed
        if self._receiver is not None:
            self._receiver.loss = None
        self.stream.forget()

    def apply_proxy_header(self, header: ProxyHeader) -> None:
        """Take the client that a proxy's header names as the peer.

        A proxy that speaks for itself (a health check), or does not know the client, stays the peer.
        """
        self.proxy_peer, self.proxy_header = self.peer, header
        if header.source is not None:
            self.peer = str(header.source)
            if self.observer is not None:
                self.observer(Proxied(self.number, self.peer, self.proxy_peer))


def session_of(stream: Stream, framing: Framing, number: int, observer: Observer | None) -> Session:
    """Return the session for this kind of stream: decided once, not for each message."""
    if not isinstance(stream, DatagramStream):
        return Session(framing)
    from socketkit.connection.datagrams import DatagramSession

    return DatagramSession(
        framing,
        max_size=stream.max_size,
        is_connectionless=stream.is_connectionless,
        receive_nowait=stream.receive_nowait,
        arrived=None if observer is None else lambda data: observer(Received(number, data)),
    )
