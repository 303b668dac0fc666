"""The same verbs without `await`: for threads, scripts and the interpreter's prompt.

The layers below are coroutines. On the blocking engine a coroutine runs to its end in one step, and each verb here is
that step. A server for plain code runs in a thread of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from socket import socket
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from socketkit._core import NOTHING, read_messages
from socketkit.config.address import Address
from socketkit.config.durations import parse_duration
from socketkit.config.time_limits import CANCEL_TIMEOUT, CLEANUP_TIMEOUT
from socketkit.config.tls_settings import TLS
from socketkit.config.websocket_settings import Request
from socketkit.connection.broadcast import Lock, LockedConnection
from socketkit.connection.close import unsent_error
from socketkit.connection.connection import Connection, ConnectionStatistics
from socketkit.connection.tunnel import Copied, copy_between
from socketkit.engines.engine import Engine
from socketkit.engines.engine import run_to_end as _step
from socketkit.errors import BusyError, ClosedError, DeadlineError, EndOfStream, SocketkitError
from socketkit.events import TlsFacts
from socketkit.framing.codec import DEFAULT_MAX_SIZE, BytesLike, M
from socketkit.server.listener import Listener
from socketkit.server.server import Handler, Server, ServerStatistics
from socketkit.server.signal_stop import SIGNAL_CHECK_INTERVAL, SignalStop, require_signal_thread
from socketkit.sockets.peer_credentials import Credentials
from socketkit.sockets.systemd import notify
from socketkit.streams.stream import MessageStream

if TYPE_CHECKING:
    from socketkit.connection.proxy_protocol import ProxyHeader

__all__ = ["BlockingConnection", "BlockingListener", "BlockingServer", "copy_blocking", "in_threads"]

T = TypeVar("T")


def _lock_for(connection: Connection[Any]) -> Lock:
    internals = connection.internals
    if not isinstance(internals.stream, MessageStream):
        return threading.Lock()
    return internals.lock_sending()


class BlockingConnection(LockedConnection, Generic[M]):
    """A connection with a peer, in messages: every verb returns when it is done, and raises as in `Connection`.

    Concurrency: many threads may send, one at a time receives; one may send while another receives.
    """

    _connection: Connection[M]

    def __init__(self, connection: Connection[M]) -> None:
        self._connection = connection
        self._take_one = connection.internals.session._take_one
        self._fill_directly = connection.internals.receiver.fill_directly
        self._receive_directly = connection.internals.receiver.receive_directly
        self._lock = _lock_for(connection)  # frames of two threads never interleave

    @overload
    def send(self: BlockingConnection[bytes], message: BytesLike) -> None: ...

    @overload
    def send(self, message: M) -> None: ...

    def send(self, message: Any) -> None:
        """Send one message; when this returns, the system has it."""
        with self._lock:
            self._connection.send(message)

    @overload
    def send_many(self: BlockingConnection[bytes], messages: Collection[BytesLike]) -> None: ...

    @overload
    def send_many(self, messages: Collection[M]) -> None: ...

    def send_many(self, messages: Collection[Any]) -> None:
        """Send several messages with one call; all of them or, on an error of framing, none."""
        with self._lock:
            self._connection.send_many(messages)

    def receive(self, *, timeout: float | str | None = None) -> M:
        """The next message, as soon as it is whole; `EndOfStream` after the last."""
        message = self._receive_directly() if timeout is None else self._take_one()
        while message is NOTHING:
            _step(self._connection.internals.wait_message(timeout))
            message = self._take_one()
        return message  # type: ignore[no-any-return]

    def receive_many(self, *, timeout: float | str | None = None) -> list[M]:
        """Every whole message that is there, as soon as there is one. As `Connection.receive_many`."""
        return _step(self._connection.receive_many(timeout=timeout))

    def receive_exactly(self, size: int | str, *, timeout: float | str | None = None) -> bytes:
        """The next `size` bytes, behind what was received last, as `Connection.receive_exactly`."""
        return _step(self._connection.receive_exactly(size, timeout=timeout))

    def receive_until(
        self, mark: bytes, *, max_size: int | str = DEFAULT_MAX_SIZE, timeout: float | str | None = None
    ) -> bytes:
        """The bytes before the next `mark`, which is taken and not returned, as `Connection.receive_until`."""
        return _step(self._connection.receive_until(mark, max_size=max_size, timeout=timeout))

    def peek(self, size: int | str, *, timeout: float | str | None = None) -> bytes:
        """The next `size` bytes, which stay to be received, as `Connection.peek`; fewer where no more will come."""
        return _step(self._connection.peek(size, timeout=timeout))

    def __iter__(self) -> Iterator[M]:
        return read_messages(self._connection.internals.session, self._refill)

    def _refill(self) -> bool:
        """Receive until there is a message; False: the stream has ended."""
        if not self._fill_directly():
            try:
                _step(self._connection.internals.wait_message())
            except EndOfStream:
                return False
        return True

    def batches(self) -> Iterator[list[M]]:
        """An iteration by lists: each holds every message that is there, at least one."""
        while True:
            try:
                messages = self.receive_many()
            except EndOfStream:
                return
            yield messages
            del messages  # or an idle connection would hold them

    def reframe(self, framing: object) -> None:
        """Change the framing of both directions, from the first byte that belongs to no message so far."""
        with self._sending_alone("reframing the connection with"):
            self._connection.reframe(framing)

    def start_tls(self, tls: TLS | bool = True, *, server_side: bool | None = None) -> None:
        """Encrypt the connection from here, as STARTTLS does; see `Connection.start_tls`."""
        with self._sending_alone("starting TLS with"):
            _step(self._connection.start_tls(tls, server_side=server_side))

    def flush(self, *, timeout: float | str | None = None) -> None:
        """Return at once: `send` returned when the system had the message. As `Connection.flush` for moved code."""
        _step(self._connection.flush(timeout=timeout))

    def send_descriptors(self, descriptors: Sequence[int], message: M) -> None:
        """Send a message, and open descriptors with it, over a UNIX socket; the peer gets copies, yours stay yours."""
        with self._lock:
            _step(self._connection.send_descriptors(descriptors, message))

    def receive_descriptors(self, *, timeout: float | str | None = None) -> tuple[M, tuple[int, ...]]:
        """The next message, and the descriptors that came with it, as `Connection.receive_descriptors`."""
        return _step(self._connection.receive_descriptors(timeout=timeout))

    def send_eof(self) -> None:
        """Half-close: the peer receives the end of the stream, and may still send to us."""
        with self._sending_alone("ending our direction to"):
            _step(self._connection.send_eof())

    def stop_receiving(self) -> None:
        """Shut down the receiving direction: what has arrived is still received, then receiving ends as if the peer
        had ended its direction. From any thread; a thread that waits for a message goes on."""
        self._connection.stop_receiving()

    def close(self, *, code: int | None = None, reason: str = "") -> None:
        """Send what is unsent, end our direction, and close; harmless twice.

        A `send` of another thread is waited for; it raises `ClosedError` if the peer does not take its message in time.
        In a child of fork(2) only the child's copy of the descriptor is closed: the parent's connection goes on.

        Args:
            code, reason: of a WebSocket's close frame, as for `Connection.close`.

        Raises:
            DeadlineError: the peer did not take what was unsent within `close_timeout`; the connection was reset.
            BrokenError: something was lost that no earlier call has raised.
            OptionError: no such code or reason, or this is no WebSocket. Nothing was closed.
        """
        if code is not None or reason:
            self._connection.internals.choose_close(code, reason)
        if self._connection.close_copy() or self._connection.is_closed:
            return
        timeout = self._connection.internals.options.close_timeout
        if not self._lock.acquire(timeout=timeout):
            error = unsent_error(self.peer, self.statistics().unsent_size, timeout)
            self._connection.internals.set_cause(error)
            self._connection.abort()
            raise error
        try:
            _step(self._connection.close())
        finally:
            self._lock.release()

    @contextmanager
    def _sending_alone(self, doing: str) -> Iterator[None]:
        """Keep other threads from sending, for a verb that has a bound: a `send` waits for the peer without one.

        Raises:
            DeadlineError: another thread's `send` was not done within `close_timeout`; nothing has happened.
        """
        timeout = self._connection.internals.options.close_timeout
        if not self._lock.acquire(timeout=timeout):
            raise DeadlineError(
                f"{doing} {self.peer}: another thread's send was not done within {timeout:g} s (close_timeout)"
            )
        try:
            yield
        finally:
            self._lock.release()

    def abort(self) -> None:
        """Close at once, by a reset where there is one. From any thread; verbs that wait there raise `ClosedError`."""
        self._connection.abort()

    def __enter__(self) -> BlockingConnection[M]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection.close_copy():
            return
        if error is not None and not isinstance(error, Exception):  # KeyboardInterrupt, say: nothing is waited for
            _step(self._connection.__aexit__(kind, error, traceback))
            return
        try:
            self.close()
        except SocketkitError:
            if error is None:
                raise  # else the block's own error goes on

    @property
    def local(self) -> Address:
        """Our end's address."""
        return self._connection.local

    @property
    def peer(self) -> Address:
        """The other end's address."""
        return self._connection.peer

    @property
    def proxy(self) -> Address | None:
        """The address of the proxy that forwarded this connection (`accept_proxy`), else None."""
        return self._connection.proxy

    @property
    def proxy_header(self) -> ProxyHeader | None:
        """The header of the PROXY protocol, else None."""
        return self._connection.proxy_header

    @property
    def socket(self) -> socket:
        """The real socket, for its options."""
        return self._connection.socket

    @property
    def tls(self) -> TlsFacts | None:
        """The parameters of TLS and the peer's certificate; None without TLS."""
        return self._connection.tls

    @property
    def request(self) -> Request | None:
        """The request that a WebSocket was opened with, and its subprotocol; None on all other connections."""
        return self._connection.request

    @property
    def peer_credentials(self) -> Credentials | None:
        """The peer's process, user and group on a UNIX socket; None elsewhere."""
        return self._connection.peer_credentials

    @property
    def child_status(self) -> int | None:
        """The exit status of the child at the other end (`exec:`), as a shell reports it; None while it runs."""
        return self._connection.child_status

    @property
    def number(self) -> int:
        """Unique in this process; events carry it."""
        return self._connection.number

    @property
    def server_closing(self) -> bool:
        """Whether the server is stopping: the handler should finish and return."""
        return self._connection.server_closing

    @property
    def ended_without_delimiter(self) -> bool:
        """Whether the end of stream, and no delimiter, has ended the last message; so it may have been cut. Known when
        `EndOfStream` was raised, or iteration has ended."""
        return self._connection.ended_without_delimiter

    @property
    def is_closed(self) -> bool:
        """Whether this end was closed or aborted."""
        return self._connection.is_closed

    def statistics(self) -> ConnectionStatistics:
        """The current state, as a frozen value."""
        return self._connection.statistics()

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._connection)[1:]}"


def copy_blocking(a: BlockingConnection, b: BlockingConnection) -> Copied:
    """`copy_both` for plain code."""
    return _step(copy_between(a._connection, b._connection))


class BlockingListener(Generic[M]):
    """Listening sockets for one address, for plain code: every verb as in `Listener`."""

    def __init__(self, listener: Listener[M]) -> None:
        self._listener = listener

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the port that the system has chosen."""
        return self._listener.addresses

    @property
    def sockets(self) -> tuple[socket, ...]:
        """The real listening sockets, for their options, in the order of `addresses`."""
        return self._listener.sockets

    def open(self) -> None:
        """Listen."""
        _step(self._listener.open())

    def accept(self, *, timeout: float | str | None = None) -> BlockingConnection[M]:
        """Return the next connection; `DeadlineError` after `timeout` seconds, other errors as `Listener.accept`."""
        return BlockingConnection(_step(self._listener.accept(timeout=timeout)))

    def pending(self) -> int:
        """The number of connections that wait to be accepted, as far as the system reports it."""
        return self._listener.pending()

    def close(self) -> None:
        """Stop listening; accepted connections stay open. Harmless twice."""
        self._listener.close()

    def __enter__(self) -> BlockingListener[M]:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._listener)[1:]}"


def _next(outcomes: SimpleQueue[T]) -> T:
    """The next outcome; a signal that comes just before the wait in the system is handled at the next look."""
    while True:
        with suppress(Empty):
            return outcomes.get(timeout=SIGNAL_CHECK_INTERVAL)


def _end_waits(waits: Sequence[SignalStop]) -> None:
    """End the waits of several servers where no signal has come: one of them has ended, and the program goes on."""
    if any(stop.numbers for stop in waits):
        return
    for stop in waits:
        with suppress(RuntimeError):  # its engine has ended
            stop.engine.from_thread(stop.give_up)
        stop.release()


def in_threads(function: Callable[[BlockingConnection], Any]) -> Handler:
    """A plain function as a handler for a server on the blocking engine, where each connection has a thread.

    What the function returns is dropped, unless it is a coroutine or a generator: its body has not run, which is a
    `TypeError` of the handler.
    """

    async def handler(connection: Connection) -> None:
        result = function(BlockingConnection(connection))
        if result is not None and isinstance(result, (Awaitable, AsyncIterator, Generator)):
            if isinstance(result, Coroutine):
                result.close()  # else Python warns of it once more
            raise TypeError(
                f"the handler has returned a {type(result).__name__}, which is never run: make it `async def`"
            )

    return handler


class BlockingServer:
    """A server in a thread of its own, for plain code: `with serve(...) as server`.

    Args:
        make: makes the server on an engine, in the new thread.
        engine: makes the engine, in the new thread.

    Concurrency: every verb from any thread but the server's own, which would wait for itself (`BusyError`).
    """

    def __init__(self, make: Callable[[Engine], Server], engine: Callable[[], Engine]) -> None:
        self._make = make
        self._make_engine = engine
        self._engine: Engine | None = None
        self._server: Server | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        # Called when the server's thread has ended, for the threads that wait for a result of it: the engine drops what
        # it is asked for in its last moment.
        self._asking: list[Callable[[], object]] = []
        self._has_ended = False
        self._pid = os.getpid()  # the thread lives in the process that opened the server
        self._thread = threading.Thread(target=self._live, name="socketkit server", daemon=True)

    def open(self) -> None:
        """Start the thread; returns when every address is listened at.

        Raises:
            ResolveError, ListenError, OptionError: it could not start; nothing is left running.
        """
        self._pid = os.getpid()
        self._thread.start()
        self._ready.wait()
        if self._server is None:
            self._thread.join()
            self._raise()

    def _live(self) -> None:
        try:
            engine = self._make_engine()
            engine.run(self._serve(engine), cleanup_timeout=CLEANUP_TIMEOUT)
        except BaseException as error:  # raised in the thread that opens the server, or that closes it
            self._error = error
        finally:
            self._has_ended = True
            for end in list(self._asking):
                end()
            self._ready.set()

    async def _serve(self, engine: Engine) -> None:
        server = self._make(engine)
        async with server:
            self._engine, self._server = engine, server
            self._ready.set()
            await server.wait_closed()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the ports that the system has chosen."""
        return self._running().addresses

    @property
    def pins(self) -> tuple[str, ...]:
        """What clients pin (`pin=`) to trust our keys without an authority; empty without TLS."""
        return self._running().pins

    def statistics(self) -> ServerStatistics:
        """The current state, as a frozen value."""
        return self._running().statistics()

    def suspend(self) -> None:
        """Stop listening: new connections are refused, accepted ones stay. Harmless twice."""

        async def suspend() -> None:
            self._running().suspend()

        self._ask(suspend())

    def reload_tls(self) -> None:
        """Read the certificates again; connections stay. `OptionError`: a file cannot be used; the old ones stay."""

        async def reload() -> None:
            self._running().reload_tls()

        self._ask(reload())

    def resume(self) -> None:
        """Listen again, at the same addresses and ports."""
        self._ask(self._running().resume())

    def wait_idle(self, *, timeout: float | str | None = None) -> None:
        """Wait until there is no connection; `DeadlineError` after `timeout` seconds."""
        self._ask(self._running().wait_idle(timeout=timeout))

    @property
    def is_ready(self) -> bool:
        """Whether new clients should come: it listens, and no signal has told it to stop. For health checks."""
        return self._running().is_ready

    def wait_signal(self, *, lame_duck: object = None, others: Sequence[BlockingServer] = ()) -> int | None:
        """Wait until SIGINT or SIGTERM tells the program to stop, as `Server.wait_signal` does.

        Args:
            lame_duck: seconds, or text (`"5s"`); None: as each server's option says.
            others: further servers that stop together with this one.

        Returns, Raises: as `Server.wait_signal`; OptionError in another thread than the main one.
        """
        require_signal_thread()
        seconds = None if lame_duck is None else parse_duration(lame_duck, name="lame_duck")
        servers = [one._running() for one in (self, *others)]
        waits = [
            SignalStop(server.engine, [server], lame_duck=server.lame_duck if seconds is None else seconds)
            for server in servers
        ]
        outcomes: SimpleQueue[tuple[int | None, BaseException | None]] = SimpleQueue()  # `get` lets handlers run
        try:
            for stop in waits:
                stop.handle_signals()
            notify("READY=1")
            for one, stop in zip((self, *others), waits, strict=True):
                one._begin(stop.wait(), lambda *outcome: outcomes.put(outcome))
            results = [_next(outcomes)]
            _end_waits(waits)
            results += [_next(outcomes) for _ in waits[1:]]
        finally:
            _end_waits(waits)
        for _, error in results:
            if error is not None:
                raise error
        return next((number for number, _ in results if number is not None), None)

    def _begin(self, coroutine: Coroutine[Any, Any, T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run a coroutine in the server's thread; `done` gets its result or its error there, or None twice where that
        thread ends before. It is called once."""
        is_finished = threading.Lock()
        has_begun = False

        def finish(result: T | None = None, error: BaseException | None = None) -> None:
            if is_finished.acquire(blocking=False):
                if not engine.blocks:
                    self._asking.remove(end)
                done(result, error)

        def end() -> None:
            if not has_begun:
                coroutine.close()
            finish()

        async def work() -> None:
            nonlocal has_begun
            has_begun = True
            try:
                result = await coroutine
            except engine.cancelled:  # the server's thread ends
                finish()
                raise
            except BaseException as error:  # raised in the thread that asked
                finish(None, error)
            else:
                finish(result)

        assert self._engine is not None
        engine = self._engine
        if not engine.blocks:  # else the task is a thread, which ends by itself
            self._asking.append(end)  # before `_has_ended` is read; `_live` does both in the other order
        if not self._has_ended:
            with suppress(RuntimeError):  # it has ended in the meantime
                engine.from_thread(lambda: engine.start(work()))
                return
        end()

    def close(self, *, grace: float | str | None = None) -> None:
        """Stop, as `Server.close` does, and wait for the thread. Harmless twice.

        A handler that does not end though it was cancelled is left behind with the thread, which is a daemon.
        In a child of fork(2) only the child's copies of the listening descriptors are closed.

        Raises:
            OSError: the server had failed before.
            BusyError: a handler of this server calls it, in the server's own thread.
        """
        server = self._running()
        if os.getpid() != self._pid:
            _step(server.close())
            return
        if not server.is_closed:
            self._ask(server.close(grace=grace))
        self._thread.join(CANCEL_TIMEOUT if server.statistics().active_count else None)
        server.release_signals()
        self._raise()

    def _ask(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run one of the server's verbs in its own thread, and wait for its result here. After the thread has ended it
        runs here, where it has nothing to wait for."""
        engine = self._engine
        assert engine is not None
        if os.getpid() != self._pid:
            coroutine.close()
            raise ClosedError(
                f"the server runs in process {self._pid}: process {os.getpid()}, a child of fork(2), can only close it"
            )
        if not engine.blocks and threading.current_thread() is self._thread:
            coroutine.close()
            raise BusyError("the server's own thread would wait for itself: ask it from another one")
        done = threading.Event()
        outcome: list[BaseException | None] = []

        async def work() -> None:
            try:
                await coroutine
            except BaseException as error:  # raised in the thread that asked
                outcome.append(error)
            else:
                outcome.append(None)
            finally:
                done.set()

        if not engine.blocks:  # else the task is a thread, which ends by itself
            self._asking.append(done.set)  # before `_has_ended` is read; `_live` does both in the other order
        try:
            if not self._has_ended:
                engine.from_thread(lambda: engine.start(work()))
                done.wait()
        except RuntimeError:
            pass  # it has ended in the meantime
        finally:
            if not engine.blocks:
                self._asking.remove(done.set)
        if not outcome:
            _step(coroutine)
        elif (error := outcome.pop()) is not None:
            raise error

    def _running(self) -> Server:
        if self._server is None:
            raise DeadlineError("the server has not been opened yet")
        return self._server

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> BlockingServer:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(grace=None if error is None or isinstance(error, Exception) else 0)

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._server)[1:]}" if self._server is not None else "<BlockingServer, not open>"
