"""`connect`, `serve`, `listen` and `pair`: each checks its arguments at once and returns an `OpenContext`."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, overload

from socketkit import engines
from socketkit import framing as framings
from socketkit.blocking import BlockingConnection, BlockingListener, BlockingServer, copy_blocking, in_threads
from socketkit.client.connect import open_connection, reconnect
from socketkit.client.reconnect import Reconnect
from socketkit.config.address import Address
from socketkit.config.option_types import parse_count
from socketkit.config.options import Options, check_verb
from socketkit.config.time_limits import CLEANUP_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.connection.tunnel import Copied, copy_between
from socketkit.endpoint import Endpoint, set_http
from socketkit.engines.engine import Engine
from socketkit.errors import AddressError, OptionError
from socketkit.events import Connected, Observer, guarded
from socketkit.framing.codec import Framing, M
from socketkit.open_context import OpenContext
from socketkit.server.listener import Listener
from socketkit.server.run import OpenUntilSignal, serve_until_signal
from socketkit.server.server import Handler, Server
from socketkit.sockets.systemd import notify
from socketkit.streams.from_socket import stream_from_socket

if TYPE_CHECKING:
    from typing import Unpack

    from socketkit.config.websocket_settings import Request, Response
    from socketkit.framing.names import BytesFraming, FramingLike, TextFraming
    from socketkit.typed_options import ConnectOptions, ListenOptions, PairOptions, ServeOptions

Answer: TypeAlias = "Callable[[Request], Response | Awaitable[Response]]"
"""What answers plain requests beside a WebSocket."""

AnyHandler: TypeAlias = Callable[[Connection[M]], Awaitable[object]] | Callable[[BlockingConnection[M]], object]
"""What serves a connection: an `async def`, or a plain function."""

__all__ = [
    "ConnectContext",
    "ListenContext",
    "PairContext",
    "ServeContext",
    "connect",
    "copy_both",
    "listen",
    "pair",
    "serve",
]


class ConnectContext(OpenContext[BlockingConnection[M], Connection[M]], Generic[M]):
    """Opens to a connection."""

    def __init__(self, endpoint: Endpoint, engine: str | Engine | None, observer: Observer | None) -> None:
        super().__init__(engine if engine is not None else endpoint.options.engine)
        self._endpoint = endpoint
        self._observer = guarded(observer)

    def _open_blocking(self) -> BlockingConnection[M]:
        engine = self._blocking_engine()
        return BlockingConnection(engine.run(self._open(engine)))

    async def _open(self, engine: Engine) -> Connection[M]:
        to = self._endpoint
        return await open_connection(engine, to.address, to.framing, to.options, observer=self._observer)

    def _reconnecting(self, engine: Engine) -> Reconnect:
        to = self._endpoint
        return reconnect(engine, to.address, to.framing, to.options, observer=self._observer)

    def __iter__(self) -> Iterator[BlockingConnection[M]]:
        """Fresh connections, one after each loss, in plain code; each is closed before the next, and at the end."""
        self._refuse_inside_engine()
        engine = self._blocking_engine()
        again = self._reconnecting(engine)
        try:
            while True:
                yield BlockingConnection(engine.run(again.next()))
        finally:
            engine.run(again.close())

    def __aiter__(self) -> Connections[M]:
        """The same in async code."""
        engine = self._running_engine()
        return Connections(engine, self._reconnecting(engine))


class Connections(Generic[M]):
    """What `async for connection in connect(...)` goes through: fresh connections, each closed before the next.

    Leaving the loop closes the last one in the background, because the end of a loop cannot wait; `async with
    connection` in the body closes it at a moment of your own.
    """

    def __init__(self, engine: Engine, reconnect: Reconnect) -> None:
        self._engine = engine
        self._reconnect = reconnect
        self._pid = os.getpid()

    def __aiter__(self) -> Connections[M]:
        return self

    async def __anext__(self) -> Connection[M]:
        return await self._reconnect.next()

    async def aclose(self) -> None:
        """Close the connection that is open, and wait for that."""
        await self._reconnect.close()

    def __del__(self) -> None:
        reconnect, engine = self._reconnect, self._engine
        if not reconnect.is_open:
            return
        if os.getpid() != self._pid:  # the loop is the parent's: a wake-up from here would reach it
            reconnect.abort()
            return
        if engines.running() is engine:
            engine.background(reconnect.close())
            return
        try:  # the last reference may go in any thread, and after the engine's end
            engine.from_thread(reconnect.abort)
        except RuntimeError:
            reconnect.abort()


@overload
def connect(
    address: str | Address, *, framing: TextFraming, **options: Unpack[ConnectOptions]
) -> ConnectContext[str]: ...
@overload
def connect(
    address: str | Address, *, framing: BytesFraming, **options: Unpack[ConnectOptions]
) -> ConnectContext[bytes]: ...
@overload
def connect(
    address: str | Address, *, framing: FramingLike[M], **options: Unpack[ConnectOptions]
) -> ConnectContext[M]: ...
@overload
def connect(
    address: str | Address, *, framing: str | None = None, **options: Unpack[ConnectOptions]
) -> ConnectContext[Any]: ...
def connect(
    address: str | Address,
    *,
    framing: object = None,
    engine: str | Engine | None = None,
    retry: object = None,
    observer: Observer | None = None,
    **options: object,
) -> ConnectContext[Any]:
    """Connect to an address: `with` gives a `BlockingConnection`, `async with` a `Connection`.

    `for` and `async for` give a fresh connection after each loss, with a backoff while none can be opened:

        async for connection in connect("tcp://localhost:5000", framing="lines"):
            try:
                async for line in connection: ...
            except BrokenError:
                continue

    Args:
        address: a URL or a typed short form (`host:port`, `/path`, `@name`); options may ride on it as a query.
        framing: a name (`"lines"`, `"lines:crlf"`), a framing, or a codec class of your own; None: what the address
            says, else `"chunks"`, bytes as they come.
        engine: None: in async code the engine that runs, in plain code blocking.
        retry: how often to try again, as a number, or how, as a `Retry`; None: as the address says, else not at all,
            and in a loop for ever.
        observer: receives the events.
        options: by the names of `Options`; they overrule the address's own.

    Raises:
        AddressError, OptionError: at once, before anything is opened.
        ResolveError, ConnectError, DeadlineError: on opening.
    """
    if retry is not None:
        options["retry"] = retry
    return ConnectContext(Endpoint.several([address], framing, options, verb="connect")[0], engine, observer)


class ServeContext(OpenContext[BlockingServer, Server]):
    """Opens to a server; `run()` serves until a signal."""

    def __init__(
        self,
        handler: Callable[[Any], Any],
        endpoints: list[Endpoint],
        engine: str | Engine | None,
        observer: Observer | None,
    ) -> None:
        super().__init__(engine if engine is not None else endpoints[0].options.engine)
        self._is_plain = not _is_async(handler)
        self._handler: Handler = in_threads(handler) if self._is_plain else handler
        self._endpoints = endpoints
        self._observer = guarded(observer)
        if self._is_plain and self._engine not in (None, "blocking") and not _blocks(self._engine):
            raise OptionError(f"engine={self._engine}: a plain function needs threads; make the handler `async def`")

    def run(
        self, *, workers: int = 1, listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None
    ) -> None:
        """Serve until SIGINT or SIGTERM, then drain within the grace; a second signal stops at once. With NOTIFY_SOCKET
        set, the service manager is notified when clients can connect and when the server stops.

        Args:
            workers: so many processes, each with an engine of its own; one that dies is replaced. Limits and statistics
                are each worker's own. Called in the main thread, before the program has other threads.
            listening: called once with the real addresses, when clients can connect.

        Raises:
            ResolveError, ListenError: an address cannot be listened at.
            OptionError: the engine, or workers, cannot be had here.
            OSError: accepting failed for good.
        """

        def ready(addresses: tuple[Address, ...]) -> None:
            listening(addresses)
            notify("READY=1")

        count = parse_count(workers, name="workers", minimum=1)
        if count == 1:
            engine = self._make_engine()
            engine.run(self._serve_until_signal(engine, ready), cleanup_timeout=CLEANUP_TIMEOUT)
            return
        if any(endpoint.options.takeover for endpoint in self._endpoints):
            raise OptionError("takeover is for one process: leave `workers` out")
        from socketkit.server.workers import Workers

        if isinstance(self._engine, Engine):
            raise OptionError("workers have an engine each: give its name")
        endpoints = [(endpoint.address, endpoint.options) for endpoint in self._endpoints]
        Workers(endpoints, count, self._work, listening=ready, observer=self._observer).run()

    def _work(self, addresses: list[tuple[int, Address]], listens: Callable[[], None]) -> None:
        """What each worker does."""
        self._endpoints = [self._endpoints[number].moved(address) for number, address in addresses]
        engine = self._make_engine()
        engine.run(self._serve_until_signal(engine, lambda addresses: listens()), cleanup_timeout=CLEANUP_TIMEOUT)

    async def _serve_until_signal(self, engine: Engine, listening: Callable[[tuple[Address, ...]], object]) -> None:
        async with OpenUntilSignal(engine, self._open(engine)) as server:
            if server is not None:
                await serve_until_signal(server, listening=listening)

    def _open_blocking(self) -> BlockingServer:
        server = BlockingServer(self._make, self._make_engine)
        server.open()
        return server

    def open(self) -> BlockingServer:
        """Serve in a background thread; close it when you are done."""
        return self._open_blocking()

    async def _open(self, engine: Engine) -> Server:
        if self._is_plain and not engine.blocks:
            raise OptionError("a plain function needs threads: make the handler `async def`, or use `with serve(...)`")
        server = self._make(engine)
        await server.open()
        return server

    def _make(self, engine: Engine) -> Server:
        options = self._endpoints[0].options
        takeover = None
        if options.takeover is not None:
            from socketkit.server.takeover import SocketTakeover  # for those who restart without a pause

            takeover = SocketTakeover(options.takeover, engine=engine)
        return Server(
            self._handler,
            [(endpoint.address, endpoint.options, endpoint.framing) for endpoint in self._endpoints],
            engine=engine,
            grace=options.grace,
            observer=self._observer,
            takeover=takeover,
        )

    def _make_engine(self) -> Engine:
        if isinstance(self._engine, Engine):
            return self._engine
        if self._engine is not None:
            return engines.make(self._engine)
        if self._is_plain:
            return engines.make("blocking")
        return engines.make("uvloop" if engines.is_available("uvloop") else "asyncio")


@overload
def serve(
    handler: AnyHandler[str],
    *addresses: str | Address,
    framing: TextFraming,
    http: Answer | None = None,
    **options: Unpack[ServeOptions],
) -> ServeContext: ...
@overload
def serve(
    handler: AnyHandler[bytes],
    *addresses: str | Address,
    framing: BytesFraming,
    http: Answer | None = None,
    **options: Unpack[ServeOptions],
) -> ServeContext: ...
@overload
def serve(
    handler: AnyHandler[M],
    *addresses: str | Address,
    framing: FramingLike[M],
    http: Answer | None = None,
    **options: Unpack[ServeOptions],
) -> ServeContext: ...
@overload
def serve(
    handler: AnyHandler[Any],
    *addresses: str | Address,
    framing: str | None = None,
    http: Answer | None = None,
    **options: Unpack[ServeOptions],
) -> ServeContext: ...
def serve(
    handler: Callable[[Any], Any],
    *addresses: str | Address,
    framing: object = None,
    engine: str | Engine | None = None,
    observer: Observer | None = None,
    http: Answer | None = None,
    **options: object,
) -> ServeContext:
    """Serve a handler at addresses: `.run()` until a signal, `async with` in the engine that runs, `with` in a thread.

    Args:
        handler: called with each connection, which is closed when it returns, and reset when it raises. `async def`
            gets a `Connection`, a plain function a `BlockingConnection` and a thread.
        addresses: at least one; port 0 asks for a free port, which `server.addresses` has.
        framing: as for `connect`.
        engine: asyncio, uvloop, trio, epoll, kqueue, poll, select or blocking, for `run` and `with`; None: uvloop where
            it is installed, else asyncio, because a handler may use asyncio's libraries; threads for a plain function.
        observer: receives the events. Without one, a handler that fails is logged.
        http: answers plain GET and HEAD requests beside a WebSocket (a page, a health check): a function of a `Request`
            that returns a `Response`. None: they are refused (404, 426).
        options: by the names of `Options`; they overrule each address's own.

    Raises:
        AddressError, OptionError: at once, before anything is opened.
        ResolveError, ListenError: on opening.
    """
    if not addresses:
        raise AddressError("serve needs at least one address, such as 'tcp://localhost:0'")
    if not callable(handler):
        raise TypeError(f"the handler must be a function of one connection, not {type(handler).__name__}")
    endpoints = Endpoint.several(addresses, framing, options, verb="serve", has_engine=engine is not None)
    if http is not None:
        set_http(endpoints, http)
    return ServeContext(handler, endpoints, engine, observer)


# Of `inspect`, without the 15 ms of importing it: a coroutine function, one made by `types.coroutine`, generators.
_COROUTINE = 0x80 | 0x100
_GENERATOR = 0x20 | 0x200


def _code_flags(handler: Callable[[Any], Any]) -> int:
    """The flags of the code that a call runs; of a decorator's wrapper those of what it wraps (`functools.wraps`)."""
    while isinstance(handler, functools.partial) or hasattr(handler, "__wrapped__"):
        handler = handler.func if isinstance(handler, functools.partial) else handler.__wrapped__
    function = handler if hasattr(handler, "__code__") else getattr(handler, "__call__", None)  # noqa: B004
    function = getattr(function, "__func__", function)  # of a method
    return int(getattr(getattr(function, "__code__", None), "co_flags", 0))


def _is_async(handler: Callable[[Any], Any]) -> bool:
    """Whether a call returns a coroutine, as far as it can be known before the call.

    Raises:
        TypeError: a call returns a generator, whose body would never run.
    """
    flags = _code_flags(handler)
    if flags & _GENERATOR:
        raise TypeError("the handler is a generator function, whose body would never run: leave `yield` out of it")
    return bool(flags & _COROUTINE) or hasattr(handler, "_is_coroutine_mark")  # inspect.markcoroutinefunction


def _blocks(engine: object) -> bool:
    return isinstance(engine, Engine) and engine.blocks


class ListenContext(OpenContext[BlockingListener[M], Listener[M]], Generic[M]):
    """Opens to a listener."""

    def __init__(self, endpoint: Endpoint, engine: str | Engine | None, observer: Observer | None) -> None:
        super().__init__(engine if engine is not None else endpoint.options.engine)
        self._endpoint = endpoint
        self._observer = guarded(observer)

    def _make(self, engine: Engine) -> Listener[M]:
        endpoint = self._endpoint
        return Listener(engine, endpoint.address, endpoint.framing, endpoint.options, observer=self._observer)

    def _open_blocking(self) -> BlockingListener[M]:
        listener = BlockingListener(self._make(self._blocking_engine()))
        listener.open()
        return listener

    async def _open(self, engine: Engine) -> Listener[M]:
        listener = self._make(engine)
        await listener.open()
        return listener


@overload
def listen(address: str | Address, *, framing: TextFraming, **options: Unpack[ListenOptions]) -> ListenContext[str]: ...
@overload
def listen(
    address: str | Address, *, framing: BytesFraming, **options: Unpack[ListenOptions]
) -> ListenContext[bytes]: ...
@overload
def listen(
    address: str | Address, *, framing: FramingLike[M], **options: Unpack[ListenOptions]
) -> ListenContext[M]: ...
@overload
def listen(
    address: str | Address, *, framing: str | None = None, **options: Unpack[ListenOptions]
) -> ListenContext[Any]: ...
def listen(
    address: str | Address,
    *,
    framing: object = None,
    engine: str | Engine | None = None,
    observer: Observer | None = None,
    **options: object,
) -> ListenContext[Any]:
    """Listen at an address and accept by hand: `with` gives a `BlockingListener`, `async with` a `Listener`.

    Args and errors are those of `serve`.
    """
    return ListenContext(Endpoint.several([address], framing, options, verb="listen")[0], engine, observer)


class BlockingPair(tuple[BlockingConnection[M], BlockingConnection[M]], Generic[M]):
    """Two connected ends, for plain code; leaving the block closes both."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left, right = self
        try:
            left.__exit__(kind, error, traceback)
        finally:
            right.__exit__(kind, error, traceback)


class Pair(tuple[Connection[M], Connection[M]], Generic[M]):
    """Two connected ends, for async code; leaving the block closes both."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left, right = self
        try:
            await left.__aexit__(kind, error, traceback)
        finally:
            await right.__aexit__(kind, error, traceback)


class PairContext(OpenContext[BlockingPair[M], Pair[M]], Generic[M]):
    """Opens to two connections that talk to each other; unpacking it opens it too."""

    def __init__(
        self, framing: object, engine: str | Engine | None, observer: Observer | None, options: dict[str, object]
    ) -> None:
        self._options = Options.make(options)
        check_verb(options, "pair")
        super().__init__(engine if engine is not None else self._options.engine)
        chosen = framing if framing is not None else self._options.framing
        self._framing: Framing[Any] = framings.of("chunks" if chosen is None else chosen)
        self._observer = guarded(observer)

    def __iter__(self) -> Iterator[Any]:
        engine = engines.running()
        return iter(self.open()) if engine is None else iter(self._make(engine))

    def _open_blocking(self) -> BlockingPair[M]:
        left, right = self._make(self._blocking_engine())
        return BlockingPair((BlockingConnection(left), BlockingConnection(right)))

    async def _open(self, engine: Engine) -> Pair[M]:
        return Pair(self._make(engine))

    def _make(self, engine: Engine) -> tuple[Connection[M], Connection[M]]:
        left, right = socket.socketpair()
        return self._wrap(engine, left), self._wrap(engine, right)

    def _wrap(self, engine: Engine, sock: socket.socket) -> Connection[M]:
        sock.setblocking(False)
        stream = stream_from_socket(engine, sock, self._options)
        connection = Connection(stream, self._framing, options=self._options, observer=self._observer)
        if self._observer is not None:
            self._observer(Connected(connection.number, stream.local, stream.peer))
        return connection


@overload
def pair(*, framing: TextFraming, **options: Unpack[PairOptions]) -> PairContext[str]: ...
@overload
def pair(*, framing: BytesFraming | None = None, **options: Unpack[PairOptions]) -> PairContext[bytes]: ...
@overload
def pair(*, framing: FramingLike[M], **options: Unpack[PairOptions]) -> PairContext[M]: ...
@overload
def pair(*, framing: str, **options: Unpack[PairOptions]) -> PairContext[Any]: ...
def pair(
    *,
    framing: object = None,
    engine: str | Engine | None = None,
    observer: Observer | None = None,
    **options: object,
) -> PairContext[Any]:
    """Two connected ends inside one process: a program that talks to itself, or its own threads and tasks.

    `with pair() as (left, right)`, `async with pair() as (left, right)`, or `left, right = pair()`, in which case the
    caller closes both. Args are those of `connect`.

    Raises:
        OptionError: at once.
    """
    return PairContext(framing, engine, observer, options)


@overload
def copy_both(a: Connection, b: Connection) -> Coroutine[Any, Any, Copied]:
    """Copy in async code; await the result."""


@overload
def copy_both(a: BlockingConnection, b: BlockingConnection) -> Copied:
    """Copy in plain code."""


def copy_both(
    a: Connection | BlockingConnection, b: Connection | BlockingConnection
) -> Coroutine[Any, Any, Copied] | Copied:
    """Copy bytes between two connections, in both directions, until both directions have ended.

    What was sent to either before leaves first, then what was read from the other and not received, then what its
    peer sends: bytes as they came, whatever the framings are. The end of each direction is passed on as a half-close,
    and the other direction goes on. Between plain sockets on Linux much data is moved by splice(2). A peer that does
    not read holds the other one back. Closes neither connection: that stays with you.

    A WebSocket is one too: what a stream brought is sent as binary messages, and the bytes of its messages, text or
    binary, are a stream. Between two WebSockets messages stay messages, and text stays text. A close frame (1000 or
    1001) is an end of stream, and the other way round; between two its code and reason are passed on.

    Args:
        a, b: two connections in async code, where the result is to be awaited; or two of plain code. Messages that
            are sent to them meanwhile leave afterwards; on a WebSocket among those that are copied, without a framing.

    Returns:
        How many bytes were copied, of messages their payload: `there, back = await copy_both(a, b)`; or by name,
        `a_to_b` and `b_to_a`.

    Raises:
        BrokenError: one of them was lost. What came before the loss was passed on, for up to five seconds; then both
            are aborted, so that the other peer gets a reset too; a WebSocket gets the code of the other one, or 1014.
        ClosedError: one of them was closed or aborted at this end. Both are aborted.
        FramingError: the peer of a WebSocket has broken its protocol. Both are aborted.
        DeadlineError: no byte passed in either direction for the shorter `idle_timeout` of both.
        BusyError: a task receives from one of them, or both are the same. Nothing has happened; likewise below.
        StreamError: one of them has datagrams; or they belong to two engines.
        TypeError, FramingError: bytes that were read cannot be given back; see `reframe`.
        TypeError: one is of plain code and the other is not.

    Cancellation, and DeadlineError: both stay open and can be used, but a portion of each direction that was under way
        (up to 256 KiB, in a pipe 1 MiB) may be lost. Close or abort them, unless that does not matter. In plain code
        both are aborted then, because nothing else ends the threads that copy.
    """
    if isinstance(a, BlockingConnection) and isinstance(b, BlockingConnection):
        return copy_blocking(a, b)
    if isinstance(a, Connection) and isinstance(b, Connection):
        return copy_between(a, b)
    raise TypeError(f"copy_both takes two connections of async code, or two of plain code, not {a!r} and {b!r}")
