"""Dial: from an address to a connected stream. The one place that knows how each scheme is opened.

A name that stands for several socket addresses is tried at each, within one time for all.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import Final

from socketkit.client.happy_eyeballs import HappyEyeballs
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.proxy import Proxy
from socketkit.endpoint import tls_for, websocket_for
from socketkit.engines.engine import Engine
from socketkit.errors import Attempt, ConnectError, DeadlineError, OpenError, OptionError, StreamError
from socketkit.events import Connecting, Failed, Observer
from socketkit.sockets.calls import (
    begin_connect,
    connect_socket,
    finish_connect,
    name_of_peer,
    new_socket,
    reason_of,
)
from socketkit.sockets.resolver import Candidate, Lookup, ask_system, deadline_of_name, resolve
from socketkit.sockets.socket_options import SettingError, bind_source, prepare
from socketkit.streams.from_socket import stream_from_socket
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream
from socketkit.tls.handshake import client_for, client_handshake

__all__ = ["Ends", "open_stream"]

Ends = tuple[Address, Address]
"""Both ends of a conversation: who calls, and where."""

ATTEMPT_TIMEOUT_MIN: Final = 0.1
"""Seconds for the attempts where the resolver has used up the time: enough for a peer on this machine to answer."""

_HINTS = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ENOENT: "there is no such file",
    errno.EACCES: "this user may not connect there (for a path: no right to write to the file, or to enter a folder)",
    errno.EPROTOTYPE: "the file is a socket of another kind",
}


async def open_stream(
    engine: Engine,
    address: Address,
    options: Options,
    *,
    observer: Observer | None = None,
    lookup: Lookup = ask_system,
    on_behalf: Ends | None = None,
) -> Stream:
    """Connect, to whichever candidate answers first (`eyeballs`), within `connect_timeout` over all.

    Args:
        engine: where to wait.
        address: where to.
        options: `connect_timeout`, `happy_eyeballs_delay`, and those of the stream.
        observer: receives an event for each candidate.
        lookup: who is asked for names; once.
        on_behalf: who has called, and where, for whom a proxy dials: a PROXY header (`send_proxy`) names these two, and
            None names ourselves. It goes before anything else, the TLS handshake too, as HAProxy sends and reads it.

    Raises:
        ResolveError: the name is unknown.
        ConnectError: no candidate could be connected; `attempts` has the error of each.
        HandshakeError: a candidate answered, and the TLS handshake failed; no other candidate is tried then.
        OptionError: TLS is wanted, and a file that it needs cannot be used; or a proxy, which cannot connect there.
        DeadlineError: the time was over; `attempts` says how each stood.

    Cancellation: every descriptor that was opened is closed.
    """
    return await _Dial(engine, address, options, observer, lookup, on_behalf).open()


class _Dial:
    """One dial. Args are those of `open_stream`."""

    __slots__ = ("_address", "_engine", "_lookup", "_observer", "_on_behalf", "_options")

    def __init__(
        self,
        engine: Engine,
        address: Address,
        options: Options,
        observer: Observer | None,
        lookup: Lookup,
        on_behalf: Ends | None,
    ) -> None:
        self._engine = engine
        self._address = address
        self._options = options
        self._observer = observer
        self._lookup = lookup
        self._on_behalf = on_behalf

    async def open(self) -> Stream:
        """The stream, as `open_stream` promises it."""
        address, options = self._address, self._options
        if options.send_proxy is not None and address.transport.kind not in ("", "SOCK_STREAM"):
            raise OptionError(f"send_proxy: the header begins a stream, and {address.scheme} is none")
        websocket = websocket_for(address, options)
        if websocket is None:
            return await self._open_bytes()
        from socketkit.websocket.handshake import check_installed
        from socketkit.websocket.handshake import client_handshake as websocket_handshake

        check_installed()
        return await websocket_handshake(await self._open_bytes(), address, options)

    async def _open_bytes(self) -> Stream:
        """A stream of bytes, with TLS where it is wanted."""
        tls = tls_for(self._address, self._options)
        if tls is None:
            return await self._open_plain()
        side, name = client_for(tls, self._address)  # first: it is our own mistake if this fails
        return await client_handshake(await self._open_plain(), side, name, timeout=self._options.handshake_timeout)

    async def _open_plain(self) -> Stream:
        address, options = self._address, self._options
        deadline = self._engine.deadline(options.connect_timeout)
        chain: tuple[Proxy, ...] = ()
        if options.proxy is not None:
            from socketkit.client.proxies.dialler import chain_for

            chain = chain_for(address, options)
        if address.is_given:
            from socketkit.streams.inherited import open_local_stream  # only who is given something pays for it

            stream = open_local_stream(self._engine, address, options, observer=self._observer)
        elif chain:
            stream = await self._open_through(chain, deadline)
        else:
            stream = await self._open_socket(address, deadline)
        return stream if options.send_proxy is None else await self._announced(stream, options.send_proxy, deadline)

    async def _open_through(self, chain: tuple[Proxy, ...], deadline: float | None) -> Stream:
        """Connect to the first proxy, as to any address, and ask for the rest of the way."""
        from socketkit.client.proxies.dialler import connect_through, unreached

        try:
            stream = await self._open_socket(Address("tcp", chain[0].host, chain[0].port), deadline)
        except (OpenError, DeadlineError) as error:
            raise unreached(self._address, chain[0], error) from None
        return await connect_through(
            self._engine, stream, chain, self._address, self._options, lookup=self._lookup, deadline=deadline
        )

    async def _open_socket(self, address: Address, deadline: float | None) -> Stream:
        """Resolve the address of the target, or of the first proxy, and connect to a candidate."""
        engine, options, observer = self._engine, self._options, self._observer
        name_deadline = deadline_of_name(engine, options.connect_timeout)
        candidates = await resolve(engine, address, deadline=name_deadline, observer=observer, lookup=self._lookup)
        if deadline is not None and not address.is_numeric_host and engine.now() >= deadline:
            deadline = engine.now() + ATTEMPT_TIMEOUT_MIN
        sockets = Sockets(engine, address, options, observer)
        if candidates[0].kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            return sockets.open_datagrams(candidates)
        if len(candidates) == 1:
            stream = await sockets.connect(candidates[0], deadline)
            if stream is None:
                raise sockets.late() if sockets.is_late else sockets.refused()
            return stream
        race = HappyEyeballs(engine, sockets, candidates, delay=options.happy_eyeballs_delay, deadline=deadline)
        try:
            stream = await race.run()
        except OSError as error:  # the system is short of something that a race needs
            raise sockets.refused(error) from None
        if stream is None:
            raise sockets.late(race.untried) if race.is_late else sockets.refused()
        return stream

    async def _announced(self, stream: Stream, version: str, deadline: float | None) -> Stream:
        """The stream, on which we have said who calls, and where (`send_proxy`)."""
        from socketkit.connection.proxy_protocol import encode, for_version

        source, destination = self._on_behalf or (Address.parse(stream.local), Address.parse(stream.peer))
        header = for_version(int(version[1:]), source, destination)
        try:
            await stream.send(encode(header), deadline=deadline)
        except BaseException as error:
            stream.abort()
            if isinstance(error, StreamError):
                raise ConnectError(f"cannot connect to {stream.peer}: {error}", address=stream.peer) from None
            raise
        return stream


class Sockets:
    """The connector of Happy Eyeballs: real sockets.

    Remembers what came of each candidate, in the order in which they began.

    Args are those of `open_stream`.

    Attributes:
        is_late: whether `connect` gave up because the moment came.
    """

    def __init__(self, engine: Engine, address: Address, options: Options, observer: Observer | None) -> None:
        self._engine = engine
        self._address = address
        self._options = options
        self._observer = observer
        self._tried: dict[Candidate, Attempt] = {}
        self.is_late = False

    def begin(self, candidate: Candidate) -> socket.socket:
        """See `Connector`."""
        sock = self._open(candidate)
        try:
            begin_connect(sock, candidate.name)
        except BaseException:
            sock.close()
            raise
        return sock

    def finish(self, candidate: Candidate, sock: socket.socket) -> Stream:
        """See `Connector`."""
        try:
            finish_connect(sock)
            return self._wrap(candidate, sock)
        except ConnectionResetError as error:
            return self._wrap_lost(candidate, sock, error)

    def failed(self, candidate: Candidate, error: OSError) -> None:
        """See `Connector`."""
        self._tried[candidate] = _attempt(candidate, error)
        if self._observer is not None:
            self._observer(Failed(str(self._address), str(candidate), error))

    async def connect(self, candidate: Candidate, deadline: float | None) -> Stream | None:
        """Try the only candidate; None if it fails."""
        sock = None
        try:
            sock = self._open(candidate)
            try:
                await connect_socket(self._engine, sock, candidate.name, deadline=deadline)
                return self._wrap(candidate, sock)
            except ConnectionResetError as error:
                return self._wrap_lost(candidate, sock, error)
        except BaseException as error:
            if sock is not None:
                self._engine.unregister(sock.fileno())
                sock.close()
            if not isinstance(error, OSError):
                raise
            self.is_late = isinstance(error, DeadlineError)
            self.failed(candidate, error.with_traceback(None))
            return None

    def open_datagrams(self, candidates: list[Candidate]) -> Stream:
        """The first candidate with a route: no packet is sent, so there is nothing to wait for."""
        from socketkit.client.datagrams import dial_datagrams

        for candidate in candidates:
            self._begin(candidate)
            try:
                return dial_datagrams(self._engine, candidate, self._options, observer=self._observer)
            except OSError as error:
                self.failed(candidate, error.with_traceback(None))
        raise self.refused()

    def _begin(self, candidate: Candidate) -> None:
        self._tried[candidate] = Attempt(str(candidate), "no answer in time")
        if self._observer is not None:
            self._observer(Connecting(str(self._address), str(candidate)))

    def _open(self, candidate: Candidate) -> socket.socket:
        self._begin(candidate)
        sock = new_socket(candidate.family, candidate.kind, candidate.protocol, observer=self._observer)
        try:
            prepare(sock, self._options)
            bind_source(sock, self._options)
        except BaseException:
            sock.close()
            raise
        return sock

    def _wrap(self, candidate: Candidate, sock: socket.socket) -> Stream:
        _refuse_self(sock)
        peer = str(candidate) if candidate.family == getattr(socket, "AF_UNIX", None) else None
        return stream_from_socket(self._engine, sock, self._options, peer=peer)

    def _wrap_lost(self, candidate: Candidate, sock: socket.socket, error: ConnectionResetError) -> Stream:
        """A connection that the peer has thrown away as soon as it stood (RFC 9293, 3.10.7: before it stands, a reset
        is a refusal): what was said before can still be received, and then the loss is told. So it does not depend on
        who was faster whether that is a failure to connect."""
        stream = stream_from_socket(self._engine, sock, self._options, peer=str(candidate))
        if not isinstance(stream, SocketStream):
            raise error
        stream.lose(error)
        return stream

    def refused(self, error: OSError | None = None) -> ConnectError:
        """The error when every attempt failed, or when our own system could not start another."""
        attempts = tuple(self._tried.values())
        told = reason_of(error) if error is not None else _reasons(self._address, attempts)
        return ConnectError(
            f"cannot connect to {self._address}: {told}",
            address=str(self._address),
            errno=_telling(attempts) if error is None else error.errno,
            attempts=attempts,
        )

    def late(self, untried: Iterable[Candidate] = ()) -> DeadlineError:
        """The error at the deadline; some candidates may be untried."""
        left = [Attempt(str(candidate), "not tried: the time was over") for candidate in untried]
        attempts = (*self._tried.values(), *left)
        return DeadlineError(
            f"cannot connect to {self._address}: no answer within {self._options.connect_timeout:g} s "
            f"(connect_timeout): {'; '.join(map(str, attempts))}",
            attempts=attempts,
        )


def _refuse_self(sock: socket.socket) -> None:
    """Whether a socket is connected to itself: dialling a free ephemeral port can do so (TCP's simultaneous open)."""
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname() == name_of_peer(sock):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


_AWAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""No machine was reached: that this one has no IPv6, say, tells less than what another candidate's machine said."""


def _telling(attempts: tuple[Attempt, ...]) -> int | None:
    """The number that says most of several: of the first that reached a machine, else of the first."""
    numbers = [attempt.errno for attempt in attempts if attempt.errno is not None]
    reached = [number for number in numbers if number not in _AWAY]
    return next(iter(reached or numbers), None)


def _attempt(candidate: Candidate, error: OSError) -> Attempt:
    if isinstance(error, DeadlineError):
        return Attempt(str(candidate), "no answer in time")
    hint: str | None = None
    if isinstance(error, SettingError):
        hint = error.hint
    elif not isinstance(error, ConnectError):
        hint = _HINTS.get(error.errno or 0)
    reason = reason_of(error)
    return Attempt(str(candidate), f"{reason}: {hint}" if hint else reason, error.errno)


def _reasons(address: Address, attempts: tuple[Attempt, ...]) -> str:
    if len(attempts) == 1 and attempts[0].address == str(address.without_options()):
        return attempts[0].reason
    return "; ".join(map(str, attempts))
