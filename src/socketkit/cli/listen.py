"""`socketkit listen`: standard input and output for a caller."""

from __future__ import annotations

from typing import Any

import click

from socketkit.address import Address
from socketkit.apps.attend import serve_children
from socketkit.apps.conversation import Manner, until_told
from socketkit.apps.listen import answer
from socketkit.cli import arguments, tls
from socketkit.cli.arguments import Read
from socketkit.cli.editor import sitting
from socketkit.cli.figures import counting
from socketkit.cli.lean import command, option
from socketkit.cli.limits import metrics, some_limits
from socketkit.cli.manners import answering
from socketkit.cli.output import Status, say_failure, say_listening
from socketkit.events import Observer
from socketkit.scheme import split_command

__all__ = ["listen"]

_OF_A_PERSON = ("linger", "reply_wait", "send_only", "receive_only", "crlf", "written", "shown", "telnet", "framing")


def _command(text: str) -> str:
    split_command(text)
    return text


def _refuse_person(context: click.Context) -> None:
    """Where a program is the other end, what is said of a person would go unheard: so it is refused."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OF_A_PERSON and source == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} is for whoever sits here; with --exec a program does")


@command()
@arguments.one_address()
@option("--keep", is_flag=True, help="Go on with the next caller, one after another; with --exec, many at once.")
@option(
    "--exec",
    "command",
    metavar="COMMAND",
    type=Read("command", _command),
    help="Run a program for the caller: what it says is the program's input. No shell; the status is the program's.",
)
@answering
@arguments.idle_timeout
@arguments.framing
@arguments.engine
@arguments.backlog
@some_limits("allow", "deny", "accept_proxy", "handshake_timeout")
@arguments.ready_fd
@arguments.watching
@metrics
@tls.called
@counting
@arguments.debug
def listen(
    address: Address,
    keep: bool,
    command: str | None,
    manner: Manner,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> int:
    """Wait for a caller, and be its other end: standard input to it, and what it says to standard output.

    When the first caller is there others are refused; with --keep they wait for their turn. With --exec a program is
    the other end: its environment tells it of the caller (SOCKETKIT_PEER, SOCKETKIT_LOCAL; see docs/addresses.md).
    """
    arguments.refuse_stdio(address)
    if command is not None:
        _refuse_person(click.get_current_context())
        way = arguments.engine_for(engine, address)
        del options["framing"]
        return way.run(
            serve_children(
                way,
                address,
                command,
                once=not keep,
                listening=lambda real: say_listening(real, ready_fd),
                observer=observer,
                **arguments.given(**options),
            )
        )
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
