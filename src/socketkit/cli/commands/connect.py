"""`socketkit connect`: standard input to a socket, and the socket to standard output."""

from __future__ import annotations

import shlex
from typing import Any

import click

from socketkit.apps.talk.connect import call
from socketkit.apps.talk.conversation import TalkOptions, run_until_signal
from socketkit.cli import common_options, tls_options, websocket_options
from socketkit.cli.common_options import Read, engine_for
from socketkit.cli.fast_click import command, option
from socketkit.cli.line_editor import open_terminal
from socketkit.cli.talk_options import check_exec_switches, checked_command, client_talk_options, refuse_person
from socketkit.cli.transfer_options import with_statistics
from socketkit.config.address import Address
from socketkit.events import Observer

__all__ = ["connect"]


@command()
@common_options.one_address(default=common_options.DEFAULT_ADDRESS)
@option(
    "--exec",
    "command",
    metavar="COMMAND",
    type=Read("command", checked_command),
    help="Run a program, without a shell: the peer's data is its input, its output is sent; its status is ours.",
)
@option("--shell", "is_shell", is_flag=True, help="With --exec: run COMMAND by sh -c, with pipes and variables.")
@option("--pty", "is_terminal", is_flag=True, help="With --exec: at a pseudo-terminal, for shells, editors, sudo.")
@client_talk_options
@common_options.connect_timeout
@common_options.idle_timeout
@common_options.retry
@common_options.send_proxy
@common_options.proxy
@option(
    "--starttls",
    metavar="PROTOCOL",
    type=click.Choice(["smtp", "imap", "pop3", "xmpp", "postgres", "ldap"]),
    help="Ask for TLS in this protocol first: smtp, imap, pop3, xmpp, postgres, ldap.",
)
@common_options.framing
@common_options.engine
@common_options.with_observer_options
@tls_options.client
@websocket_options.client
@with_statistics
@common_options.debug
def connect(
    address: Address,
    command: str | None,
    is_shell: bool,
    is_terminal: bool,
    talk: TalkOptions,
    engine: str | None,
    observer: Observer | None,
    **options: Any,
) -> int:
    """Send standard input to a socket, and what comes back to standard output (default: tcp://localhost:50000).

    At the end of the input the peer sees the end, and is received until it ends too. A peer that ends first is still
    sent the input to its end (--linger limits both). Over udp, unixgram and ip, which have no end, one read is one
    datagram, and --reply-wait says how long answers are awaited. With exec:COMMAND the peer is a child, whose exit
    status is passed on.
    """
    common_options.refuse_stdio(address)
    is_plain = options["framing"] in (None, "chunks") and not address.transport.is_secure and not options["tls"]
    if options["starttls"] is not None and not is_plain:
        raise click.UsageError("--starttls begins with plain bytes; it takes no --framing, --tls or tls://")
    statuses: list[int] = []
    check_exec_switches(command, is_shell, is_terminal)
    if command is not None:
        from socketkit.apps.exec_server import call_with_child  # it imports the servers

        refuse_person(click.get_current_context())
        del options["framing"], options["starttls"]
        line, runner = f"sh -c {shlex.quote(command)}" if is_shell else command, engine_for(engine, address)

        async def run() -> None:
            given = common_options.given_options(**options)
            statuses.append(
                await call_with_child(runner, address, line, terminal=is_terminal, observer=observer, **given)
            )

        ended = runner.run(run_until_signal(runner, run))
        return statuses.pop() if ended is None else 128 + ended
    with open_terminal(engine, address) as (way, person):

        async def work() -> None:
            statuses.append(
                await call(
                    way, address, person, talk=talk, observer=observer, **common_options.given_options(**options)
                )
            )

        number = way.run(run_until_signal(way, work))
    return statuses.pop() if number is None else 128 + number  # as shells say it
