"""`socketkit relay`: connect each client to a target, and relay the bytes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import click

from socketkit.apps.relay.access_log import AccessLog
from socketkit.apps.relay.loop_check import refuse_own_address
from socketkit.apps.relay.service import Plan, serve_relay
from socketkit.apps.relay.upstreams import Balance
from socketkit.cli import common_options, server_options, tls_options, websocket_options
from socketkit.cli.common_options import Read, read_address
from socketkit.cli.fast_click import command, option
from socketkit.cli.output import Status, print_failure, print_line, print_listening
from socketkit.cli.server_options import serve_by_workers
from socketkit.cli.websocket_options import split_relay_options
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


def _listen_address(ctx: click.Context, parameter: click.Parameter, value: Address | None) -> Address | None:
    """LISTEN; with --dynamic it may be left out."""
    if value is not None or ctx.resilient_parsing:
        return value
    if ctx.params.get("dynamic") is None:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    from socketkit.apps.relay.dynamic.service import DEFAULT_ADDRESSES, Protocol

    return Address.parse(DEFAULT_ADDRESSES[Protocol(ctx.params["dynamic"])])


def _targets(ctx: click.Context, parameter: click.Parameter, value: tuple[Address, ...]) -> tuple[Address, ...]:
    """TARGET...; with --dynamic there is none."""
    is_dynamic = ctx.params.get("dynamic") is not None
    if not value and not is_dynamic and not ctx.resilient_parsing:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    if value and is_dynamic:
        raise click.UsageError("--dynamic takes no TARGET: each client says where to", ctx)
    return value


def _joined(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> str | None:
    return ",".join(value) or None


@command()
@click.argument(
    "address", metavar="LISTEN", type=Read("address", read_address), required=False, callback=_listen_address
)
@click.argument("targets", metavar="TARGET...", type=Read("address", read_address), nargs=-1, callback=_targets)
@option(
    "--dynamic",
    metavar="socks5|http",
    type=click.Choice(["socks5", "http"]),
    is_eager=True,
    help="Be a proxy: each client says where to, by SOCKS5 (or SOCKS4, SOCKS4a) or by HTTP CONNECT.",
)
@option(
    "--to-allow",
    metavar="PLACES",
    multiple=True,
    callback=_joined,
    help="With --dynamic: the only destinations: networks, addresses, names with subdomains; repeatable.",
)
@option(
    "--to-deny",
    metavar="PLACES",
    multiple=True,
    callback=_joined,
    help="With --dynamic: destinations that are refused, whatever is allowed; repeatable.",
)
@option("--user", "users", metavar="USER:PASSWORD", multiple=True, help="With --dynamic: who may use it; repeatable.")
@option(
    "--user-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The same from a file, one USER:PASSWORD a line.",
)
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
@websocket_options.relay
@common_options.debug
def relay(
    address: Address,
    targets: tuple[Address, ...],
    dynamic: str | None,
    to_allow: str | None,
    to_deny: str | None,
    users: tuple[str, ...],
    user_file: str | None,
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
    is_text: bool,
    headers: object,
    origin: object,
    subprotocols: object,
    origins: object,
    metrics_at: Address | None = None,
    **options: Any,
) -> int:
    """Connect each client of LISTEN to a TARGET; the ends of both directions, and losses, are relayed.

    What a stream brings is a binary message of a WebSocket (ws://), and the bytes of its messages are a stream.
    Of several targets one that does not answer is left alone for a while. Ends by SIGINT or SIGTERM: no more clients
    are accepted, and open connections may end within ten seconds.
    """
    if workers > 1 and once:
        raise OptionError("--once is for one process: leave --workers out")
    start, is_open = _service(dynamic, targets, to_allow, to_deny, _read_users(users, user_file))
    own = dict(address.options).get("idle_timeout", "none")
    plan = Plan(
        balance=Balance(balance),
        limits=Limits(idle_timeout or parse_option("idle_timeout", own), max_duration, linger),
        rate=rate,
        total_rate=total_rate,
        access_log=None if access_log is None else AccessLog(access_log),
        is_text=is_text,
        report=print_failure,
    )
    websocket = {"headers": headers, "origin": origin, "subprotocols": subprotocols, "origins": origins}
    own_websocket, target_websocket = split_relay_options(address, targets, is_text=is_text, given=websocket)
    how = common_options.given_options(**options) | own_websocket
    target_options = target_websocket | common_options.given_options(
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
                start(
                    way,
                    addresses,
                    plan=plan,
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
        if is_open and options["allow"] is None and not all(map(_is_of_this_machine, real)):
            print_line("every machine that can reach this proxy may use it: give --user, or --allow")

    if workers > 1:
        way = common_options.engine_for(engine, address)
        way.run(refuse_own_address(way, [address], targets))  # workers have inherited sockets, and no address
        serve_by_workers(
            [address], workers, serve, listening=report_listening, observer=observer, metrics_at=metrics_at, **how
        )
        return Status.DONE
    number = serve([address], report_listening)
    return Status.DONE if number is None or address.scheme != "stdio" else 128 + number  # a client's end


def _service(
    dynamic: str | None,
    targets: tuple[Address, ...],
    to_allow: str | None,
    to_deny: str | None,
    users: dict[str, str],
) -> tuple[Callable[..., Coroutine[Any, Any, int | None]], bool]:
    """The relay to serve, and whether it is a proxy without users.

    Raises:
        click.UsageError: an option of --dynamic without it.
        OptionError: a destination is none.
    """
    if dynamic is None:
        for flag, given in (("--to-allow", to_allow), ("--to-deny", to_deny), ("--user, --user-file", users)):
            if given:
                raise click.UsageError(f"{flag}: only for --dynamic socks5 or http")
        return partial(serve_relay, targets=targets), False
    from socketkit.apps.relay.dynamic.access import Access, Places, parse_places
    from socketkit.apps.relay.dynamic.service import serve_dynamic_relay

    access = Access(
        None if to_allow is None else parse_places(to_allow, name="--to-allow"),
        Places() if to_deny is None else parse_places(to_deny, name="--to-deny"),
    )
    return partial(serve_dynamic_relay, protocol=dynamic, access=access, users=users), not users


def _read_users(words: tuple[str, ...], path: str | None) -> dict[str, str]:
    """The users of --user and --user-file.

    Raises:
        OptionError: one is not USER:PASSWORD (it is not shown), or the file cannot be read.
    """
    lines = list(words)
    if path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                lines += [line for line in file.read().splitlines() if line and not line.startswith("#")]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise OptionError(f"--user-file {path}: {reason}") from None
        if not lines:
            raise OptionError(f"--user-file {path}: there is no USER:PASSWORD in it")
    users = {}
    for line in lines:
        user, colon, password = line.partition(":")
        if not user or not colon or not password or len(user.encode()) > 255 or len(password.encode()) > 255:
            raise OptionError("a user is given as USER:PASSWORD, both of 1 to 255 bytes")
        users[user] = password
    return users


def _is_of_this_machine(address: Address) -> bool:
    return address.host.startswith("127.") or address.host in ("::1", "localhost") or address.port is None
