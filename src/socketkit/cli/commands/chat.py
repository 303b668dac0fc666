"""`socketkit chat`: host a chat, join one, or export what was said."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import click

from socketkit import engines, framing
from socketkit.apps.chat import guest
from socketkit.apps.chat import host as rooms
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.names import check_name
from socketkit.apps.chat.participant import PERSON_FRAMING, Participant, Piped
from socketkit.apps.chat.web_address import page_address, page_url
from socketkit.apps.talk.conversation import AbandonedError, run_until_signal
from socketkit.cli import chat_options, common_options, tls_options
from socketkit.cli.descriptor_limit import allow_connections
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

if TYPE_CHECKING:
    from socketkit.apps.chat.bus.url import BusAddress
    from socketkit.apps.chat.store import Store

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
    """Host a chat, or join one; plain nc can join too.

    Each line goes to all others in the room, behind the name of its writer. /help lists the commands: /name NEW, /who,
    /join ROOM, /msg NAME TEXT, /search TEXT; bye, /quit or `до свидания` leaves.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
    return Status.USAGE


@chat.command()
@common_options.one_address(default=ADDRESS)
@option("--name", metavar="NAME", type=common_options.Read("name", _name), default="host", help="Your name.")
@option("--once", is_flag=True, help="For one guest: the chat ends when the guest leaves.")
@chat_options.web_option
@chat_options.store_option
@chat_options.bus_option
@chat_options.chat_limits
@chat_options.password_option
@chat_options.language
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
    web: Address | None,
    limits: Limits,
    store: str | None,
    bus: BusAddress | None,
    password_file: str | None,
    language: str | None,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> Status:
    """Host a room, and take part in it (default: tcp://localhost:5000).

    It ends when you type a farewell (bye), or by SIGINT or SIGTERM. At a terminal Ctrl-D is a farewell too. The end of
    another standard input (a pipe, a file, /dev/null) is not: the room stays, without you, until a signal ends it.
    Datagrams (udp://, unixgram://) are refused.

    You may also /kick, /mute and /ban guests (/help).
    """
    password = chat_options.password_of(password_file)
    if bus is not None and once:
        raise OptionError("--once --bus: a chat of several hosts is not for one guest")
    broker = None if bus is None else bus.make()
    kept = None if store is None else _open_store(store)
    allow_connections(limits.max_guests, rooms.SPARE_CONNECTIONS, what="--max-guests")

    async def talk(way: Engine, person: Participant) -> None:
        await rooms.host(
            way,
            address,
            person,
            name=name,
            once=once,
            language=chat_options.default_language(language),
            password=password,
            limits=limits,
            store=kept,
            bus=broker,
            web=web,
            page_language=language,
            listening=lambda real: print_listening(real, ready_fd, shown=str if web is None else page_url),
            observer=observer,
            **common_options.given_options(**options),
        )

    try:
        _hold(engine, address, talk, name)
    finally:
        unwritten = 0 if kept is None else kept.close()
    if kept is not None and unwritten:
        raise AbandonedError(f"{store}: {unwritten} messages could not be written: {kept.problem}")
    return Status.DONE


def _open_store(path: str) -> Store:
    from socketkit.apps.chat.store import Store  # loads sqlite3

    return Store(path)


@chat.command()
@click.argument("file", metavar="FILE", type=click.Path())
@option("--json", "as_json", is_flag=True, help="One JSON object a line: id, time, room, name, kind, text.")
@common_options.debug
def export(file: str, as_json: bool) -> Status:
    """Write what was said to standard output, from the FILE of `chat host --store`.

    The host may go on meanwhile. A line of text is: time, room, and the line as guests saw it.
    """
    from socketkit.apps.chat.export import json_line, text_line
    from socketkit.apps.chat.store import read_messages

    form = json_line if as_json else text_line
    try:
        for message in read_messages(file):
            sys.stdout.buffer.write(form(message).encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise BrokenPipeError from None  # without its number, by which click would end with status 1
    return Status.DONE


def _host_address(text: str) -> Address:
    """An address of a host, also that of its page as it is listed and as a browser has it."""
    is_page = text.lower().startswith(("http://", "https://"))
    return page_address(text) if is_page else common_options.read_address(text)


@chat.command()
@common_options.one_address(default=ADDRESS, read_word=_host_address)
@option("--name", metavar="NAME", type=common_options.Read("name", _name), help="The name to ask for.")
@chat_options.password_option
@chat_options.language
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
    password_file: str | None,
    language: str | None,
    linger: float | None,
    engine: str | None,
    observer: Observer | None,
    **options: Any,
) -> int:
    """Join a room (default: tcp://localhost:5000).

    A farewell (bye) ends it, and so does the host. At the end of standard input you leave the room, and the lines that
    still come are shown. With --retry a connection that is lost is made again, with your name and room; at the address
    of a page (http://host:8080, ws://) you are shown exactly the lines that you have missed.
    """
    password = chat_options.password_of(password_file)

    async def talk(way: Engine, person: Participant) -> int | None:
        async def work() -> None:
            await guest.join(
                way,
                address,
                person,
                name=name,
                password=password,
                language=language,
                linger=linger,
                observer=observer,
                **common_options.given_options(**options),
            )

        return await run_until_signal(way, work)

    number = _hold(engine, address, talk, name or "")
    return Status.DONE if number is None else 128 + number  # as shells say it


def _hold(engine_name: str | None, address: Address, talk: Talk, own: str) -> Any:
    """Run the conversation: with a line editor at a terminal, with plain lines elsewhere. `own` is our name there."""
    is_person = os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb"
    asked = engine_name or dict(address.options).get("engine")
    way = engines.make("asyncio") if is_person and asked is None else common_options.engine_for(engine_name, address)
    if way.blocks:
        raise OptionError(
            f"engine={way.name}: a chat waits for all its members at once, which needs an engine that does not block"
        )
    if is_person and way.name in ("asyncio", "uvloop"):
        return _hold_at_terminal(way, talk, own)
    return way.run(_hold_piped(way, talk))


def _hold_at_terminal(way: Engine, talk: Talk, own: str) -> Any:
    from socketkit.cli.chat_prompt import ChatPrompt

    person = ChatPrompt(own)
    try:
        with printing_above(person.show):
            return way.run(talk(way, person))
    finally:
        person.finish()


async def _hold_piped(way: Engine, talk: Talk) -> Any:
    async with Connection(stdio(way), framing.parse(PERSON_FRAMING)) as connection:
        width = (lambda: os.get_terminal_size(1).columns) if os.isatty(1) else None
        return await talk(way, Piped(connection, is_terminal=os.isatty(0), width=width))
