"""`socketkit relay`: connect each client to a target, and relay the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.loop_check import refuse_own_address
from socketkit.apps.relay.service import Plan, serve_relay
from socketkit.apps.relay.upstreams import Balance
from socketkit.cli import common_options, server_options, tls_options
from socketkit.cli.common_options import Read, read_address
from socketkit.cli.fast_click import command, option
from socketkit.cli.output import Status, print_failure, print_listening
from socketkit.cli.server_options import serve_by_workers
from socketkit.config.address import Address
from socketkit.config.durations import parse_duration
from socketkit.config.option_types import parse_size
from socketkit.config.options import format_option, parse_option
from socketkit.connection.tunnel import Limits
from socketkit.errors import OptionError
from socketkit.events import Observer

__all__ = ["relay"]

_TIME = Read("time", partial(parse_duration, minimum=0.001))


def _rate(text: str) -> int:
    return parse_size(text.removesuffix("/s"), minimum=1)


_RATE = Read("rate", _rate)


def _option(name: str) -> dict[str, Any]:
    """The type of an option of the library."""
    return {"metavar": "VALUE", "type": Read("value", partial(format_option, name))}


_LIMITS = (
    "allow",
    "deny",
    "max_connections",
    "max_per_peer",
    "accept_rate",
    "overload",
    "handshake_timeout",
    "accept_proxy",
    "takeover",
)
"""`idle_timeout` is not among them: a relay has its own, of both directions together."""


@command()
@click.argument("address", metavar="LISTEN", type=Read("address", read_address))
@click.argument("targets", metavar="TARGET...", type=Read("address", read_address), nargs=-1, required=True)
@option(
    "--balance",
    metavar="NAME",
    type=click.Choice([name.value for name in Balance]),
    default=Balance.FIRST.value,
    help="Which target is tried first: first (the others are spares; default), round-robin, or least (connections).",
)
@option("--once", is_flag=True, help="Serve the first client, then end.")
@option("--idle-timeout", metavar="TIME", type=_TIME, help="End a connection after this time without a byte.")
@option("--max-duration", metavar="TIME", type=_TIME, help="End a connection after this time.")
@common_options.linger
@option("--rate", metavar="SIZE", type=_RATE, help="Bytes a second, each connection and direction: 1MB.")
@option("--total-rate", metavar="SIZE", type=_RATE, help="The same for all connections together.")
@server_options.some_limits(*_LIMITS)
@option("--access-log", metavar="FILE", type=click.Path(), help="Append a line of JSON for each connection.")
@option("--bind", **_option("bind"), help="The source address of connections to targets: 192.0.2.1, [::1]:5000, :5000.")
@common_options.connect_timeout
@common_options.retry
@common_options.send_proxy
@common_options.proxy
@server_options.workers
@common_options.engine
@common_options.backlog
@common_options.ready_fd
@common_options.watching_passages
@server_options.metrics
@tls_options.relay
@common_options.debug
def relay(
    address: Address,
    targets: tuple[Address, ...],
    balance: str,
    once: bool,
    idle_timeout: float | None,
    max_duration: float | None,
    linger: float | None,
    rate: int | None,
    total_rate: int | None,
    send_proxy: str | None,
    proxy: str | None,
    access_log: str | None,
    bind: str | None,
    connect_timeout: str | None,
    retry: str | None,
    backoff: str | None,
    workers: int,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    trust: dict[str, Any],
    metrics_at: Address | None = None,
    **options: Any,
) -> int:
    """Connect each client of LISTEN to a TARGET; the ends of both directions, and losses, are relayed.

    Of several targets one that does not answer is left alone for a while. Ends by SIGINT or SIGTERM: no more clients
    are accepted, and open connections may end within ten seconds.
    """
    if workers > 1 and once:
        raise OptionError("--once is for one process: leave --workers out")
    own = dict(address.options).get("idle_timeout", "none")
    plan = Plan(
        balance=Balance(balance),
        limits=Limits(idle_timeout or parse_option("idle_timeout", own), max_duration, linger),
        rate=rate,
        total_rate=total_rate,
        access_log=None if access_log is None else AccessLog(access_log),
        report=print_failure,
    )
    how = common_options.given_options(**options)
    target_options = common_options.given_options(
        bind=bind,
        send_proxy=send_proxy,
        proxy=proxy,
        connect_timeout=connect_timeout,
        retry=retry,
        backoff=backoff,
        **trust,
    )

    def serve(addresses: Sequence[Address], listening: Callable[[tuple[Address, ...]], object]) -> int | None:
        way = common_options.engine_for(engine, *addresses)
        try:
            return way.run(
                serve_relay(
                    way,
                    addresses,
                    targets,
                    plan,
                    once=once,
                    listening=listening,
                    target_options=target_options,
                    observer=observer,
                    **how,
                )
            )
        finally:
            missing_count = 0 if plan.access_log is None else plan.access_log.close()
            if missing_count:
                print_failure(f"the access log misses {missing_count} lines at its end")

    def report_listening(real: tuple[Address, ...]) -> None:
        print_listening(real, ready_fd)

    if workers > 1:
        way = common_options.engine_for(engine, address)
        way.run(refuse_own_address(way, [address], targets))  # workers have inherited sockets, and no address
        serve_by_workers(
            [address], workers, serve, listening=report_listening, observer=observer, metrics_at=metrics_at, **how
        )
        return Status.DONE
    number = serve([address], report_listening)
    return Status.DONE if number is None or address.scheme != "stdio" else 128 + number  # a client's end
