"""`socketkit echo`: a server that sends back what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from socketkit.apps.echo import serve_echo
from socketkit.cli import common_options, server_options, tls_options, websocket_options
from socketkit.cli.fast_click import command, option
from socketkit.cli.output import Status, print_listening
from socketkit.cli.server_options import serve_by_workers
from socketkit.config.address import Address
from socketkit.errors import OptionError
from socketkit.events import Observer

__all__ = ["echo"]


@command()
@common_options.several_addresses
@option("--once", is_flag=True, help="Serve the first client only, then end.")
@common_options.framing
@common_options.engine
@common_options.backlog
@server_options.limits
@server_options.workers
@common_options.ready_fd
@common_options.with_observer_options
@server_options.metrics
@tls_options.server
@websocket_options.server
@common_options.debug
def echo(
    addresses: tuple[Address, ...],
    once: bool,
    workers: int,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    metrics_at: Address | None = None,
    **options: Any,
) -> Status:
    """Send back every message, to any number of clients (default address: tcp://localhost:50000).

    SIGINT or SIGTERM ends it: no client is accepted any more, and connections may end within ten seconds.
    """
    addresses = addresses or (Address.parse(common_options.DEFAULT_ADDRESS),)
    how = common_options.given_options(**options)

    def serve(places: Iterable[Address], listening: Callable[[tuple[Address, ...]], object]) -> None:
        way = common_options.engine_for(engine, *places)
        way.run(serve_echo(way, *places, once=once, listening=listening, observer=observer, **how))

    def say(real: tuple[Address, ...]) -> None:
        print_listening(real, ready_fd)

    if workers == 1:
        serve(addresses, say)
    elif once:
        raise OptionError("--once is for one process: leave --workers out")
    else:
        serve_by_workers(addresses, workers, serve, listening=say, observer=observer, metrics_at=metrics_at, **how)
    return Status.DONE
