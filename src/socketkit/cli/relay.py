"""`socketkit relay`: callers are put through to a target."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.journal import Journal
from socketkit.apps.passage import Limits
from socketkit.apps.relay import Plan, serve_relay
from socketkit.apps.targets import Balance
from socketkit.cli import arguments, tls
from socketkit.cli.lean import command, option
from socketkit.cli.output import Status, say_failure, say_listening
from socketkit.events import Observer
from socketkit.kinds import parse_duration, parse_size
from socketkit.options import format_option, parse_option

__all__ = ["relay"]

_TIME = arguments.Read("time", partial(parse_duration, minimum=0.001))


def _rate(text: str) -> int:
    return parse_size(text.removesuffix("/s"), minimum=1)


_RATE = arguments.Read("rate", _rate)


def _option(name: str) -> dict[str, Any]:
    """What an option of the library takes."""
    return {"metavar": "VALUE", "type": arguments.Read("value", partial(format_option, name))}


def _list_of(name: str) -> dict[str, Any]:
    """What one of its lists takes, each entry by itself or several with commas."""
    return {"metavar": "NETWORK", "type": arguments.Read("network", partial(format_option, name)), "multiple": True}


@command()
@click.argument("address", metavar="LISTEN", type=arguments.Read("address", Address.parse))
@click.argument("targets", metavar="TARGET...", type=arguments.Read("address", Address.parse), nargs=-1, required=True)
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
@arguments.linger
@option("--rate", metavar="SIZE", type=_RATE, help="Bytes a second, each conversation and direction: 1MB.")
@option("--total-rate", metavar="SIZE", type=_RATE, help="The same for all conversations together.")
@option("--allow", **_list_of("allow"), help="Let only these callers in: 10.0.0.0/8, fd00::1, unix; repeatable.")
@option("--deny", **_list_of("deny"), help="Keep these out, whatever is allowed; repeatable.")
@option("--max-connections", **_option("max_connections"), help="Conversations at a time (default 10000).")
@option("--max-per-peer", **_option("max_per_peer"), help="Conversations of one address at a time.")
@option("--accept-rate", **_option("accept_rate"), help="Callers a second.")
@option("--overload", **_option("overload"), help="What becomes of more callers: they wait (default), or reject.")
@option("--accept-proxy", **_list_of("accept_proxy"), help="Proxies that say by a PROXY header for whom they speak.")
@option("--send-proxy", **_option("send_proxy"), help="Tell targets by a PROXY header who calls: v1 or v2.")
@option("--access-log", metavar="FILE", type=click.Path(), help="Add a line of JSON for each conversation.")
@option("--bind", **_option("bind"), help="Where connections to targets come from: 192.0.2.1, [::1]:5000, :5000.")
@arguments.connect_timeout
@arguments.retry
@arguments.engine
@arguments.backlog
@arguments.ready_fd
@arguments.watching_passages
@tls.passing
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
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    accept_proxy: tuple[str, ...],
    send_proxy: str | None,
    access_log: str | None,
    bind: str | None,
    connect_timeout: str | None,
    retry: str | None,
    backoff: str | None,
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
    way = arguments.engine_for(engine, address)
    lists = {
        name: ",".join(given) or None
        for name, given in (("allow", allow), ("deny", deny), ("accept_proxy", accept_proxy))
    }
    own = dict(address.options).get("idle_timeout", "none")
    plan = Plan(
        balance=Balance(balance),
        limits=Limits(idle_timeout or parse_option("idle_timeout", own), max_duration, linger),
        rate=rate,
        total_rate=total_rate,
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
        target_options=arguments.given(
            bind=bind, send_proxy=send_proxy, connect_timeout=connect_timeout, retry=retry, backoff=backoff, **trust
        ),
        observer=observer,
        **arguments.given(**options, **lists),
    )
    number = way.run(serving)
    return Status.DONE if number is None or address.scheme != "stdio" else 128 + number  # a client's end
