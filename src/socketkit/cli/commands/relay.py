"""`socketkit relay`: callers are put through to a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.service import Plan, serve_relay
from socketkit.apps.relay.tunnel import Limits
from socketkit.apps.relay.upstreams import Balance
from socketkit.cli import common_options, server_options, tls_options
from socketkit.cli.common_options import Read
from socketkit.cli.fast_click import command, option
from socketkit.cli.output import Status, print_failure, print_listening
from socketkit.cli.server_options import serve_by_workers
from socketkit.config.address import Address
from socketkit.config.durations import parse_duration
from socketkit.config.option_types import parse_size
from socketkit.config.options import format_option, parse_option
from socketkit.errors import OptionError
from socketkit.events import Observer

__all__ = ["relay"]

_TIME = Read("time", partial(parse_duration, minimum=0.001))


def _rate(text: str) -> int:
    return parse_size(text.removesuffix("/s"), minimum=1)


_RATE = Read("rate", _rate)


def _option(name: str) -> dict[str, Any]:
    """What an option of the library takes."""
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
"""`idle_timeout` is a relay's own: of both directions together."""


@command()
@click.argument("address", metavar="LISTEN", type=Read("address", Address.parse))
@click.argument("targets", metavar="TARGET...", type=Read("address", Address.parse), nargs=-1, required=True)
@option(
    "--balance",
    metavar="NAME",
    type=click.Choice([name.value for name in Balance]),
    default=Balance.FIRST.value,
    help="Which target is tried first: first (the others are spares; default), round-robin, or least (conversations).",
)
@option("--once", is_flag=True, help="Put the first caller through, then end.")
@option("--idle-timeout", metavar="TIME", type=_TIME, help="End a conversation after so long a silence.")
@option("--max-duration", metavar="TIME", type=_TIME, help="End a conversation after so long.")
@common_options.linger
@option("--rate", metavar="SIZE", type=_RATE, help="Bytes a second, each conversation and direction: 1MB.")
@option("--total-rate", metavar="SIZE", type=_RATE, help="The same for all conversations together.")
@server_options.some_limits(*_LIMITS)
@option("--access-log", metavar="FILE", type=click.Path(), help="Add a line of JSON for each conversation.")
@option("--bind", **_option("bind"), help="Where connections to targets come from: 192.0.2.1, [::1]:5000, :5000.")
@common_options.connect_timeout
@common_options.retry
@common_options.send_proxy
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
    **options: Any,
) -> int:
    """Put whoever calls at LISTEN through to a TARGET; the ends of both directions, and losses, are passed on.

    Of several targets one that does not answer is left alone for a while. Ends by SIGINT or SIGTERM: callers are let in
    no more, and conversations may end within ten seconds.
    """
    if workers > 1 and once:
        raise OptionError("--once is for one process: leave --workers out")
    own = dict(address.options).get("idle_timeout", "none")
    plan = Plan(
        balance=Balance(balance),
        limits=Limits(idle_timeout or parse_option("idle_timeout", own), max_duration, linger),
        rate=rate,
        total_rate=total_rate,
        journal=None if access_log is None else AccessLog(access_log),
        tell=print_failure,
    )
    how = common_options.given_options(**options)
    ways = common_options.given_options(
        bind=bind, send_proxy=send_proxy, connect_timeout=connect_timeout, retry=retry, backoff=backoff, **trust
    )

    def serve(places: Sequence[Address], listening: Callable[[tuple[Address, ...]], object]) -> int | None:
        way = common_options.engine_for(engine, *places)
        return way.run(
            serve_relay(
                way,
                places,
                targets,
                plan,
                once=once,
                listening=listening,
                target_options=ways,
                observer=observer,
                **how,
            )
        )

    def say(real: tuple[Address, ...]) -> None:
        print_listening(real, ready_fd)

    if workers > 1:
        serve_by_workers([address], workers, serve, listening=say, observer=observer, **how)
        return Status.DONE
    number = serve([address], say)
    return Status.DONE if number is None or address.scheme != "stdio" else 128 + number  # a client's end
