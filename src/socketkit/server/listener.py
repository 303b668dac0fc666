"""Listen, and accept connections one by one. `serve` gives each to a handler instead."""

from __future__ import annotations

import socket
import weakref
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Generic

from socketkit.config.address import Address
from socketkit.config.durations import parse_timeout
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.endpoint import effective_options
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import ClosedError, DeadlineError, SocketkitError
from socketkit.events import Accepted, Observer, guarded
from socketkit.framing.codec import Framing, M
from socketkit.server.acceptor import Acceptor
from socketkit.server.admission import Entry
from socketkit.server.bind import listen_at
from socketkit.server.datagram_listener import DatagramListener
from socketkit.server.handshake import is_needed, try_handshake
from socketkit.server.socket_listener import SocketListener
from socketkit.server.stream_listener import StreamListener
from socketkit.sockets.accept_errors import is_peer_error
from socketkit.streams.stream import Stream
from socketkit.tls.server_certificates import Certificates

__all__ = ["Listener"]


class Listener(Generic[M]):
    """Listening sockets for one address. Made by `listen`.

    The limits and lists of the options hold as in `serve`. What comes before the first message (a PROXY header, TLS)
    runs beside `accept`, for several connections at once: a silent peer holds up no other.

    Concurrency: one task accepts at a time.
    """

    def __init__(
        self,
        engine: Engine,
        address: Address,
        framing: Framing[M],
        options: Options,
        *,
        observer: Observer | None = None,
    ) -> None:
        observer = guarded(observer)
        self._engine = engine
        self._address = address
        self._framing = framing
        self._options = effective_options(address, options)
        self._observer = observer
        self._certificates = Certificates(observer)
        self._listeners: list[StreamListener] = []
        self._acceptor = Acceptor(engine, self._options, self._begin, observer=observer)
        self._changed = self._acceptor.changed
        self._handshakes = Group(engine)
        self._under_way: set[Connection[M]] = set()  # in their handshakes
        self._ready: deque[Connection[M]] = deque()
        self._failures: deque[Exception] = deque()  # unexpected errors of handshakes
        self._lost: deque[Entry] = deque()  # of connections that were garbage-collected without being closed

    async def open(self) -> None:
        """Listen.

        Raises:
            OptionError: a certificate cannot be used.
            ResolveError, ListenError: the address cannot be listened at.
        """
        self._certificates.prepare(self._options)
        self._listeners = await listen_at(self._engine, self._address, self._options, observer=self._observer)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the port that the system has chosen."""
        return tuple(listener.address for listener in self._listeners)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The real listening sockets, for their options, in the order of `addresses`; none for standard input and
        output. Accepting from them directly bypasses the limits."""
        return tuple(
            listener.socket for listener in self._listeners if isinstance(listener, (SocketListener, DatagramListener))
        )

    async def accept(self, *, timeout: float | str | None = None) -> Connection[M]:
        """Return the next connection whose handshake (a PROXY header, TLS) is done; without one, the next connection.

        Refused peers, and those whose handshake fails, are reported to the observer and not returned. With
        `overload=wait` it waits while `max_connections` accepted connections are open.

        Raises:
            DeadlineError: no connection within `timeout` seconds.
            ClosedError: this listener was closed, or its only connection was accepted (standard input and output, say).
            OSError: a resource shortage (EMFILE, ...): the connection is not lost, and may be accepted later.

        Cancellation: no connection is lost: it stays in the backlog, or the next call returns it.
        """
        deadline = self._engine.deadline(timeout)
        try:
            while not self._ready:
                if self._failures:
                    raise self._failures.popleft()
                await self._accept_one(deadline)
        except DeadlineError:
            raise DeadlineError(
                f"accepting at {self._where()}: no connection within {parse_timeout(timeout):g} s"
            ) from None
        return self._ready.popleft()

    def pending(self) -> int:
        """Return how many connections wait to be accepted: on Linux, over TCP, exactly; else 1 means at least one."""
        return sum(listener.pending() for listener in self._listeners) + len(self._ready)

    def close(self) -> None:
        """Stop listening. Connections that `accept` returned stay open, the others are reset. Harmless twice."""
        for listener in self._listeners:
            listener.close()
            self._acceptor.abort_deferred(listener)
        self._handshakes.cancel()
        for connection in [*self._under_way, *self._ready]:
            connection.internals.set_cause(ClosedError(f"{connection.peer} was reset: the listener was closed"))
            connection.abort()
        self._ready.clear()
        self._changed.notify()

    # Accepting

    async def _accept_one(self, deadline: float | None) -> None:
        while self._lost:
            self._acceptor.leave(self._lost.popleft())
        listener = await self._wait_any(deadline)
        if listener is None:
            return
        try:
            self._acceptor.accept_one(listener, self._options, self._framing)
        except BlockingIOError:
            pass  # another process was faster
        except OSError as error:
            if listener.is_closed:
                raise self._closed_error() from None
            if not is_peer_error(error):
                raise

    async def _wait_any(self, deadline: float | None) -> StreamListener | None:
        """Wait until a listener has a connection that the limits admit, or a handshake is done (None)."""
        listeners = self._listeners
        if not listeners or listeners[0].is_closed:
            raise self._closed_error()
        if all(listener.is_exhausted for listener in listeners):
            if not self._under_way:
                raise ClosedError(f"the listener at {self._address} serves one connection, which was accepted")
            await self._changed.wait_until(self._is_woken, deadline=deadline)
            return None
        if len(listeners) > 1 or self._under_way:
            return await self._wait_several(deadline)
        await self._wait_incoming(listeners[0], deadline)
        return listeners[0]

    async def _wait_incoming(self, listener: StreamListener, deadline: float | None = None) -> None:
        await self._acceptor.wait_admissible(listener, deadline=deadline, unless=self._is_woken)
        if not listener.is_closed and not self._is_woken() and not self._acceptor.has_deferred(listener):
            await listener.wait_incoming(deadline=deadline)

    async def _wait_several(self, deadline: float | None) -> StreamListener | None:
        found: list[StreamListener] = []
        failures: list[Exception] = []

        async def watch(listener: StreamListener) -> None:
            try:
                await self._wait_incoming(listener)
                found.append(listener)
            except Exception as error:  # raised by `accept`, which else would wait for ever
                failures.append(error)
            self._changed.notify()

        async with Group(self._engine) as group:
            for listener in self._listeners:
                if not listener.is_exhausted:
                    group.start(watch(listener))
            try:
                await self._changed.wait_until(lambda: bool(found or failures) or self._is_woken(), deadline=deadline)
            finally:
                group.cancel()
        if self._listeners[0].is_closed:
            raise self._closed_error()
        if failures:
            raise failures[0]
        return found[0] if found and not self._is_woken() else None

    def _is_woken(self) -> bool:
        """Whether `accept` has something else to do than to wait for a listener."""
        if self._ready or self._failures or self._lost or self._listeners[0].is_closed:
            return True
        return not self._under_way and all(listener.is_exhausted for listener in self._listeners)

    def _begin(self, stream: Stream, options: Options, framing: Framing, entry: Entry) -> bool:
        """Begin what an admitted connection does before `accept` returns it."""
        connection = Connection(stream, framing, options=options, observer=self._observer)
        if is_needed(options):
            self._under_way.add(connection)
            is_begun = False
            try:
                is_begun = self._handshakes.start(self._shake_hands(connection, entry))
            finally:
                if not is_begun:
                    self._under_way.discard(connection)
            return is_begun
        self._count(connection, entry)
        self._report_accepted(connection)
        self._ready.append(connection)
        return True

    async def _shake_hands(self, connection: Connection, entry: Entry) -> None:
        self._count(connection, entry)
        options = self._options
        try:
            self._report_accepted(connection)
            side = self._certificates.side(options)
            is_done = await try_handshake(
                connection, options, side, lambda host: self._acceptor.admit_client(entry, host, options)
            )
            if is_done and not connection.is_closed:
                self._ready.append(connection)
            else:
                with suppress(SocketkitError):
                    await connection.close()
        except BaseException as error:
            connection.internals.set_cause(error)
            connection.abort()
            if not isinstance(error, Exception):
                raise
            self._failures.append(error)
        finally:
            self._under_way.discard(connection)
            self._changed.notify()

    def _count(self, connection: Connection, entry: Entry) -> None:
        """Count the connection until it is closed, or forgotten: it may not be closed by its owner."""
        forgotten = weakref.finalize(connection, self._lost.append, entry)
        forgotten.atexit = False

        def leave() -> None:
            if forgotten.detach() is not None:
                self._acceptor.leave(entry)

        connection.internals.on_closed = leave

    def _report_accepted(self, connection: Connection) -> None:
        if self._observer is not None:
            self._observer(Accepted(connection.number, connection.internals.stream.local, connection.internals.peer))

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"the listener at {self._address} was closed")

    def _where(self) -> str:
        return ", ".join(map(str, self.addresses)) or str(self._address)

    async def __aenter__(self) -> Listener[M]:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Listener {self._where()}>"
