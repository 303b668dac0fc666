"""`socketkit echo`: a server that sends back what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from socketkit.address import Address
from socketkit.apps.echo import serve_echo
from socketkit.cli import arguments, limits, tls
from socketkit.cli.lean import command, option
from socketkit.cli.limits import serve_by_workers
from socketkit.cli.output import Status, say_listening
from socketkit.errors import OptionError
from socketkit.events import Observer

__all__ = ["echo"]


@command()
@arguments.several_addresses
@option("--once", is_flag=True, help="Serve the first caller only, then end.")
@arguments.framing
@arguments.engine
@arguments.backlog
@limits.limits
@limits.workers
@arguments.ready_fd
@arguments.watching
@limits.metrics
@tls.called
@arguments.debug
def echo(
    addresses: tuple[Address, ...],
    once: bool,
    workers: int,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> Status:
    """Send back whatever comes, to any number of clients (default address: tcp://localhost:50000).

    Ends by SIGINT or SIGTERM: callers are let in no more, and conversations may end within ten seconds.
    """
    addresses = addresses or (Address.parse(arguments.DEFAULT_ADDRESS),)
    how = arguments.given(**options)

    def serve(places: Iterable[Address], listening: Callable[[tuple[Address, ...]], object]) -> None:
        way = arguments.engine_for(engine, *places)
        way.run(serve_echo(way, *places, once=once, listening=listening, observer=observer, **how))

    def say(real: tuple[Address, ...]) -> None:
        say_listening(real, ready_fd)

    if workers == 1:
        serve(addresses, say)
    elif once:
        raise OptionError("--once is for one process: leave --workers out")
    else:
        serve_by_workers(addresses, workers, serve, listening=say, observer=observer, **how)
    return Status.DONE
