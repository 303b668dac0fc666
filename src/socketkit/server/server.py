"""Serve: listen at addresses, accept connections, and run a handler for each.

A handler that fails ends its own connection and nothing else. Shutdown: close the listeners, set `server_closing`, wait
up to `grace` for the handlers, then abort what is left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol

from socketkit.config.address import Address
from socketkit.config.durations import LONGEST, parse_duration, parse_timeout
from socketkit.config.options import Options
from socketkit.config.time_limits import CANCEL_TIMEOUT, IDLE_TIME
from socketkit.connection.connection import Connection
from socketkit.endpoint import effective_options
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FramingError,
    HandshakeError,
    OptionError,
    SocketkitError,
)
from socketkit.events import Accepted, AcceptFailed, HandlerFailed, Observer, guarded
from socketkit.framing.codec import Framing
from socketkit.server.acceptor import Acceptor
from socketkit.server.admission import Entry
from socketkit.server.handshake import try_handshake
from socketkit.server.listener_set import ListenerSet
from socketkit.server.signal_stop import SignalStop, wait_signal
from socketkit.server.signals import reload_signal
from socketkit.server.statistics import ServerStatistics
from socketkit.server.stream_listener import StreamListener
from socketkit.streams.stream import MessageStream, Stream
from socketkit.tls.server_certificates import Certificates

__all__ = ["Handler", "Server", "ServerStatistics", "Takeover"]

Handler = Callable[[Connection], Awaitable[Any]]

_PEER_ERRORS = (EndOfStream, BrokenError, ClosedError, FramingError, DeadlineError)
"""What the peer or the network caused: such an error ends a handler without being its failure. Where neither
direction of the handler's connection has ended it is an error of another connection (an upstream was lost, say), and
this one is reset if something was sent. A `DeadlineError` does not say which connection it is about."""


class Takeover(Protocol):
    """Passes the listening sockets from one process to the next: see `server.takeover`."""

    async def open(self, listeners: ListenerSet, close: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Open the listeners, with a predecessor's sockets where there are any.

        Args:
            listeners: those of the server.
            close: closes the server: `close(grace=0)`.
        """

    def suspend(self) -> None:
        """No takeover is possible any more."""

    async def close(self) -> None:
        """Close what a successor would connect to."""


class Server:
    """Listening sockets, and the connections that were accepted there. Made by `serve`.

    Concurrency: every verb is called in the engine's own thread (with the blocking engine: in any).
    """

    def __init__(
        self,
        handler: Handler,
        addresses: Sequence[tuple[Address, Options, Framing]],
        *,
        engine: Engine,
        grace: float,
        observer: Observer | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        observer = guarded(observer)
        self.engine = engine
        self._handler = handler
        endpoints = [(address, effective_options(address, options), framing) for address, options, framing in addresses]
        self._certificates = Certificates(observer)
        self._grace = grace
        self._observer = observer
        self._takeover = takeover
        self._group = Group(engine)
        self._acceptor = Acceptor(engine, addresses[0][1], self._begin, observer=observer)
        self._changed = self._acceptor.changed
        self._conversations = Group(engine, changed=self._changed)  # its members are the connections
        self._all_options = [options for _, options, _ in endpoints]
        self._listeners = ListenerSet(
            engine,
            endpoints,
            opened=lambda *entry: self._group.start(self._accept_at(*entry)),
            closed=self._changed.notify,
            observer=observer,
        )
        self._failure: BaseException | None = None
        self._deadline: float | None = None  # of the stop that is under way
        self._is_closed = False
        self._has_begun = False
        self._is_lame_duck = False
        self.is_stopped_by_signals = False  # set by what handles them
        self._lame_duck = addresses[0][1].lame_duck
        self._signal_stops: list[SignalStop] = []
        self._pid = os.getpid()  # sockets and files belong to the process that opened them
        self._accepted_count = self._handshake_failed_count = self._failed_count = 0
        self._received_size = self._sent_size = 0  # of the connections that have left
        # Other threads ask for the sums. A signal handler may, in the middle of this.
        self._counting = threading.RLock()

    # Listeners

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the ports that the system has chosen; they stay while the server is suspended."""
        return self._listeners.addresses

    async def open(self) -> None:
        """Listen at every address, and accept connections.

        Raises:
            OptionError: a certificate cannot be used.
            ResolveError, ListenError: an address cannot be listened at; none is then.
        """
        self._pid = os.getpid()
        for options in self._all_options:
            self._certificates.prepare(options)
        takeover, self._has_begun = None if self._has_begun else self._takeover, True
        if takeover is None:
            await self._listeners.open()
        else:
            await takeover.open(self._listeners, self.close)

    def suspend(self) -> None:
        """Close the listeners: new connections are refused, accepted ones stay. Harmless twice."""
        self._listeners.suspend()

    async def resume(self) -> None:
        """Listen again, at the same addresses and ports. Harmless when it listens.

        Raises:
            ListenError: another program listens there by now.
            ClosedError: the server was closed.
        """
        if self._deadline is not None or self._is_closed:
            raise ClosedError("the server was closed: make a new one")
        if not self._listeners:
            await self.open()

    # Certificates

    @property
    def pins(self) -> tuple[str, ...]:
        """What clients pin (`pin=`) to trust our keys without an authority; empty without TLS."""
        return self._certificates.pins

    def reload_tls(self) -> None:
        """Read the certificates again: new connections use the new ones, open connections go on.

        Raises:
            OptionError: a file cannot be used; the old ones stay. An observer receives `CertificatesReloaded` in both
                cases.
        """
        self._certificates.reload()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Return a context in which SIGHUP calls `reload_tls`; a server without TLS leaves that signal as it was."""
        if not self._certificates.is_needed:
            yield
            return
        with reload_signal(self.engine, self._reload_safely):
            yield

    def _reload_safely(self) -> None:
        """Reload for a signal: whatever fails, the server goes on with what it has."""
        try:
            self.reload_tls()
        except OptionError:
            pass  # reported as `CertificatesReloaded`
        except Exception as error:
            import logging

            logging.getLogger("socketkit").error("the certificates were not read again", exc_info=error)

    # Connections

    async def _accept_at(self, listener: StreamListener, options: Options, framing: Framing) -> None:
        try:
            await self._acceptor.run(listener, options, framing)
            if listener.is_exhausted and not listener.is_closed:
                self._listeners.exhausted_count += 1
                self._changed.notify()
        except Exception as error:
            self._failure = error
            self._report_listener(listener, error)
            self._changed.notify()

    def _report_listener(self, listener: StreamListener, error: Exception) -> None:
        """Report that accepting has failed for good: to the observer, else to the log."""
        if self._observer is not None:
            self._observer(AcceptFailed(str(listener.address), error))
            return
        import logging

        logging.getLogger("socketkit").error("accepting at %s has failed", listener.address, exc_info=error)

    def _begin(self, stream: Stream, options: Options, framing: Framing, entry: Entry) -> bool:
        """Begin the conversation of an admitted connection."""
        connection = Connection(stream, framing, options=options, observer=self._observer)
        self._accepted_count += 1
        is_begun = False
        try:
            is_begun = self._conversations.start_member(connection, self._serve(connection, options, entry))
        finally:
            if not is_begun:
                self._accepted_count -= 1
        return is_begun

    async def _serve(self, connection: Connection, options: Options, entry: Entry) -> None:
        """One connection from its first to its last moment, in one small frame: an idle connection holds it. What fails
        in here does not reach other connections."""
        try:
            try:
                self._report_accepted(connection)
                try:
                    if await self._is_ready(connection, options, entry):
                        await self._handler(connection)
                except BaseException as error:
                    self._end_failed(connection, error)
                if self._deadline is not None:
                    _say_close(connection, 1001, "the server stops")
                await connection.close()
            except SocketkitError:
                pass  # what was lost in closing is in the end event
            except BaseException as error:
                connection.internals.set_cause(error)
                raise
            finally:
                self._leave(connection, entry)
                connection.internals.forget_errors()
        except BaseException as error:
            if not self._end(connection, error):
                raise
        else:
            self._end(connection)

    def _report_accepted(self, connection: Connection) -> None:
        if self._observer is not None:
            internals = connection.internals
            self._observer(Accepted(connection.number, internals.stream.local, internals.peer))

    def _end_failed(self, connection: Connection, error: BaseException) -> None:
        """End a connection whose handler has raised this: by a reset, and without close_notify, where it has failed, as
        a cut answer must not look whole."""
        if self._is_failure(connection, error) and not _say_close(connection, 1011, "the server has failed"):
            connection.abort()

    async def _is_ready(self, connection: Connection, options: Options, entry: Entry) -> bool:
        """Whether what comes before the first message is done; after a failure no handler runs."""
        side = self._certificates.side(options)
        if side is None and options.accept_proxy is None and options.websocket is False:
            return True

        def admit_client(host: str) -> str | None:
            return self._acceptor.admit_client(entry, host, options)

        is_done = await try_handshake(connection, options, side, admit_client)
        if not is_done and connection.internals.cause is not None:
            self._handshake_failed_count += 1
        return is_done

    def _is_failure(self, connection: Connection, error: BaseException) -> bool:
        """Whether what a handler has raised is its own failure, which is reported, and not the peer's doing. Raises it
        where it ends more than this connection."""
        if (peer_error := _peer_error_in(error)) is not None:
            internals = connection.internals
            is_own = isinstance(peer_error, DeadlineError) or internals.has_ended or internals.stream.is_connectionless
            internals.set_cause(peer_error)
            if not is_own and connection.statistics().sent_count:
                connection.abort()  # its answer is cut, because another connection was lost
            return False
        if isinstance(error, HandshakeError) and error is connection.internals.cause:
            self._handshake_failed_count += 1  # its own STARTTLS, and not one with another server
            return False
        if self._ends_more(error):
            raise error if self.engine.blocks else _exit_in(error) or error
        connection.internals.set_cause(error)
        self._report(connection, error)
        return True

    def _leave(self, connection: Connection, entry: Entry) -> None:
        try:
            connection.abort()  # closed already, unless this task was cancelled
        finally:
            self._acceptor.leave(entry)

    def _end(self, connection: Connection, error: BaseException | None = None) -> bool:
        """Take a connection from the members and its bytes into the sums, as one; otherwise as `Group.end`."""
        if isinstance(error, BaseExceptionGroup):
            error = error.split(self.engine.cancelled)[1]  # None: nothing but our cancelling
        if isinstance(error, (Exception, BaseExceptionGroup)):  # a member's failure would cancel all others
            self._report(connection, error)
            error = None
        session = connection.internals.session
        with self._counting:
            self._received_size += session.received_size
            self._sent_size += session.sent_size
            return self._conversations.end(connection, error)

    def _ends_more(self, error: BaseException) -> bool:
        """Whether more than one connection ends by it: our cancelling, the engine's end, the program's (but in a
        thread). What another library raises to cancel, on an engine that is not its own, is a failure."""
        ends = (self.engine.cancelled, GeneratorExit, *(() if self.engine.blocks else (KeyboardInterrupt, SystemExit)))
        return isinstance(error, ends) or (isinstance(error, BaseExceptionGroup) and error.subgroup(ends) is not None)

    def _report(self, connection: Connection, error: BaseException) -> None:
        """Report a failed handler: to the observer, else to the log."""
        self._failed_count += 1
        if self._observer is not None:
            self._observer(HandlerFailed(connection.number, error))
            return
        import logging

        logging.getLogger("socketkit").error("the handler of %r failed", connection, exc_info=error)

    # Shutdown

    async def wait_idle(self, *, timeout: float | str | None = None) -> None:
        """Wait until there is no connection.

        Raises:
            DeadlineError: after `timeout` seconds.
        """
        await self._changed.wait_until(lambda: not self._conversations, deadline=self.engine.deadline(timeout))

    async def wait_closed(self) -> None:
        """Wait until the server was closed, and its shutdown is done. Where every listener stands for one stream only
        (standard input and output, say), the end of these connections closes it.

        Raises:
            OSError: it could not go on accepting (a listening socket was shut down by another process, say).
        """
        await self._changed.wait_until(lambda: self._is_closed or self._failure is not None or self._is_over())
        await self.raise_failure()
        if not self._is_closed:
            await self.close()

    async def raise_failure(self) -> None:
        """Close the server and raise why it could not go on accepting; nothing where it could."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            await self.close(grace=0)
            raise failure

    async def wait_ending(self) -> None:
        """Wait until its shutdown has begun or is due: it was closed, has failed, or no connection can come."""
        await self._changed.wait_until(lambda: self.is_closing or self._failure is not None or self._is_over())

    async def wait_signal(self, *, lame_duck: object = None, others: Sequence[Server] = ()) -> int | None:
        """Wait until SIGINT or SIGTERM tells the program to stop; leaving the block then drains within the grace.

        At the signal `is_ready` becomes False and the service manager is sent `STOPPING=1` (`READY=1` when the wait
        begins). New connections are accepted for the lame-duck time, in which load balancers find the readiness down
        and connect elsewhere, then refused; then this returns. SIGHUP reads the certificates again. The handlers stay
        until the servers are closed: a second signal ends the lame-duck time and closes the servers without a grace.

        Args:
            lame_duck: seconds, or text (`"5s"`); None: as the option says, 0 without one.
            others: further servers of this engine that stop together with this one.

        Returns:
            The signal's number; None where one of the servers was closed, or has served its only connection, before.

        Raises:
            OptionError: this is not the main thread; a server of another engine; no time.
            OSError: a server cannot go on accepting; it was closed.

        Cancellation: before a signal, the earlier handlers are set again.
        """
        seconds = self._lame_duck if lame_duck is None else parse_duration(lame_duck, name="lame_duck")
        if any(other.engine is not self.engine for other in others):
            raise OptionError("others: they must be servers of the same engine")
        for stop in self._signal_stops:
            if stop.numbers:
                return stop.numbers[0]
        return await wait_signal(self.engine, (self, *others), seconds)

    def release_signals_by(self, stop: SignalStop) -> None:
        """Have `stop` release the signal handlers when the server is closed."""
        self._signal_stops.append(stop)

    def release_signals(self) -> None:
        """In the main thread: release the signal handlers of servers that are closed."""
        for stop in self._signal_stops:
            stop.release_if_closed()

    @property
    def is_ready(self) -> bool:
        """Whether new clients should come: it listens, and no signal has told it to stop. For health checks."""
        return bool(self._listeners) and not self._is_lame_duck

    @property
    def lame_duck(self) -> float:
        """Seconds of the option `lame_duck`."""
        return self._lame_duck

    def begin_lame_duck(self) -> None:
        """Make `is_ready` False; accept all the same."""
        self._is_lame_duck = True

    def stop_accepting(self) -> None:
        """Accept what is in the backlog, then close the listeners; harmless once a shutdown has begun."""
        if self._deadline is None:
            self._accept_pending()
            self._listeners.close()

    def _accept_pending(self) -> None:
        for listener, options, framing in self._listeners:
            self._acceptor.accept_pending(listener, options, framing)

    def _is_over(self) -> bool:
        """Whether there is no connection, and no further one can come."""
        return 0 < len(self._listeners) == self._listeners.exhausted_count and not self._conversations

    async def close(self, *, grace: float | str | None = None) -> None:
        """Shut down: close the listeners, set `connection.server_closing`, wait for the handlers, abort what is left.

        A connection that stands between messages, and from which nothing has come for a second, ends as if its peer
        had ended it. What is left after the grace is aborted, and its handler cancelled. Returns within grace plus half
        a second, whatever the handlers do. A second call with a shorter grace shortens the first. In a child of fork(2)
        only the child's copies of the listening descriptors are closed.

        Args:
            grace: seconds; None: as the option says.
        """
        if self._takeover is not None:
            self._takeover.suspend()
        try:
            await self._shut_down(grace)
        finally:
            if self._takeover is not None:
                await self._takeover.close()

    async def _shut_down(self, grace: float | str | None) -> None:
        if os.getpid() != self._pid:
            self._listeners.close_copies()
            self._is_closed = True
            return
        if grace is None:
            grace = self._grace
        elif (grace := parse_timeout(grace, name="grace")) is None:
            grace = LONGEST  # infinity
        deadline = self.engine.now() + grace
        if self._deadline is not None:
            self._deadline = min(self._deadline, deadline)
            self._changed.notify()
            await self._changed.wait_until(lambda: self._is_closed)
            self.release_signals()
            return
        self._deadline = deadline
        if grace > 0:
            self._accept_pending()
        self._listeners.close()
        try:
            await self._drain(min(IDLE_TIME, grace / 4))
        finally:
            for connection in self._conversations.members:
                _say_close(connection, 1001, "the server stops")
                connection.internals.set_cause(
                    ClosedError(f"{connection.internals.peer} was cut off: the server stops (grace)")
                )
                connection.abort()
            self._group.cancel()
            self._conversations.cancel()
            deadline = self.engine.now() + CANCEL_TIMEOUT
            try:
                for group in (self._conversations, self._group):
                    with suppress(DeadlineError):
                        await self.engine.shielded(group.join(deadline=deadline))
            finally:
                for connection in self._conversations.members:
                    self._report(connection, _not_cancelled(connection))
                self._is_closed = True
                self._changed.notify()
                self.release_signals()

    async def _drain(self, idle_time: float) -> None:
        """Wait for the handlers, and end the connections that are idle."""
        while self._conversations and not self._is_late():
            sizes = {connection: connection.statistics().received_size for connection in self._conversations.members}
            for connection in sizes:
                connection.server_closing = True
            with suppress(DeadlineError):
                await self._changed.wait_until(
                    lambda: not self._conversations or self._is_late(),
                    deadline=min(self.engine.now() + idle_time, self._deadline or 0.0),
                )
            for connection in self._conversations.members:
                if connection.is_idle and connection.statistics().received_size == sizes.get(connection):
                    connection.stop_receiving()

    def _is_late(self) -> bool:
        return self._deadline is not None and self.engine.now() >= self._deadline

    @property
    def is_closing(self) -> bool:
        """Whether its shutdown has begun."""
        return self._deadline is not None

    @property
    def is_closed(self) -> bool:
        """Whether its shutdown is done."""
        return self._is_closed

    async def __aenter__(self) -> Server:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(grace=None if error is None or isinstance(error, Exception) else 0)

    def statistics(self) -> ServerStatistics:
        """The counts now."""
        with self._counting:
            running = [connection.statistics() for connection in self._conversations.members]
            received_size = self._received_size + sum(one.received_size for one in running)
            sent_size = self._sent_size + sum(one.sent_size for one in running)
        return ServerStatistics(
            active_count=len(running),
            accepted_count=self._accepted_count,
            refused_count=self._acceptor.refused_count,
            handshake_failed_count=self._handshake_failed_count,
            failed_count=self._failed_count,
            received_size=received_size,
            sent_size=sent_size,
            is_paused=self._acceptor.is_paused,
            dropped_count=self._listeners.dropped_count,
            kernel_dropped_count=self._listeners.kernel_dropped_count,
        )

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._is_closed
            else "closing"
            if self._deadline is not None
            else "open"
            if self._listeners
            else "suspended"
        )
        return f"<Server {' '.join(map(str, self.addresses))}, {state}, {len(self._conversations)} conversations>"


def _say_close(connection: Connection, code: int, reason: str) -> bool:
    """Have the close frame of a WebSocket say this, unless it is being closed already; False where it is none."""
    stream = connection.internals.stream
    if not isinstance(stream, MessageStream):
        return False
    if not connection.is_closed:
        stream.set_close(code, reason)
    return True


def _peer_error_in(error: BaseException) -> BaseException | None:
    """The error of the peer or the network that this is, or of which a group consists (a handler may use a TaskGroup);
    None where it is, or holds, anything else."""
    if isinstance(error, _PEER_ERRORS):
        return error
    if not isinstance(error, BaseExceptionGroup) or error.split(_PEER_ERRORS)[1] is not None:
        return None
    return _peer_error_in(error.exceptions[0])


def _exit_in(error: BaseException) -> BaseException | None:
    """What in a group of exceptions ends the program."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_exit_in, error.exceptions)), None)
    return error if isinstance(error, (KeyboardInterrupt, SystemExit)) else None


def _not_cancelled(connection: Connection) -> DeadlineError:
    return DeadlineError(
        f"the handler of {connection.internals.peer} goes on, {CANCEL_TIMEOUT:g} s after it was cancelled: it is left "
        "behind; let cancellations through"
    )
