"""`socketkit echo`: a server that sends back what it gets."""

from __future__ import annotations

from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.echo import serve_echo
from socketkit.cli import arguments
from socketkit.cli.output import Status, say_listening
from socketkit.events import Observer

__all__ = ["echo"]


@click.command()
@arguments.several_addresses
@click.option("--once", is_flag=True, help="Serve the first caller only, then end.")
@arguments.framing
@arguments.engine
@arguments.backlog
@arguments.ready_fd
@arguments.watching
@arguments.debug
def echo(
    addresses: tuple[Address, ...],
    once: bool,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> Status:
    """Send back whatever comes, to any number of clients (default address: tcp://localhost:50000).

    Ends by SIGINT or SIGTERM: callers are let in no more, and conversations may end within ten seconds.
    """
    addresses = addresses or (Address.parse(arguments.DEFAULT_ADDRESS),)
    way = arguments.engine_for(engine, *addresses)
    serving = serve_echo(
        way,
        *addresses,
        once=once,
        listening=lambda real: say_listening(real, ready_fd),
        observer=observer,
        **arguments.given(**options),
    )
    way.run(serving)
    return Status.DONE
