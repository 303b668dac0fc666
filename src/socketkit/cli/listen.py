"""`socketkit listen`: standard input and output for a caller."""

from __future__ import annotations

from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.conversation import Manner, until_told
from socketkit.apps.listen import answer
from socketkit.cli import arguments
from socketkit.cli.editor import sitting
from socketkit.cli.figures import counting
from socketkit.cli.manners import talking
from socketkit.cli.output import Status, say_failure, say_listening
from socketkit.events import Observer

__all__ = ["listen"]


@click.command()
@arguments.one_address()
@click.option("--keep", is_flag=True, help="Go on with the next caller, one after another.")
@talking
@arguments.framing
@arguments.engine
@arguments.backlog
@arguments.ready_fd
@arguments.watching
@counting
@arguments.debug
def listen(
    address: Address,
    keep: bool,
    manner: Manner,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> Status:
    """Wait for a caller, and be its other end: standard input to it, and what it says to standard output.

    When the first caller is there others are refused; with --keep they wait for their turn.
    """
    arguments.refuse_stdio(address)
    with sitting(engine, address) as (way, person):

        async def work() -> None:
            await answer(
                way,
                address,
                person,
                keep=keep,
                manner=manner,
                listening=lambda real: say_listening(real, ready_fd),
                lost=lambda connection, error: say_failure(error),
                observer=observer,
                **arguments.given(**options),
            )

        way.run(until_told(way, work))
    return Status.DONE
