"""`socketkit relay`: callers are put through to a target."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.callers import Callers, Network, parse_network
from socketkit.apps.journal import Journal
from socketkit.apps.passage import Limits
from socketkit.apps.relay import Plan, serve_relay
from socketkit.apps.targets import Balance
from socketkit.cli import arguments
from socketkit.cli.output import Status, say_failure, say_listening
from socketkit.errors import OptionError
from socketkit.kinds import parse_duration, parse_size
from socketkit.options import format_option

__all__ = ["relay"]

_TIME = arguments.Read("time", partial(parse_duration, minimum=0.001))
_NETWORK = arguments.Read("network", parse_network)


def _rate(text: str) -> int:
    return parse_size(text.removesuffix("/s"), minimum=1)


_RATE = arguments.Read("rate", _rate)


@click.command()
@click.argument("address", metavar="LISTEN", type=arguments.Read("address", Address.parse))
@click.argument("targets", metavar="TARGET...", type=arguments.Read("address", Address.parse), nargs=-1, required=True)
@click.option(
    "--balance",
    metavar="NAME",
    type=click.Choice([name.value for name in Balance]),
    default=Balance.FIRST.value,
    help="Which target is tried first: first (the others are spares; default), round-robin, or least (conversations).",
)
@click.option("--once", is_flag=True, help="Put the first caller through, then end.")
@click.option("--idle-timeout", metavar="TIME", type=_TIME, help="End a conversation after so long a silence.")
@click.option("--max-duration", metavar="TIME", type=_TIME, help="End a conversation after so long.")
@arguments.linger
@click.option("--rate", metavar="SIZE", type=_RATE, help="Bytes a second, each conversation and direction: 1MB.")
@click.option("--total-rate", metavar="SIZE", type=_RATE, help="The same for all conversations together.")
@click.option("--allow", metavar="NETWORK", type=_NETWORK, multiple=True, help="Let only these callers in; repeatable.")
@click.option("--deny", metavar="NETWORK", type=_NETWORK, multiple=True, help="Keep these out, whatever is allowed.")
@click.option(
    "--max-connections",
    metavar="COUNT",
    type=arguments.Read("count", partial(format_option, "max_connections")),
    help="Conversations at a time; others wait at the door (default 10000).",
)
@click.option("--access-log", metavar="FILE", type=click.Path(), help="Add a line of JSON for each conversation.")
@arguments.connect_timeout
@arguments.retry
@arguments.engine
@arguments.backlog
@arguments.ready_fd
@arguments.verbose
@arguments.explain
@arguments.debug
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
    allow: tuple[Network, ...],
    deny: tuple[Network, ...],
    access_log: str | None,
    connect_timeout: str | None,
    retry: str | None,
    backoff: str | None,
    engine: str | None,
    ready_fd: int | None,
    verbose: int,
    explain: bool,
    **options: Any,
) -> Status:
    """Put whoever calls at LISTEN through to a TARGET; the ends of both directions, and losses, are passed on.

    Of several targets one that does not answer is left alone for a while. Ends by SIGINT or SIGTERM: callers are let in
    no more, and conversations may end within ten seconds.
    """
    if (allow or deny) and address.path:
        raise OptionError("--allow and --deny name networks, and callers of a UNIX socket are in none; take its mode")
    way = arguments.engine_for(engine, address)
    plan = Plan(
        balance=Balance(balance),
        limits=Limits(idle_timeout, max_duration, linger),
        rate=rate,
        total_rate=total_rate,
        callers=Callers(allow, deny),
        journal=None if access_log is None else Journal(access_log),
        tell=say_failure,
    )
    serving = serve_relay(
        way,
        address,
        targets,
        plan,
        once=once,
        listening=lambda real: say_listening(real, ready_fd),
        target_options=arguments.given(connect_timeout=connect_timeout, retry=retry, backoff=backoff),
        observer=arguments.observer_for(verbose, explain, shows_data=verbose > 1),
        **arguments.given(**options),
    )
    way.run(serving)
    return Status.DONE
