"""Relay: whoever calls here is put through to a target, and every byte goes over as it is, in both directions.

The ends of a conversation are passed on as they were: an end of one direction as that, a loss as a loss. Whatever goes
wrong ends its own conversation and nothing else. Prints nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from socketkit.api import serve
from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.token_bucket import Bucket, portion_of
from socketkit.apps.relay.tunnel import Limits, Pace, hold
from socketkit.apps.relay.upstreams import Balance, Target, Targets
from socketkit.apps.single_client import SingleClient
from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.endpoint import options_at
from socketkit.engines.engine import Engine
from socketkit.errors import Attempt, ConnectError, DeadlineError, OpenError, SocketkitError
from socketkit.events import Event, Observer, Refused, combine
from socketkit.framing import of as framing_of
from socketkit.server.run import serve_until_signal
from socketkit.sockets.accept_errors import is_resource_shortage
from socketkit.streams.copy import Pipes, UntakenError
from socketkit.streams.pipes import PipeStream

__all__ = ["Plan", "Relay", "serve_relay"]

_ONE = ("stdio", "exec")
"""Schemes whose only caller is there already."""


class Plan:
    """How a relay is to work; everything has a default.

    Attributes:
        balance: which target is tried first.
        limits: how long a conversation may take.
        rate, total_rate: bytes a second, in each direction, of one conversation and of all; None: as fast as it goes.
        journal: where each conversation is written down; None: nowhere.
        tell: is told, in a line, when a target does not answer, and when it does again.
    """

    def __init__(
        self,
        *,
        balance: Balance = Balance.FIRST,
        limits: Limits | None = None,
        rate: int | None = None,
        total_rate: int | None = None,
        journal: AccessLog | None = None,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.balance = balance
        self.limits = Limits() if limits is None else limits
        self.rate = rate
        self.total_rate = total_rate
        self.journal = journal
        self.tell = tell

    @property
    def portion(self) -> dict[str, object]:
        """The option that makes portions small enough for the rates."""
        rates = [rate for rate in (self.rate, self.total_rate) if rate]
        if not rates:
            return {}
        return {"receive_size": min(portion_of(min(rates)), Options.fields["receive_size"].default)}


class Relay:
    """Puts callers through. `talk` is the handler for a server."""

    def __init__(
        self,
        engine: Engine,
        targets: Sequence[Address],
        plan: Plan | None = None,
        *,
        is_single: bool = False,
        observer: Observer | None = None,
        **options: object,
    ) -> None:
        """Args:
            engine: runs already, or is about to.
            targets: at least one.
            plan: how to work.
            is_single: there will be one conversation, whose own failure says what the plan would be told of targets.
            observer: is told what happens, as events. One that wants data is shown every byte, which costs a copy.
            options: by the names of `Options`, for the way to the targets.

        Raises:
            OptionError: an option is wrong.
        """
        self._engine = engine
        self._plan = plan = Plan() if plan is None else plan
        self._observer = observer
        self._how = {address: options_at(address, plan.portion, options) for address in targets}
        self._targets = Targets(targets, plan.balance)
        shared = (Bucket(plan.total_rate), Bucket(plan.total_rate)) if plan.total_rate else ()
        self._pace = Pace(Pipes(), plan.rate, shared)
        self._journal_is_broken = False
        self._tell = (lambda line: None) if is_single else plan.tell

    async def talk(self, client: Connection) -> None:
        """Put one caller through to a target, to the end.

        Raises:
            ConnectError, DeadlineError: no target answered; the caller was reset.
            SocketkitError: as `passage.hold`.
        """
        began = self._engine.now()
        target: Connection | None = None
        end = "stopped"
        failure: SocketkitError | None = None
        try:
            try:
                place, target = await self._open_target(client)
                await self._hold(client, place, target)
                end = "done"
            except SocketkitError as error:
                if _is_closed_output(error, client):
                    end = "done"
                    return
                failure = error
                end = _word_for(error, target is not None)
                client.internals.set_cause(error)
                raise
            finally:
                client.abort()  # closed already after a clean end
        finally:
            if self._plan.journal is not None:
                self._write(client, target, end, failure, self._engine.now() - began)

    async def talk_quietly(self, client: Connection) -> None:
        """The same for a server: what went wrong is in the end event."""
        try:
            await self.talk(client)
        except SocketkitError:
            pass

    async def _hold(self, client: Connection, place: Target, target: Connection) -> None:
        place.active_count += 1
        try:
            await hold(
                client,
                target,
                limits=self._plan.limits,
                pace=self._pace,
                observer=self._observer,
            )
        finally:
            place.active_count -= 1

    # --- the targets ---

    async def _open_target(self, client: Connection) -> tuple[Target, Connection]:
        """A connection to the first target that answers; one that wants to know who calls (`send_proxy`) is told of the
        client, and not of us.

        Raises:
            ConnectError, ResolveError, DeadlineError: none does; of several, a ConnectError that names each.
        """
        attempts: list[Attempt] = []
        for place in self._targets.in_order(self._engine.now()):
            address = place.address
            try:
                connection = await open_connection(
                    self._engine,
                    address,
                    framing_of("chunks"),
                    self._how[address],
                    observer=self._observer,
                    on_behalf=(client.peer, client.local),
                )
            except (OpenError, DeadlineError) as error:
                if not is_resource_shortage(error):  # else it is ours
                    self._note_failure(place, error)
                if len(self._targets) == 1:
                    raise
                attempts.append(Attempt(str(address), str(error), getattr(error, "errno", None)))
            else:
                if place.has_answered():
                    self._tell(f"{address} answers again")
                return place, connection
        raise ConnectError(
            f"no target answers: {'; '.join(attempt.reason for attempt in attempts)}",
            errno=attempts[0].errno,
            attempts=tuple(attempts),
        )

    def _note_failure(self, place: Target, error: Exception) -> None:
        rest = place.has_failed(self._engine.now())
        if place.failed_count == 1:  # once an episode
            left_alone = f"; left alone for {format_duration(rest)}" if len(self._targets) > 1 else ""
            self._tell(f"{error}{left_alone}")

    # --- the journal ---

    def _write(
        self, client: Connection, target: Connection | None, end: str, failure: Exception | None, seconds: float
    ) -> None:
        journal, statistics = self._plan.journal, client.statistics()
        assert journal is not None
        facts: dict[str, Any] = {
            "client": str(client.peer),
            "local": str(client.local),
            "target": None if target is None else str(target.peer),
            "received": statistics.received_size,
            "sent": statistics.sent_size,
            "seconds": round(seconds, 3),
            "end": end,
        }
        if failure is not None:
            facts["error"] = str(failure)
        try:
            journal.write(**facts)
            self._journal_is_broken = False
        except OSError as error:
            if not self._journal_is_broken:  # once an episode
                self._journal_is_broken = True
                self._tell(f"the access log cannot be written, and misses lines: {error}")


def _word_for(error: SocketkitError, has_target: bool) -> str:
    """How a conversation ended, in a word for whoever counts."""
    if not has_target:
        return "unreachable"
    return "limit" if isinstance(error, DeadlineError) else "broken"


def _is_closed_output(error: SocketkitError, client: Connection) -> bool:
    """Whether standard output was closed by its reader, who has had enough: no failure."""
    return (
        isinstance(error, UntakenError)
        and error.errno == errno.EPIPE
        and error.sink is client.internals.stream
        and isinstance(client.internals.stream, PipeStream)
    )


class _Refusals:
    """Writes down who was not even let in."""

    wants_data = False

    def __init__(self, journal: AccessLog) -> None:
        self._journal = journal

    def __call__(self, event: Event) -> None:
        if isinstance(event, Refused):
            facts = {"received": 0, "sent": 0, "seconds": 0.0, "end": "refused", "error": event.reason}
            with suppress(OSError):  # the next conversation tells of it
                self._journal.write(client=event.peer, local=event.local, target=None, **facts)


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
    **options: object,
) -> int | None:
    """Relay until SIGINT or SIGTERM, then drain; a second signal ends it at once. Where the only caller is there
    already (standard input and output, a child), until that one has ended.

    Args:
        engine: runs already.
        address: where callers come; or several.
        targets: at least one; see `Relay`.
        plan: how to work.
        once: for the first caller only; others are refused, and it ends when that one has ended.
        listening: is told the real addresses when callers can come.
        target_options: by the names of `Options`, for the way to the targets.
        observer: as for `Relay`.
        options: likewise, for the callers.

    Returns:
        The number of the signal that ended it; None where there was none.

    Raises:
        AddressError, OptionError: at once, before anything is opened.
        ResolveError, ListenError: nobody can listen at the address.
        SocketkitError: with `once`, how its conversation was lost.
        OSError: callers could not be let in any more.
    """
    plan = Plan() if plan is None else plan
    places = [Address.parse(address)] if isinstance(address, (str, Address)) else list(address)
    if any(place.scheme in _ONE for place in places):
        once, options["grace"] = True, 0
    relay = Relay(engine, targets, plan, is_single=once, observer=observer, **(target_options or {}))
    only = SingleClient(engine, relay.talk)
    if once:
        options["max_connections"] = 1
    handler = only.talk if once else relay.talk_quietly
    watcher = combine(observer, _Refusals(plan.journal) if plan.journal is not None else None)
    how = {**plan.portion, **options}
    async with serve(handler, *places, framing="chunks", engine=engine, observer=watcher, **how) as server:

        def begin(addresses: tuple[Address, ...]) -> None:
            listening(tuple(address for address in addresses if address.scheme not in _ONE))
            only.open(server)

        number = await serve_until_signal(server, listening=begin)
    if only.failure is not None and number is None:
        raise only.failure.with_traceback(None)
    return number
