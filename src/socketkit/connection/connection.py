"""A stream and a session: send and receive messages.

A receive reads a batch when no decoded message waits; a send joins the batch of this turn. The order of messages and
errors is the session's, the system calls are the stream's, the waiting is the engine's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, overload

from socketkit._core import ConnectionCore
from socketkit._core.connection import ConnectionCore as PythonCore
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from socketkit.connection.close import close_gracefully
from socketkit.connection.end_event import closed_event
from socketkit.connection.internals import Internals
from socketkit.connection.receiver import Receiver
from socketkit.connection.sender import LARGE_SIZE, Sender, Sending
from socketkit.connection.session import Session
from socketkit.connection.statistics import ConnectionStatistics
from socketkit.connection.unread_bytes import Exactly, Peek, Until, Wanted
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, SocketkitError, StreamError, closed_error, eof_sent_error
from socketkit.events import EndSent, Observer, TlsFacts
from socketkit.framing import of as framing_of
from socketkit.framing.codec import DEFAULT_MAX_SIZE, BytesLike, Framing, M
from socketkit.sockets.peer_credentials import Credentials, credentials_of
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import MessageStream, Stream
from socketkit.tls.handshake import side_for

if TYPE_CHECKING:
    from socketkit.config.websocket_settings import Request
    from socketkit.connection.fd_passing import FdChannel
    from socketkit.connection.proxy_protocol import ProxyHeader
    from socketkit.tls.context import Side

__all__ = ["Connection", "ConnectionStatistics"]


_process = os.getpid()


def this_process() -> int:
    """Return the number of this process: always the same object, as each connection holds it."""
    global _process
    if (number := os.getpid()) != _process:
        _process = number
    return _process


class Connection(ConnectionCore, Generic[M]):
    """A connection to a peer, in messages. Made by `connect`, `serve`, `listen` and `pair`.

    Attributes:
        engine: the way of waiting, for handlers that wait for something else too (`connection.engine.sleep(1)`).
        server_closing: True when the server stops: finish the work at hand, and return.

    Concurrency: many tasks may send, one at a time receives.
    """

    __slots__ = (
        "__dict__",  # made when a handler keeps something of its own here
        "__weakref__",
        "_dialled",
        "_fd_channel",
        "_pid",
        "internals",
    )

    engine: Engine
    _session: Session

    def __init__(
        self,
        stream: Stream,
        framing: Framing[M],
        *,
        options: Options | None = None,
        observer: Observer | None = None,
        dialled: Address | None = None,
    ) -> None:
        options = Options() if options is None else options
        self.internals = internals = Internals(stream, framing, options, observer)
        self.server_closing = False
        self._dialled = dialled
        # What every message needs, without a way over `internals`.
        blocks = stream.engine.blocks
        self._attach(
            internals.session,
            stream.plain if observer is None else None,
            stream.engine,
            stream.engine.call_soon,
            min(options.high_water, LARGE_SIZE),
            options.high_water,
            not blocks and internals.receives_directly,
            internals.session.sends_batches,
            blocks,
        )
        self._closed = False
        self._pid = this_process()  # a child of fork(2) has a copy of the descriptor
        self._end_sent_reported = False
        self._fd_channel: FdChannel | None = None

    @property
    def number(self) -> int:
        """Unique in this process; events carry it."""
        return self.internals.number

    @property
    def _sender(self) -> Sender:
        return self.internals.sender

    @property
    def _receiver(self) -> Receiver:
        return self.internals.receiver

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if name != "internals"]

    # Sending.

    if TYPE_CHECKING:  # implemented in the core

        @overload
        def send(self: Connection[bytes], message: BytesLike, /) -> Sending: ...
        @overload
        def send(self, message: M, /) -> Sending: ...
        def send(self, message: Any, /) -> Sending: ...
        @overload
        def send_many(self: Connection[bytes], messages: Collection[BytesLike], /) -> Sending: ...
        @overload
        def send_many(self, messages: Collection[M], /) -> Sending: ...
        def send_many(self, messages: Collection[Any], /) -> Sending: ...
        def __aiter__(self) -> Connection[M]: ...
        async def __anext__(self) -> M: ...
        def batches(self) -> AsyncIterator[list[M]]: ...

    def _send_failed(self, number: int, reason: str) -> None:
        """Take an error of send(2) in the compiled core."""
        stream = self.internals.stream.plain
        assert isinstance(stream, SocketStream)  # the core sends over no other
        self._sender.fail(stream.lost_sending(OSError(number, reason)))

    async def flush(self, *, timeout: float | str | None = None) -> None:
        """Wait until the system has taken everything that was sent. Whether the peer has read it, only the peer knows.

        Raises:
            BrokenError: the connection was lost.
            ClosedError: this end was closed.
            DeadlineError: after `timeout` seconds; what is unsent will still be sent. Or the peer took nothing for
                `send_timeout`: then nothing can be sent any more.

        Cancellation: what is unsent will still be sent.
        """
        self._check_open()
        began = self.engine.now()
        try:
            await self._sender.wait_empty(deadline=self.engine.deadline(timeout))
        except DeadlineError:
            raise DeadlineError(
                f"flushing to {self.internals.peer}: {self._session.outgoing_size} bytes are unsent after "
                f"{self.engine.now() - began:.3g} s (timeout); they will still be sent"
            ) from None
        self._sender.check()

    async def send_eof(self) -> None:
        """End our direction after everything that was sent: the peer gets the end of stream, and may go on sending.
        Harmless twice.

        Raises:
            BrokenError: the connection was lost.
            ClosedError: this end was closed.
            DeadlineError: the peer did not take what was unsent within `close_timeout`.
        """
        self._check_open()
        self._session.refuse(eof_sent_error(self.internals.peer))
        deadline = self.engine.deadline(self.internals.options.close_timeout)
        await self._sender.wait_empty(deadline=deadline)
        self._sender.check()
        await self.internals.stream.send_eof(deadline=deadline)
        observer = self.internals.observer
        if observer is not None and not self._end_sent_reported:
            self._end_sent_reported = True
            observer(EndSent(self.number))

    # Receiving.

    async def receive(self, *, timeout: float | str | None = None) -> M:
        """Return the next message, as soon as it is whole.

        Raises:
            EndOfStream: the peer has ended its direction, and every message was received. Sending is still possible.
            FramingError: the bytes after the last whole message do not follow the framing. Sending is still possible.
                Of a datagram: that one alone; the next call goes on with the next.
            BrokenError: the connection was lost; every message that was whole was received before. Over a socket
                without a connection (udp, unixgram, ip): an earlier datagram was refused; the next call goes on.
            ClosedError: this end was closed.
            BusyError: another task receives here.
            DeadlineError: after `timeout` seconds; or, and then always, the peer sent nothing for `idle_timeout`.

        Cancellation: nothing is lost; the next call gets it.
        """
        if timeout is None:
            return await self._next()  # type: ignore[no-any-return]
        waiting = self._session.waiting
        if not waiting:
            await self._receiver.fill(timeout)
        return waiting.pop()  # type: ignore[no-any-return]

    async def receive_many(self, *, timeout: float | str | None = None) -> list[M]:
        """Return the decoded messages, at least one; raises as `receive` does.

        Of a flood of tiny messages it returns about five hundred at a time, so that other tasks run in between.
        """
        if timeout is None:
            messages: list[M] = await self._next_many()
            return messages
        session = self._session
        if not session.waiting:
            await self._receiver.fill(timeout)
        return session.take_all()

    async def receive_exactly(self, size: int | str, *, timeout: float | str | None = None) -> bytes:
        """Return the next `size` bytes, as soon as all of them are there. Bytes and messages mix in any order.

        The bytes begin behind the last message, or the last bytes, that were received, and the next message begins
        behind them. An error that the framing has raised concerns those bytes no more: they begin with the faulty
        frame. What the peer has sent is decoded on demand from the first such call on, and read only as far as asked.

        Args:
            size: a count of bytes, or text (`"64KiB"`); 0 returns `b""` at once. Nothing is allocated ahead of the
                bytes, but so many are held: check a number that the peer has sent.
            timeout: seconds for the whole call, or text (`"2s"`); None waits for ever.

        Raises:
            TruncatedFrameError: the peer has ended its direction after fewer bytes. They are in `partial`, and stay.
            EndOfStream: the same, with no byte left.
            BrokenError: the connection was lost before so many bytes came. Those that came stay.
            OptionError, TypeError: `size` is negative, or no integer. Also TypeError: the codec is your own, it has
                no `take_rest`, and bytes were already decoded by it. Call `peek(0)` first to have it fed on demand.
            FramingError: the bytes are gone, as an over-long frame is being skipped (`oversize`) since the call of
                `receive` before the first of these calls. `peek(0)` before that avoids it.
            StreamError: these are datagrams, or descriptors are received here; both come with whole messages only.
            ClosedError, BusyError, DeadlineError: as for `receive`.

        Cancellation: nothing is lost, and nothing was taken.
        """
        return await self._receive_bytes(Exactly(size), timeout)

    async def receive_until(
        self, mark: bytes, *, max_size: int | str = DEFAULT_MAX_SIZE, timeout: float | str | None = None
    ) -> bytes:
        r"""Return the bytes before the next `mark`; the mark is taken too, and not returned. See `receive_exactly`.

        Args:
            mark: one byte or more (`b"\r\n"`), found from the left, wherever the network has cut it.
            max_size: bytes before the mark, inclusive; also as text (`"64KiB"`). At most so many are held.
            timeout: seconds for the whole call, or text (`"2s"`); None waits for ever.

        Raises:
            FrameTooLongError: the mark does not begin within `max_size` bytes. Nothing was taken: call again with
                more, or take the bytes by `receive_exactly`.
            TruncatedFrameError: the peer has ended its direction before the mark; its bytes stay.
            OptionError, TypeError: the mark is empty, or no bytes; `max_size` is negative. Otherwise as
                `receive_exactly`.

        Cancellation: nothing is lost, and nothing was taken.
        """
        return await self._receive_bytes(Until(mark, max_size), timeout)

    async def peek(self, size: int | str, *, timeout: float | str | None = None) -> bytes:
        """Return the next `size` bytes as soon as all of them are there, and leave them to be received.

        Fewer are returned where no more will come: the peer has ended its direction, or the connection was lost.
        `peek(0)` returns `b""` at once. See `receive_exactly`.

        Raises:
            EndOfStream, BrokenError: no byte is left. Otherwise as `receive_exactly`, but no TruncatedFrameError.

        Cancellation: nothing is lost.
        """
        return await self._receive_bytes(Peek(size), timeout)

    def _receive_bytes(self, wanted: Wanted, timeout: float | str | None) -> Coroutine[Any, Any, bytes]:
        if self._fd_channel is not None:
            raise StreamError(
                f"{wanted.verb}: descriptors are passed on this connection, and belong to whole messages: use receive"
            )
        if isinstance(self.internals.stream, MessageStream):
            raise StreamError(f"{wanted.verb}: a WebSocket has no bytes beside its messages: use receive")
        return self._receiver.receive_bytes(wanted, timeout)

    # Called by the compiled core, where something is unusual.
    _send_in_python = PythonCore.send
    _send_encoded = PythonCore._send_encoded
    _send_many_in_python = PythonCore.send_many
    _iterate_in_python = PythonCore.__anext__
    _iterate_many_in_python = PythonCore._next_batch
    _receive_in_python = PythonCore._next
    _receive_many_in_python = PythonCore._next_many

    def reframe(self, framing: object) -> None:
        """Change the framing of both directions, from here: after the last message that was received, and after the
        last that was sent. Bytes behind those are decoded anew, but not datagrams, which are framed one by one.
        Works inside an iteration too.

        Args:
            framing: as for `connect`.

        Raises:
            OptionError: no such framing.
            TypeError: the codec in use is your own and has no `take_rest`.
            FramingError: the bytes are gone: an over-long frame was being skipped.
            ClosedError: this end was closed.
        """
        self._check_open()
        chosen = framing_of(framing)
        self.internals.reframe(chosen)
        if self._fd_channel is not None:
            self._session.decode_in_batches()  # descriptors are assigned to messages that were decoded

    async def start_tls(self, tls: TLS | Side | bool = True, *, server_side: bool | None = None) -> None:
        """Change to TLS (STARTTLS), within `handshake_timeout`; what was sent before leaves in plain text.

        A server takes bytes that were read and not received as TLS; a client refuses them as an injection.

        Args:
            tls: the settings; True: those of the options.
            server_side: None: the side that accepted is the server, the side that connected is the client.

        Raises:
            OptionError: a file cannot be used, or a client has no name to check. Nothing has happened.
            HandshakeError, DeadlineError, StreamError: no agreement. Except after BusyError, the connection is of no
                further use.
        """
        self._check_open()
        side, name = side_for(tls, self.internals.options, self._dialled, server_side)
        await self.internals.start_tls(side, name)

    # Descriptors.

    async def send_descriptors(self, descriptors: Sequence[int], message: M) -> None:
        """Send a message, and open descriptors with it, over a UNIX socket; the peer gets copies, yours stay yours.

        Raises:
            OptionError: none, too many (253) or closed ones; or the message has no byte to travel with.
            StreamError: this is no UNIX socket. Otherwise, and in what it waits for, as `send`.
        """
        await self._descriptors().send(descriptors, lambda: self.send(message))

    async def receive_descriptors(self, *, timeout: float | str | None = None) -> tuple[M, tuple[int, ...]]:
        """Return the next message, and the descriptors that were sent with it: yours to close.

        Call it before any can have been sent: until the first call, the system drops descriptors. After it they are
        held, up to 253, for this call alone.

        Raises and cancels as `receive`; and StreamError where this is no UNIX socket.
        """
        return await self._descriptors().receive(lambda: self.receive(timeout=timeout))

    def _descriptors(self) -> FdChannel:
        self._check_open()
        if self._fd_channel is None:
            from socketkit.connection.fd_passing import FdChannel  # loaded where descriptors are passed

            self._session.decode_in_batches()
            self._fd_channel = FdChannel(self._session, self._sender, self.internals.stream)
        return self._fd_channel

    # Closing.

    async def close(self, *, code: int | None = None, reason: str = "") -> None:
        """Close gracefully: send what is unsent, end our direction, close. Takes at most `close_timeout`. Harmless
        twice. In a child of fork(2) only the child's copy of the descriptor is closed: the parent's connection goes on.

        Args:
            code, reason: of a WebSocket's close frame (RFC 6455, 7.4): 1000, 1001, 1003, 1007 to 1014 or 3000 to 4999,
                and at most 123 bytes of UTF-8. None: 1000, or as the peer's close frame. They have no effect where our
                close frame was sent already, by `send_eof` or after a mistake of the peer.

        Raises:
            DeadlineError: the peer took nothing for that time; what was unsent is lost, and the connection was reset.
            BrokenError: something was lost that no earlier call has raised.
            OptionError: no such code, or the reason is too long; or this is no WebSocket. Nothing was closed.
        """
        if code is not None or reason:
            self.internals.choose_close(code, reason)
        if self.close_copy() or self._closed:
            return
        self._closed = True
        internals = self.internals
        try:
            await close_gracefully(
                self._session,
                internals.needed_sender,
                internals.stream,
                peer=internals.peer,
                timeout=internals.options.close_timeout,
            )
        except SocketkitError as error:
            internals.set_cause(error)
            raise
        finally:
            self._end()

    def abort(self) -> None:
        """Close at once, with a reset; what is unsent is lost. Harmless twice. In a child of fork(2) as `close`."""
        if self.close_copy():
            return
        stream = self.internals.stream
        if self._closed:
            stream.abort()
            return
        self._closed = True
        reason = closed_error(self.internals.peer)
        sender = self.internals.needed_sender
        if sender is None:
            self._session.refuse(reason)
        else:
            sender.cut(reason)
        stream.abort()
        self._end(is_aborted=True)

    def close_copy(self) -> bool:
        """In a child of fork(2), close the child's copy of the descriptor; return whether this is a child.

        Nothing is sent, and no event is reported: the connection is the parent's.
        """
        if this_process() == self._pid:
            return False
        self._closed = True
        error = closed_error(self.internals.peer)
        self._session.refuse(error, is_final=True)
        self._session.outgoing.clear()
        self._session.close(error)
        sock = self.internals.stream.socket
        if sock is not None:  # pipes and memory have no end that a shutdown could reach
            sock.close()
        return True

    def stop_receiving(self) -> None:
        """Shut down the receiving direction: what has arrived is still received, then receiving ends as if the peer
        had ended its direction."""
        self.internals.stream.stop_receiving()

    def _end(self, *, is_aborted: bool = False) -> None:
        observer = self.internals.observer
        event = None if observer is None else closed_event(self.internals, is_aborted=is_aborted)
        self._session.close(closed_error(self.internals.peer))
        if self._fd_channel is not None:
            self._fd_channel.close()
        if self.internals.on_closed is not None:
            self.internals.on_closed()
        if observer is not None and event is not None:
            observer(event)

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.internals.peer)

    async def __aenter__(self) -> Connection[M]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.close_copy():
            return
        if error is None:
            await self.close()
        elif isinstance(error, Exception):
            try:
                await self.close()
            except SocketkitError:
                pass  # the block's own error goes on
        else:
            self._sender.flush()  # cancelled, or the program ends: send what the system takes now, and wait for nothing
            self.abort() if not self._sender.is_empty else await self.engine.shielded(self.close())

    # Facts.

    @property
    def local(self) -> Address:
        """Our end's address."""
        return Address.parse(self.internals.stream.local)

    @property
    def peer(self) -> Address:
        """The other end's address. A client of a UNIX socket mostly has none: then the listener's own."""
        return Address.parse(self.internals.peer)

    @property
    def proxy(self) -> Address | None:
        """The address of the proxy that has passed this connection on to us (`accept_proxy`), else None."""
        peer = self.internals.proxy_peer
        return None if peer is None else Address.parse(peer)

    @property
    def proxy_header(self) -> ProxyHeader | None:
        """The whole header that the proxy sent, else None."""
        return self.internals.proxy_header

    @property
    def socket(self) -> socket.socket:
        """The real socket, for its options. Receiving or sending on it directly breaks the framing.

        Raises:
            AttributeError: there is none under this connection (a pair in memory).
        """
        sock = self.internals.stream.socket
        if sock is None:
            raise AttributeError(f"there is no socket under {self.internals.stream.peer}")
        return sock

    @property
    def tls(self) -> TlsFacts | None:
        """What the TLS handshake agreed on, and the peer's certificate; None without TLS."""
        return self.internals.stream.tls

    @property
    def request(self) -> Request | None:
        """The request that a WebSocket was opened with, and its subprotocol; None on all other connections."""
        stream = self.internals.stream
        return stream.request if isinstance(stream, MessageStream) else None

    @property
    def peer_credentials(self) -> Credentials | None:
        """The peer's process, user and group on a UNIX socket; None elsewhere."""
        sock = self.internals.stream.socket
        return None if sock is None or self._closed else credentials_of(sock)

    @property
    def child_status(self) -> int | None:
        """The exit status of the child at the other end (`exec:`), as a shell reports it: its status, or 128 and the
        number of the signal that killed it. None while it runs, and without a child; known when `close` returns."""
        return self.internals.stream.exit_status

    @property
    def ended_without_delimiter(self) -> bool:
        """Whether the end of stream, and no delimiter, has ended the last message; so it may have been cut.

        Known when `EndOfStream` was raised, or iteration has ended; False before, and where framings count bytes.
        """
        return self._session.ended_without_delimiter

    @property
    def is_closed(self) -> bool:
        """Whether this end was closed or aborted."""
        return self._closed

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: a task waits for a message, no part of one was read, nothing is unsent."""
        return bool(self._session.is_receiving) and self._session.is_between_messages and self._sender.is_empty

    def statistics(self) -> ConnectionStatistics:
        """Return the counters as they are now."""
        session = self._session
        undecoded = session._count()
        return ConnectionStatistics(
            received_size=session.received_size,
            sent_size=session.sent_size,
            received_count=session.received_count + undecoded,
            sent_count=session.sent_count,
            waiting_count=session.unread_count + undecoded,
            unsent_size=session.outgoing_size,
        )

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended by the peer" if self._session.has_ended else "open"
        return f"<Connection {self.number} {self.internals.stream.local} - {self.internals.peer}, {state}>"
