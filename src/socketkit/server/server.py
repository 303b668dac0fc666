"""Serve: listen at addresses, let callers in, and give each conversation to a handler.

A handler that fails ends its own conversation and nothing else. To stop is a life of its own: the doors close first,
then the guests are told, then waited for, and at the deadline they are shown out.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.endpoint import settled
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
    StreamError,
)
from socketkit.events import Accepted, HandlerFailed, Observer
from socketkit.framing.codec import Framing
from socketkit.server.acceptor import Acceptor
from socketkit.server.bind import listen_at, listen_over
from socketkit.server.handshake import welcome
from socketkit.server.signals import caught
from socketkit.server.socket_listener import SocketListener
from socketkit.server.stream_listener import StreamListener
from socketkit.streams.stream import Stream
from socketkit.tls.server_certificates import Certificates
from socketkit.values import Value

__all__ = ["Handler", "Server", "ServerStatistics"]

Handler = Callable[[Connection], Awaitable[Any]]

QUIET = 1.0
"""Seconds without a byte after which a conversation that stands between messages counts as idle, when we stop."""

STUCK = 0.25
"""Seconds that cancelled handlers have to come to their end, after the grace."""

CLEANUP_TIMEOUT = 0.1
"""Seconds more that they have before an engine of ours ends without them."""

_CONVERSATION = (EndOfStream, BrokenError, ClosedError, FramingError, DeadlineError)
"""What the peer or the network did: it ends a handler without the handler being wrong."""


class ServerStatistics(Value):
    """How a server stands.

    Attributes:
        active_count: conversations now.
        accepted_count: conversations so far.
        refused_count: callers that were reset at the door, by a limit or a list.
        unwelcome_count: callers who were let in, and failed before the first message (a PROXY header, TLS).
        failed_count: handlers that raised what was neither the peer's nor the network's doing.
        received_size, sent_size: bytes of all conversations so far.
        is_paused: whether a shortage of the machine keeps callers out now.
    """

    active_count: int
    accepted_count: int
    refused_count: int
    unwelcome_count: int
    failed_count: int
    received_size: int
    sent_size: int
    is_paused: bool


class Server:
    """Listening sockets and the conversations that came through them. Made by `serve`.

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
    ) -> None:
        self.engine = engine
        self._handler = handler
        self._places = [(address, settled(address, options), framing) for address, options, framing in addresses]
        self._certificates = Certificates(observer)
        self._grace = grace
        self._observer = observer
        self._doors: list[tuple[StreamListener, Options, Framing]] = []
        self._names: dict[StreamListener, str] = {}  # what each door was opened for
        self._suspended: dict[Address, StreamListener] = {}
        self._addresses: tuple[Address, ...] = ()
        self._group = Group(engine)
        self._connections: set[Connection] = set()
        self._spent_count = 0  # of the doors through which nobody more will come
        self._entrance = Acceptor(engine, addresses[0][1], self._begin, observer=observer)
        self._changed = self._entrance.changed
        self._failure: BaseException | None = None
        self._deadline: float | None = None  # of the stop that is under way
        self._is_closed = False
        self._accepted_count = self._unwelcome_count = self._failed_count = self._received_size = self._sent_size = 0

    # --- the doors ---

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the ports that the system has chosen; they stay while the server is suspended."""
        return self._addresses

    async def open(self, given: dict[str, list[int]] | None = None) -> None:
        """Listen at every address, and let callers in.

        Args:
            given: descriptors of listening sockets, by the address (as text, without options) that they were opened
                for; those that no address of ours wants are closed.

        Raises:
            OptionError: a certificate cannot be used.
            ResolveError, ListenError: an address cannot be listened at; none is then.
        """
        given = dict(given or {})
        for _, options, _ in self._places:
            self._certificates.prepare(options)
        try:
            for address, options, framing in self._places:
                name = str(address.without_options())
                suspended = self._suspended.pop(address, None)
                if suspended is not None and suspended.reopen():
                    doors = [suspended]
                elif name in given:
                    doors = listen_over(self.engine, given.pop(name), address, options, observer=self._observer)
                else:
                    doors = await listen_at(self.engine, address, options, observer=self._observer)
                for door in doors:
                    self._doors.append((door, options, framing))
                    self._names[door] = name
        except BaseException:
            self._close_doors()
            raise
        finally:
            for descriptor in (one for several in given.values() for one in several):
                os.close(descriptor)
        self._addresses = tuple(door.address for door, _, _ in self._doors)
        for door, options, framing in self._doors:
            self._group.start(self._watch(door, options, framing))

    def suspend(self) -> None:
        """Close the doors: new callers are refused, the guests stay. Harmless twice."""
        self._places = [(door.place, options, framing) for door, options, framing in self._doors] or self._places
        self._suspended.update({door.place: door for door, _, _ in self._doors})
        self._close_doors()

    async def resume(self) -> None:
        """Open the doors again, at the same addresses and ports. Harmless when they are open.

        Raises:
            ListenError: somebody else listens there by now.
            ClosedError: the server was closed.
        """
        if self._deadline is not None or self._is_closed:
            raise ClosedError("the server was closed: make a new one")
        if not self._doors:
            await self.open()

    def listening_sockets(self) -> tuple[list[str], list[int]]:
        """The descriptors of all listening sockets, each with the name that `open` takes it by."""
        doors = [door for door, _, _ in self._doors if isinstance(door, SocketListener)]
        return [self._names[door] for door in doors], [door.socket.fileno() for door in doors]

    def give_away(self) -> None:
        """Close the doors, but not for others who have their sockets too: callers go to them from now on."""
        for door, _, _ in self._doors:
            if isinstance(door, SocketListener):
                door.give_away()
        self._close_doors()

    # --- certificates ---

    @property
    def pins(self) -> tuple[str, ...]:
        """What clients pin (`pin=`) to trust our keys without an authority; empty without TLS."""
        return self._certificates.pins

    def reload_tls(self) -> None:
        """Read the certificates anew: callers from now on are shown the new ones, the conversations go on.

        Raises:
            OptionError: a file cannot be used; the old ones stay. An observer is told either way.
        """
        self._certificates.reload()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While the block runs, SIGHUP does `reload_tls`; a server without TLS leaves that signal as it was."""

        def reload(number: int) -> None:
            with suppress(OptionError):  # the observer was told
                self.reload_tls()

        if not self._certificates.is_needed or not hasattr(signal, "SIGHUP"):
            yield
            return
        with caught(self.engine, reload, signals=(signal.SIGHUP,)):
            yield

    def _close_doors(self) -> None:
        doors, self._doors, self._spent_count = self._doors, [], 0
        self._names.clear()
        for door, _, _ in doors:
            door.close()
        self._changed.notify()

    # --- letting in ---

    async def _watch(self, door: StreamListener, options: Options, framing: Framing) -> None:
        try:
            await self._entrance.watch(door, options, framing)
            if door.is_exhausted and not door.is_closed:
                self._spent_count += 1
                self._changed.notify()
        except Exception as error:
            self._failure = error
            self._changed.notify()

    def _begin(self, stream: Stream, options: Options, framing: Framing, key: str) -> bool:
        """Begin the conversation of one who was let in."""
        connection = Connection(stream, framing, options=options, observer=self._observer)
        self._accepted_count += 1
        self._connections.add(connection)
        is_in = False
        try:
            is_in = self._group.start(self._live(connection, options, key))
        finally:
            if not is_in:
                self._accepted_count -= 1
                self._connections.discard(connection)
        return is_in

    # --- one conversation ---

    async def _live(self, connection: Connection, options: Options, key: str) -> None:
        """From one end to the other, in one frame: an idle connection holds it. Whatever happens inside, the others do
        not feel it."""
        places = [key]
        try:
            if self._observer is not None:
                self._observer(Accepted(connection.number, str(connection.local), str(connection.peer)))
            try:
                if await self._is_welcome(connection, options, places):
                    await self._handler(connection)
            except BaseException as error:
                self._judge(connection, error)
            await connection.close()
        except SocketkitError:
            pass  # what was lost in closing is in the end event
        except Exception as error:  # of an observer
            connection.set_cause(error)
            self._report(connection, error)
        except BaseException as error:
            connection.set_cause(error)
            raise
        finally:
            self._leave(connection, places[-1])

    def _judge(self, connection: Connection, error: BaseException) -> None:
        """What a handler has let out; what ends more than this conversation goes on."""
        is_conversation = isinstance(error, _CONVERSATION)
        if not is_conversation and self._ends_more(error):
            raise error
        connection.set_cause(error)
        if not is_conversation:
            self._report(connection, error)

    def _leave(self, connection: Connection, key: str) -> None:
        try:
            connection.abort()  # closed already, unless we were cancelled
        except Exception as error:  # of an observer
            self._report(connection, error)
        finally:
            statistics = connection.statistics()
            self._received_size += statistics.received_size
            self._sent_size += statistics.sent_size
            self._connections.discard(connection)
            self._entrance.leave(key)

    def _ends_more(self, error: BaseException) -> bool:
        """Whether more than one conversation is to end by it: our cancelling, the engine's end, the program's (which a
        thread has no part in). What another library raises to cancel, on an engine that is not its own, is a failure
        like any other."""
        ends = (self.engine.cancelled, GeneratorExit, *(() if self.engine.blocks else (KeyboardInterrupt, SystemExit)))
        return isinstance(error, ends) or (isinstance(error, BaseExceptionGroup) and error.subgroup(ends) is not None)

    async def _is_welcome(self, connection: Connection, options: Options, places: list[str]) -> bool:
        """What comes before the first message; a caller who fails in it is reset, and no handler hears of him."""
        try:
            await welcome(connection, options)
            if connection.proxy is not None:  # judge once more, by the address for which the proxy speaks
                key, reason = self._entrance.admit(connection.stream.peer, options)
                if reason is not None:
                    raise HandshakeError(f"{connection.peer} may not come in: {reason}", address=str(connection.peer))
                places.append(key)
            side = self._certificates.side(options)
            if side is not None:
                await connection.start_tls(side, server_side=True)
        except (HandshakeError, StreamError, DeadlineError) as error:
            self._unwelcome_count += 1
            connection.set_cause(error)
            if options.tls is False or isinstance(error, DeadlineError):
                connection.abort()  # else the alert that says why is on its way, and a reset would take it back
            return False
        return True

    def _report(self, connection: Connection, error: BaseException) -> None:
        """A bug in a handler is never silent: without an observer it goes to the log."""
        self._failed_count += 1
        if self._observer is not None:
            self._observer(HandlerFailed(connection.number, error))
            return
        import logging

        logging.getLogger("socketkit").error("the handler of %r failed", connection, exc_info=error)

    # --- the stop ---

    async def wait_idle(self, *, timeout: float | None = None) -> None:
        """Wait until there is no conversation.

        Raises:
            DeadlineError: after `timeout` seconds.
        """
        await self._changed.wait_until(lambda: not self._connections, deadline=self.engine.deadline(timeout))

    async def wait_closed(self) -> None:
        """Wait until somebody has closed the server, and it has come to its end; or until every door was for one caller
        only (standard input and output, say), and their conversations have ended, which closes it.

        Raises:
            OSError: it could not go on accepting callers (a listening socket was taken from it, say).
        """
        await self._changed.wait_until(lambda: self._is_closed or self._failure is not None or self._is_over())
        if self._failure is not None:
            failure, self._failure = self._failure, None
            await self.close(grace=0)
            raise failure
        if not self._is_closed:
            await self.close()

    def _is_over(self) -> bool:
        """Whether nobody is here, and nobody more can ever come."""
        return 0 < len(self._doors) == self._spent_count and not self._connections

    async def close(self, *, grace: float | None = None) -> None:
        """Stop: close the doors, tell the handlers (`connection.server_closing`), let them end, show the rest out.

        A conversation that stands between messages, and from which nothing has come for a second, is ended as if the
        peer had ended it. Whatever is left after the grace is aborted, and its handler cancelled. Returns within grace
        plus half a second, whatever the handlers do. A second call with a shorter grace hurries the first.

        Args:
            grace: seconds; None: as the option says.
        """
        grace = self._grace if grace is None else grace
        deadline = self.engine.now() + grace
        if self._deadline is not None:
            self._deadline = min(self._deadline, deadline)
            self._changed.notify()
            await self._changed.wait_until(lambda: self._is_closed)
            return
        self._deadline = deadline
        if grace > 0:
            for door, options, framing in self._doors:  # who stands behind it has come in time
                self._entrance.let_in_pending(door, options, framing)
        self._close_doors()
        try:
            await self._see_out(min(QUIET, grace / 4))
        finally:
            for connection in list(self._connections):
                connection.set_cause(ClosedError(f"{connection.stream.peer} was cut off: the server stops (grace)"))
                connection.abort()
            self._group.cancel()
            try:
                with suppress(DeadlineError):
                    await self.engine.shielded(self._group.join(deadline=self.engine.now() + STUCK))
            finally:
                for connection in list(self._connections):
                    self._report(connection, _stuck(connection))
                self._is_closed = True
                self._changed.notify()

    async def _see_out(self, quiet: float) -> None:
        """Wait for the guests, and end the conversations of those who have nothing more to say."""
        while self._connections and not self._is_late():
            sizes = {connection: connection.statistics().received_size for connection in self._connections}
            for connection in sizes:
                connection.server_closing = True
            with suppress(DeadlineError):
                await self._changed.wait_until(
                    lambda: not self._connections or self._is_late(),
                    deadline=min(self.engine.now() + quiet, self._deadline or 0.0),
                )
            for connection in list(self._connections):
                if connection.is_idle and connection.statistics().received_size == sizes.get(connection):
                    connection.stop_receiving()

    def _is_late(self) -> bool:
        return self._deadline is not None and self.engine.now() >= self._deadline

    @property
    def is_closing(self) -> bool:
        """Whether somebody has told it to stop."""
        return self._deadline is not None

    @property
    def is_closed(self) -> bool:
        """Whether it has come to its end."""
        return self._is_closed

    async def __aenter__(self) -> Server:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(grace=None if error is None or isinstance(error, Exception) else 0)

    def statistics(self) -> ServerStatistics:
        """How it stands now."""
        running = [connection.statistics() for connection in list(self._connections)]
        return ServerStatistics(
            active_count=len(running),
            accepted_count=self._accepted_count,
            refused_count=self._entrance.refused_count,
            unwelcome_count=self._unwelcome_count,
            failed_count=self._failed_count,
            received_size=self._received_size + sum(one.received_size for one in running),
            sent_size=self._sent_size + sum(one.sent_size for one in running),
            is_paused=self._entrance.is_paused,
        )

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._is_closed
            else "closing"
            if self._deadline is not None
            else "open"
            if self._doors
            else "suspended"
        )
        return f"<Server {' '.join(map(str, self._addresses))}, {state}, {len(self._connections)} conversations>"


def _stuck(connection: Connection) -> DeadlineError:
    return DeadlineError(
        f"the handler of {connection.stream.peer} goes on, {STUCK:g} s after it was cancelled: it is left behind; let "
        "cancellations through"
    )
