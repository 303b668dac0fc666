"""`socketkit chat host` and `socketkit chat join`: a room for talk, and the way in."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, Final

import click

from socketkit import engines, framing
from socketkit.apps.chat import guest
from socketkit.apps.chat import host as rooms
from socketkit.apps.chat.participant import PERSON_FRAMING, Participant, Piped
from socketkit.apps.chat.room import check_name
from socketkit.apps.talk.conversation import run_until_signal
from socketkit.cli import common_options, tls_options
from socketkit.cli.fast_click import Group, option
from socketkit.cli.output import Status, print_listening, printing_above
from socketkit.cli.server_options import metrics
from socketkit.config.address import Address
from socketkit.config.quoting import quote
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import OptionError
from socketkit.events import Observer
from socketkit.streams.pipes import stdio

__all__ = ["chat"]

ADDRESS: Final = "tcp://localhost:5000"

Talk = Callable[[Engine, Participant], Coroutine[Any, Any, Any]]


def _name(text: str) -> str:
    problem = check_name(text)
    if problem is not None:
        raise OptionError(f"the name {quote(text)} {problem}")
    return text


@click.group(cls=Group, no_args_is_help=False, invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@click.pass_context
def chat(context: click.Context) -> int:
    """A room for talk: host it, or join it; plain nc can join too.

    Each line goes to all others behind the name of who says it. /name NEW, /who and /help are lines for the room; bye,
    /quit or `до свидания` ends the conversation.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
    return Status.USAGE


@chat.command()
@common_options.one_address(default=ADDRESS)
@option("--name", metavar="NAME", type=common_options.Read("name", _name), default="host", help="How you are called.")
@option("--once", is_flag=True, help="For one guest: the chat ends with it.")
@common_options.engine
@common_options.backlog
@common_options.ready_fd
@common_options.with_observer_options
@metrics
@tls_options.server
@common_options.debug
def host(
    address: Address,
    name: str,
    once: bool,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> Status:
    """Host a room, and take part in it (default: tcp://localhost:5000).

    It ends when you say goodbye, or by SIGINT or SIGTERM. At a terminal Ctrl-D is a goodbye too. When standard input is
    something else (a pipe, a file, /dev/null) its end is not: the room stays, without you, until it is told to stop.
    """

    async def talk(way: Engine, person: Participant) -> None:
        await rooms.host(
            way,
            address,
            person,
            name=name,
            once=once,
            listening=lambda real: print_listening(real, ready_fd),
            observer=observer,
            **common_options.given_options(**options),
        )

    _hold(engine, address, talk)
    return Status.DONE


@chat.command()
@common_options.one_address(default=ADDRESS)
@option("--name", metavar="NAME", type=common_options.Read("name", _name), help="How you want to be called.")
@common_options.linger
@common_options.connect_timeout
@common_options.retry
@common_options.engine
@common_options.with_observer_options
@tls_options.client
@common_options.debug
def join(
    address: Address,
    name: str | None,
    linger: float | None,
    engine: str | None,
    observer: Observer | None,
    **options: Any,
) -> int:
    """Join a room (default: tcp://localhost:5000).

    A goodbye ends it, and so does the other end. At the end of standard input the room sees you leave, and what it
    still says is shown.
    """

    async def talk(way: Engine, person: Participant) -> int | None:
        async def work() -> None:
            await guest.join(
                way,
                address,
                person,
                name=name,
                linger=linger,
                observer=observer,
                **common_options.given_options(**options),
            )

        return await run_until_signal(way, work)

    number = _hold(engine, address, talk)
    return Status.DONE if number is None else 128 + number  # as shells say it


# --- whoever sits here -----------------------------------------------------------------------------------------------


def _hold(engine_name: str | None, address: Address, talk: Talk) -> Any:
    """Talk, with a line editor where a person sits at a terminal, and with plain lines elsewhere."""
    is_person = os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb"
    asked = engine_name or dict(address.options).get("engine")
    way = engines.make("asyncio") if is_person and asked is None else common_options.engine_for(engine_name, address)
    if way.blocks:
        raise OptionError(f"engine={way.name}: in a room everybody is waited for at once; it takes another engine")
    if is_person and way.name in ("asyncio", "uvloop"):
        return _hold_at_terminal(way, talk)
    return way.run(_hold_piped(way, talk))


def _hold_at_terminal(way: Engine, talk: Talk) -> Any:
    from socketkit.cli.prompt import Prompted

    person = Prompted()
    try:
        with printing_above(person.show):
            return way.run(talk(way, person))
    finally:
        person.finish()


async def _hold_piped(way: Engine, talk: Talk) -> Any:
    async with Connection(stdio(way), framing.parse(PERSON_FRAMING)) as connection:
        return await talk(way, Piped(connection, is_terminal=os.isatty(0)))
