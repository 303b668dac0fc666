"""The relay: each client is connected to a target, and every byte is relayed unchanged, in both directions.

An end of stream is relayed as an end of stream, a loss as a reset. A failure ends its own connection and nothing else.
Prints nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from socketkit.api import serve
from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.loop_check import open_relay
from socketkit.apps.relay.rates import LimitedPace
from socketkit.apps.relay.relay_events import RelayEnded, RelayStarted
from socketkit.apps.relay.token_bucket import TokenBucket, portion_of
from socketkit.apps.relay.upstreams import Balance, Target, Targets
from socketkit.apps.single_client import SingleClient
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.options import Options, check_addresses, check_verb
from socketkit.connection.connection import Connection
from socketkit.connection.tunnel import Limits, close_because, run_tunnel
from socketkit.endpoint import options_at
from socketkit.engines.engine import Engine
from socketkit.errors import Attempt, ConnectError, DeadlineError, OpenError, SocketkitError
from socketkit.events import Event, Observer, Refused, combine, guarded
from socketkit.framing import of as framing_of
from socketkit.server.run import OpenUntilSignal, serve_until_signal
from socketkit.sockets.accept_errors import is_resource_shortage
from socketkit.streams.copy import Pipes, UntakenError
from socketkit.streams.pipes import PipeStream

__all__ = ["Plan", "Relay", "serve_relay", "serve_with"]

_SINGLE_CLIENT = ("stdio", "exec")
"""Schemes with one client, which is connected already."""


class Plan:
    """The settings of a relay; all have defaults.

    Attributes:
        balance: which target is tried first.
        limits: how long a connection may last.
        rate, total_rate: bytes a second in each direction, of one connection and of all; None: no limit.
        access_log: gets a line for each connection; None: none is written.
        is_text: whether a WebSocket gets bytes as text messages, and not as binary ones.
        report: called with a line when a target fails, and when it answers again.
    """

    def __init__(
        self,
        *,
        balance: Balance = Balance.FIRST,
        limits: Limits | None = None,
        rate: int | None = None,
        total_rate: int | None = None,
        access_log: AccessLog | None = None,
        is_text: bool = False,
        report: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.balance = balance
        self.limits = Limits() if limits is None else limits
        self.rate = rate
        self.total_rate = total_rate
        self.access_log = access_log
        self.is_text = is_text
        self.report = report

    @property
    def portion(self) -> dict[str, object]:
        """The options that make portions small enough for the rates."""
        rates = [rate for rate in (self.rate, self.total_rate) if rate]
        if not rates:
            return {}
        return {"receive_size": min(portion_of(min(rates)), Options.fields["receive_size"].default)}


class Relay:
    """Connects clients to targets. `serve_client` is the handler for a server."""

    def __init__(
        self,
        engine: Engine,
        targets: Sequence[Address],
        plan: Plan | None = None,
        *,
        is_single: bool = False,
        observer: Observer | None = None,
        **options: Any,
    ) -> None:
        """Args:
            engine: runs already, or is about to.
            targets: at least one.
            plan: its settings.
            is_single: there is one connection, whose failure is raised; failed targets are not reported too.
            observer: called with each event. One that wants data costs a copy of every byte.
            options: by the names of `Options`, for connections to the targets.

        Raises:
            OptionError: an option is wrong.
        """
        self._engine = engine
        self._plan = plan = Plan() if plan is None else plan
        self._observer = guarded(observer)
        check_verb(options, "connect")
        check_addresses(options, targets)
        self._options_of = {address: options_at(address, plan.portion, options) for address in targets}
        self._targets = Targets(targets, plan.balance)
        shared = (TokenBucket(plan.total_rate), TokenBucket(plan.total_rate)) if plan.total_rate else ()
        self._pace = LimitedPace(Pipes(), plan.rate, shared)
        self._log_is_failing = False
        self._report = (lambda line: None) if is_single else plan.report

    async def relay_client(self, client: Connection) -> None:
        """Relay between one client and a target, to the end.

        Raises:
            ConnectError, DeadlineError: no target could be connected to; the client was reset.
            SocketkitError: as `run_tunnel`.
        """
        began = self._engine.now()
        target: Connection | None = None
        end = "stopped"
        failure: SocketkitError | None = None
        try:
            try:
                upstream, target = await self._open_target(client)
                await self._run(client, upstream, target)
                end = "done"
            except SocketkitError as error:
                if _is_closed_output(error, client):
                    end = "done"
                    return
                failure = error
                end = self._word_for(error, target is not None)
                client.internals.set_cause(error)
                close_because(client, error)
                raise
            finally:
                client.abort()  # closed already after a clean end
        finally:
            seconds = self._engine.now() - began
            if self._observer is not None:
                self._report_end(self._observer, client, target, end, failure, seconds)
            if self._plan.access_log is not None:
                self._write(client, target, end, failure, seconds)

    async def serve_client(self, client: Connection) -> None:
        """The same as a server's handler: it raises nothing, the error is in the end event."""
        try:
            await self.relay_client(client)
        except SocketkitError:
            pass

    def _report_end(
        self,
        observer: Observer,
        client: Connection,
        target: Connection | None,
        end: str,
        failure: Exception | None,
        seconds: float,
    ) -> None:
        statistics = client.statistics()
        observer(
            RelayEnded(
                client.number,
                str(client.peer),
                None if target is None else str(target.peer),
                statistics.received_size,
                statistics.sent_size,
                seconds,
                end,
                failure,
            )
        )

    async def _run(self, client: Connection, upstream: Target, target: Connection) -> None:
        upstream.active_count += 1
        if self._observer is not None:
            self._observer(RelayStarted(client.number, target.number, str(client.peer), str(target.peer)))
        try:
            await run_tunnel(
                client,
                target,
                limits=self._plan.limits,
                pace=self._pace,
                observer=self._observer,
                is_text=self._plan.is_text,
            )
        finally:
            upstream.active_count -= 1

    async def _open_target(self, client: Connection) -> tuple[Target, Connection]:
        """Connect to the first target that answers. With `send_proxy` the header names the client, not the relay.

        Raises:
            ConnectError, ResolveError, DeadlineError: none does; of several targets, a ConnectError that names each.
        """
        attempts: list[Attempt] = []
        for upstream in self._targets.in_order(self._engine.now()):
            address = upstream.address
            try:
                connection = await open_connection(
                    self._engine,
                    address,
                    framing_of("chunks"),
                    self._options_of[address],
                    observer=self._observer,
                    on_behalf=(client.peer, client.local),
                )
            except (OpenError, DeadlineError) as error:
                if not is_resource_shortage(error):  # a shortage is not the target's failure
                    self._note_failure(upstream, error)
                if len(self._targets) == 1:
                    raise
                attempts.append(Attempt(str(address), str(error), getattr(error, "errno", None)))
            else:
                if upstream.has_answered():
                    self._report(f"{address} answers again")
                return upstream, connection
        raise ConnectError(
            f"no target answers: {'; '.join(attempt.reason for attempt in attempts)}",
            errno=attempts[0].errno,
            attempts=tuple(attempts),
        )

    def _word_for(self, error: SocketkitError, has_target: bool) -> str:
        """How a connection ended, in a word for the access log."""
        if not has_target:
            return "unreachable"
        return "limit" if isinstance(error, DeadlineError) else "broken"

    def _more_facts(self, client: Connection) -> dict[str, str | None]:
        """Further fields of the access log."""
        return {}

    def _note_failure(self, upstream: Target, error: Exception) -> None:
        backoff = upstream.has_failed(self._engine.now())
        if upstream.failed_count == 1:  # once an episode
            left_alone = f"; left alone for {format_duration(backoff)}" if len(self._targets) > 1 else ""
            self._report(f"{error}{left_alone}")

    def _write(
        self, client: Connection, target: Connection | None, end: str, failure: Exception | None, seconds: float
    ) -> None:
        log, statistics = self._plan.access_log, client.statistics()
        assert log is not None
        facts: dict[str, Any] = {
            "client": str(client.peer),
            "local": str(client.local),
            "target": None if target is None else str(target.peer),
            **self._more_facts(client),
            "received": statistics.received_size,
            "sent": statistics.sent_size,
            "seconds": round(seconds, 3),
            "end": end,
        }
        if failure is not None:
            facts["error"] = str(failure)
        try:
            log.write(**facts)
            self._log_is_failing = False
        except OSError as error:
            if not self._log_is_failing:  # once an episode
                self._log_is_failing = True
                self._report(f"the access log cannot be written, and misses lines: {error}")


def _is_closed_output(error: SocketkitError, client: Connection) -> bool:
    """Whether standard output was closed by its reader, as `head` does: no failure."""
    return (
        isinstance(error, UntakenError)
        and error.errno == errno.EPIPE
        and error.sink is client.internals.stream
        and isinstance(client.internals.stream, PipeStream)
    )


class _Refusals:
    """Logs the clients that the server refused."""

    wants_data = False

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    def __call__(self, event: Event) -> None:
        if isinstance(event, Refused):
            facts = {"received": 0, "sent": 0, "seconds": 0.0, "end": "refused", "error": event.reason}
            with suppress(OSError):  # the next connection reports it
                self._log.write(client=event.peer, local=event.local, target=None, **facts)


async def serve_relay(
    engine: Engine,
    address: str | Address | Sequence[Address],
    targets: Sequence[Address],
    plan: Plan | None = None,
    *,
    once: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    target_options: dict[str, object] | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> int | None:
    """Relay until SIGINT or SIGTERM, then drain; a second signal ends it at once. Where the only client is connected
    already (standard input and output, a child), until that one has ended.

    Args:
        engine: runs already.
        address: where to listen; or several addresses.
        targets: at least one; see `Relay`.
        plan: its settings.
        once: for the first client only; others are refused, and it ends when that one has ended.
        listening: called with the real addresses once clients can connect.
        target_options: by the names of `Options`, for connections to the targets.
        observer: as for `Relay`.
        options: by the names of `Options`, for the clients.

    Returns:
        The number of the signal that ended it; None where there was none.

    Raises:
        AddressError, OptionError: at once, before anything is opened; also where a target is the relay itself.
        ResolveError, ListenError: the address cannot be listened at.
        SocketkitError: with `once`, how its connection was lost.
        OSError: no more connections can be accepted.
    """

    def make(plan: Plan, is_single: bool) -> Relay:
        return Relay(engine, targets, plan, is_single=is_single, observer=observer, **(target_options or {}))

    return await serve_with(
        engine, address, targets, make, plan, once=once, listening=listening, observer=observer, **options
    )


async def serve_with(
    engine: Engine,
    address: str | Address | Sequence[Address],
    targets: Sequence[Address],
    make: Callable[[Plan, bool], Relay],
    plan: Plan | None = None,
    *,
    once: bool = False,
    listening: Callable[[tuple[Address, ...]], object] = lambda addresses: None,
    observer: Observer | None = None,
    **options: object,
) -> int | None:
    """Serve the relay that `make` gives; see `serve_relay`. `make` is called with the plan, and whether there is one
    client only."""
    plan = Plan() if plan is None else plan
    addresses = [Address.parse(address)] if isinstance(address, (str, Address)) else list(address)
    if any(each.scheme in _SINGLE_CLIENT for each in addresses):
        once, options["grace"] = True, 0
    relay = make(plan, once)
    only = SingleClient(engine, relay.relay_client)
    if once:
        options |= only.limit(addresses)
    handler = only.talk if once else relay.serve_client
    watcher = combine(observer, _Refusals(plan.access_log) if plan.access_log is not None else None)
    how: dict[str, Any] = {**plan.portion, **options}
    opening = OpenUntilSignal(
        engine, serve(handler, *addresses, framing="chunks", engine=engine, observer=watcher, **how)
    )
    async with open_relay(engine, addresses, targets), opening as server:
        if server is None:
            return opening.number

        def begin(real: tuple[Address, ...]) -> None:
            listening(tuple(address for address in real if address.scheme not in _SINGLE_CLIENT))
            only.open(server)

        # Once more: for inherited sockets, and a port that was chosen now.
        async with open_relay(engine, server.addresses, targets):
            number = await serve_until_signal(server, listening=begin)
    if only.failure is not None and number is None:
        raise only.failure.with_traceback(None)
    return number
