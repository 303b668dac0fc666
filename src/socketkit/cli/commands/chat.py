"""`socketkit chat host` and `socketkit chat join`: host a chat room, or join one."""

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
    """Host a chat room, or join one; plain nc can join too.

    Each line goes to all others, behind the name of its writer. /name NEW, /who and /help are commands for the room;
    bye, /quit or `до свидания` leaves it.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
    return Status.USAGE


@chat.command()
@common_options.one_address(default=ADDRESS)
@option("--name", metavar="NAME", type=common_options.Read("name", _name), default="host", help="Your name.")
@option("--once", is_flag=True, help="For one guest: the chat ends when the guest leaves.")
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

    It ends when you type a farewell (bye), or by SIGINT or SIGTERM. At a terminal Ctrl-D is a farewell too. The end of
    another standard input (a pipe, a file, /dev/null) is not: the room stays, without you, until a signal ends it.
    Datagrams (udp://, unixgram://) are refused.
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
@option("--name", metavar="NAME", type=common_options.Read("name", _name), help="The name to ask for.")
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

    A farewell (bye) ends it, and so does the host. At the end of standard input you leave the room, and the lines that
    still come are shown.
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


def _hold(engine_name: str | None, address: Address, talk: Talk) -> Any:
    """Run the conversation: with a line editor at a terminal, with plain lines elsewhere."""
    is_person = os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb"
    asked = engine_name or dict(address.options).get("engine")
    way = engines.make("asyncio") if is_person and asked is None else common_options.engine_for(engine_name, address)
    if way.blocks:
        raise OptionError(
            f"engine={way.name}: a chat waits for all its members at once, which needs an engine that does not block"
        )
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
        width = (lambda: os.get_terminal_size(1).columns) if os.isatty(1) else None
        return await talk(way, Piped(connection, is_terminal=os.isatty(0), width=width))
