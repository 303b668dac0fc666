"""The dynamic relay: read a client's request, connect to the destination that it names, and relay the bytes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from enum import StrEnum

from socketkit.apps.relay.dynamic.access import Access
from socketkit.apps.relay.dynamic.hidden_requests import HiddenRequests
from socketkit.apps.relay.dynamic.request import Destination, Dialogue, RequestError, Users
from socketkit.apps.relay.service import Plan, Relay, serve_with
from socketkit.apps.relay.upstreams import Target
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import (
    ConnectError,
    DeadlineError,
    HandshakeError,
    OptionError,
    SocketkitError,
    StreamError,
    TruncatedFrameError,
)
from socketkit.events import Observer
from socketkit.framing import of as framing_of
from socketkit.server.stream_listener import host_of
from socketkit.sockets.resolver import Candidate, deadline_of_name, resolve

__all__ = ["DEFAULT_ADDRESSES", "DynamicRelay", "Protocol", "serve_dynamic_relay"]


class Protocol(StrEnum):
    """What the clients speak."""

    SOCKS5 = "socks5"  # SOCKS4 and SOCKS4a as well, as ssh -D
    HTTP = "http"


DEFAULT_ADDRESSES = {Protocol.SOCKS5: "tcp://localhost:1080", Protocol.HTTP: "tcp://localhost:3128"}
"""Where each listens unless another address is given: on this machine only."""


class DynamicRelay(Relay):
    """Connects clients to the destinations that they ask for; otherwise as `Relay`."""

    def __init__(
        self,
        engine: Engine,
        protocol: Protocol,
        access: Access | None = None,
        plan: Plan | None = None,
        *,
        users: Users | None = None,
        is_single: bool = False,
        observer: Observer | None = None,
        **options: object,
    ) -> None:
        """Args:
            engine: runs already, or is about to.
            protocol: what the clients speak.
            access: which destinations are allowed.
            plan: as for `Relay`; `balance` has no meaning here.
            users: names and passwords; empty: no authentication.
            is_single, observer: as for `Relay`. A `HiddenRequests` is called when a request was read.
            options: by the names of `Options`, for connections to destinations.

        Raises:
            OptionError: an option is wrong, or `proxy` is given together with networks: names are resolved by the
                proxy then, and cannot be judged.
        """
        super().__init__(engine, (), plan, is_single=is_single, observer=observer)
        self._hidden = observer if isinstance(observer, HiddenRequests) else None
        self._protocol = Protocol(protocol)
        self._access = Access() if access is None else access
        self._users = users or {}
        self._requested: dict[int, str] = {}
        self._target_options = Options.make(self._plan.portion, options)
        if self._target_options.proxy is not None:
            allow = self._access.allow
            if self._access.deny.networks or (allow is not None and allow.networks):
                raise OptionError("proxy: it resolves the names, so networks of destinations cannot be judged here")

    async def _open_target(self, client: Connection) -> tuple[Target, Connection]:
        """Read the request and connect; the client gets its protocol's reply, also to a refusal.

        Raises:
            RequestError, DeadlineError, StreamError: no request came, or a wrong one, or one that is refused.
            ConnectError, ResolveError, DeadlineError: the destination is not allowed, or cannot be connected to.
        """
        destination = await self._receive_request(client)
        if self._plan.access_log is not None:
            self._requested[client.number] = str(destination)
        try:
            address, target = await self._connect(client, destination)
        except SocketkitError as error:
            await _refuse(client, destination.refused(error))
            raise
        try:
            local = target.local
            await client.send(destination.granted(local.host.partition("%")[0], local.port or 0))
            await client.flush()
        except BaseException:
            target.abort()
            raise
        return Target(address), target

    def _word_for(self, error: SocketkitError, has_target: bool) -> str:
        is_refused = isinstance(error, RequestError) or (isinstance(error, ConnectError) and not error.attempts)
        return "refused" if is_refused and not has_target else super()._word_for(error, has_target)

    def _more_facts(self, client: Connection) -> dict[str, str | None]:
        return {"requested": self._requested.pop(client.number, None)}

    async def _receive_request(self, client: Connection) -> Destination:
        timeout = client.internals.options.handshake_timeout
        try:
            if self._hidden is not None:
                self._hidden.begin(client)
            destination = await _run(client, self._dialogue(), self._engine.deadline(timeout))
            if self._hidden is not None:
                self._hidden.end(client)
            return destination
        except RequestError as error:
            await _refuse(client, error.reply)
            message = f"the request of {client.peer} is refused: {error}"
            raise RequestError(message, address=str(client.peer), errno=error.errno) from None
        except TruncatedFrameError:
            raise HandshakeError(f"the request of {client.peer} is cut off", address=str(client.peer)) from None
        except DeadlineError:
            raise DeadlineError(f"no whole request of {client.peer} within {timeout:g} s (handshake_timeout)") from None

    def _dialogue(self) -> Dialogue:
        if self._protocol is Protocol.HTTP:
            from socketkit.apps.relay.dynamic.http import http_dialogue

            return http_dialogue(self._users)
        from socketkit.apps.relay.dynamic.socks import socks_dialogue

        return socks_dialogue(self._users)

    async def _connect(self, client: Connection, destination: Destination) -> tuple[Address, Connection]:
        options = self._target_options
        address = Address("tcp", destination.host, destination.port)
        if self._access.denies_name(destination.host):
            raise _denied(address)
        if options.proxy is not None:
            if self._access.allow is not None and not self._access.allow.has_name(destination.host):
                raise _denied(address)
            found = None
        else:
            found = await self._permitted(client, address)
        connection = await open_connection(
            self._engine,
            address,
            framing_of("chunks"),
            options,
            observer=self._observer,
            on_behalf=(client.peer, client.local),
            **({} if found is None else {"lookup": found}),
        )
        return address, connection

    async def _permitted(self, client: Connection, address: Address) -> Callable[..., list[object]]:
        """The addresses that may be connected to, as a lookup: the name is not resolved a second time.

        Raises:
            ConnectError: there is none.
        """
        deadline = deadline_of_name(self._engine, self._target_options.connect_timeout)
        candidates = await resolve(self._engine, address, deadline=deadline, observer=self._observer)
        peer = host_of(client.peer)
        permitted = [each for each in candidates if self._access.permits(address.host, str(each.name[0]), peer)]
        if not permitted:
            raise _denied(address, candidates)
        answers: list[object] = [(each.family, each.kind, each.protocol, "", each.name) for each in permitted]
        return lambda *query: answers


def _denied(address: Address, candidates: Sequence[Candidate] = ()) -> ConnectError:
    numbers = ", ".join(str(each.name[0]) for each in candidates)
    found = f" ({numbers})" if numbers and numbers != address.host else ""
    return ConnectError(f"{address}{found} is not allowed as a destination", address=str(address), errno=errno.EACCES)


async def _run(client: Connection, dialogue: Dialogue, deadline: float | None) -> Destination:
    """Run a dialogue over a connection. What the client sent behind its request is left there."""
    answer: bytes | None = None
    while True:
        try:
            request = next(dialogue) if answer is None else dialogue.send(answer)
        except StopIteration as stopped:
            destination: Destination = stopped.value
            return destination
        if request.data:
            await client.send(request.data)
            await client.flush()
        answer = b""
        while count := request.missing(answer):
            left = None if deadline is None else max(0.0, deadline - client.engine.now())
            answer += await client.receive_exactly(count, timeout=left)


async def _refuse(client: Connection, reply: bytes) -> None:
    """Send the reply and close gracefully: a reset would take the reply back."""
    try:
        if reply:
            await client.send(reply)
        await client.close()
    except (StreamError, DeadlineError):
        pass  # the client has gone, or does not read: the error of the request counts


async def serve_dynamic_relay(
    engine: Engine,
    address: str | Address | Sequence[Address],
    protocol: Protocol | str,
    access: Access | None = None,
    plan: Plan | None = None,
    *,
    users: Users | None = None,
    once: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    target_options: dict[str, object] | None = None,
    observer: Observer | None = None,
    **options: object,
) -> int | None:
    """Serve clients that name their destinations, until SIGINT or SIGTERM; otherwise as `serve_relay`.

    Args:
        engine: runs already.
        address: where to listen; or several addresses.
        protocol: `socks5` (SOCKS4 and SOCKS4a as well) or `http` (CONNECT).
        access: which destinations are allowed; see `Access` for the default.
        plan: as for `Relay`.
        users: names and passwords; None: no authentication.
        once, listening, observer: as for `serve_relay`.
        target_options: by the names of `Options`, for connections to destinations.
        options: by the names of `Options`, for the clients.

    Returns:
        The number of the signal that ended it; None where there was none.

    Raises:
        As `serve_relay`.
    """
    watcher = HiddenRequests(observer) if observer is not None and users else observer

    def make(plan: Plan, is_single: bool) -> Relay:
        return DynamicRelay(
            engine,
            Protocol(protocol),
            access,
            plan,
            users=users,
            is_single=is_single,
            observer=watcher,
            **(target_options or {}),
        )

    addresses = [Address.parse(address)] if isinstance(address, (str, Address)) else list(address)
    for each in addresses:
        if each.transport.is_websocket:
            raise OptionError(f"{each}: clients of a proxy speak SOCKS5 or HTTP, and no WebSocket")
    return await serve_with(
        engine, addresses, (), make, plan, once=once, listening=listening, observer=watcher, **options
    )
