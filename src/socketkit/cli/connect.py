"""`socketkit connect`: standard input to a socket, and the socket to standard output."""

from __future__ import annotations

import os
from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.connect import call
from socketkit.apps.conversation import until_told
from socketkit.cli import arguments
from socketkit.cli.output import Status, TerminalScreen
from socketkit.events import Observer
from socketkit.streams.pipes import stdio

__all__ = ["connect"]


@click.command()
@arguments.one_address(default=arguments.DEFAULT_ADDRESS)
@arguments.linger
@arguments.connect_timeout
@arguments.retry
@arguments.framing
@arguments.engine
@arguments.watching
@arguments.debug
def connect(
    address: Address, linger: float | None, engine: str | None, observer: Observer | None, **options: Any
) -> int:
    """Send standard input to a socket, and what comes back to standard output (default: tcp://localhost:50000).

    At the end of the input the peer sees the end, and is heard out until it ends too.
    """
    way = arguments.engine_for(engine, address)
    screen = TerminalScreen() if os.isatty(1) else None

    async def work() -> None:
        await call(way, address, stdio, linger=linger, screen=screen, observer=observer, **arguments.given(**options))

    number = way.run(until_told(way, work))
    return Status.DONE if number is None else 128 + number  # as shells say it
