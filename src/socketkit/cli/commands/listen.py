"""`socketkit listen`: standard input and output for a client."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

from socketkit.apps.exec_server import serve_children
from socketkit.apps.talk.conversation import TalkOptions, run_until_signal
from socketkit.apps.talk.listen import answer
from socketkit.cli import common_options, tls_options, websocket_options
from socketkit.cli.common_options import Read, time_or_forever
from socketkit.cli.fast_click import command, option
from socketkit.cli.line_editor import open_terminal
from socketkit.cli.output import Status, print_failure, print_listening
from socketkit.cli.server_options import metrics, some_limits
from socketkit.cli.talk_options import check_exec_switches, checked_command, refuse_person, server_talk_options
from socketkit.cli.transfer_options import with_statistics
from socketkit.config.address import Address
from socketkit.events import Observer

__all__ = ["listen"]


@command()
@common_options.one_address()
@option("--keep", is_flag=True, help="Go on with the next client; with --exec, and over udp, many at once.")
@option(
    "--accept-timeout",
    metavar="TIME",
    type=Read("time", time_or_forever),
    help="End with status 124 when no client comes for so long (default: forever).",
)
@option(
    "--exec",
    "command",
    metavar="COMMAND",
    type=Read("command", checked_command),
    help="Run a program for each client, without a shell; its status is ours. Its input is what the client sends.",
)
@option("--shell", "is_shell", is_flag=True, help="With --exec: run COMMAND by sh -c, with pipes and variables.")
@option("--pty", "is_terminal", is_flag=True, help="With --exec: at a pseudo-terminal, for shells, editors, sudo.")
@server_talk_options
@common_options.idle_timeout
@common_options.framing
@common_options.engine
@common_options.backlog
@some_limits("allow", "deny", "accept_proxy", "handshake_timeout")
@common_options.ready_fd
@common_options.with_observer_options
@metrics
@tls_options.server
@websocket_options.server
@with_statistics
@common_options.debug
def listen(
    address: Address,
    keep: bool,
    accept_timeout: float | None,
    command: str | None,
    is_shell: bool,
    is_terminal: bool,
    talk: TalkOptions,
    engine: str | None,
    ready_fd: int | None,
    observer: Observer | None,
    **options: Any,
) -> int:
    """Wait for a client; send standard input to it, and write what it sends to standard output.

    After the first client others are refused; with --keep they wait for their turn. Both directions end separately:
    after the client's end our input is sent to its own end (--linger limits that). With --exec a program is the other
    end; its environment describes the client (SOCKETKIT_PEER, SOCKETKIT_LOCAL; see docs/addresses.md).
    """
    common_options.refuse_stdio(address)
    check_exec_switches(command, is_shell, is_terminal)
    if command is not None:
        refuse_person(click.get_current_context())
        way = common_options.engine_for(engine, address)
        del options["framing"]
        return way.run(
            serve_children(
                way,
                address,
                f"sh -c {shlex.quote(command)}" if is_shell else command,
                once=not keep,
                terminal=is_terminal,
                report=print_failure,
                listening=lambda real: print_listening(real, ready_fd),
                observer=observer,
                **common_options.given_options(**options),
            )
        )
    with open_terminal(engine, address) as (way, person):

        async def work() -> None:
            await answer(
                way,
                address,
                person,
                keep=keep,
                accept_timeout=accept_timeout,
                talk=talk,
                listening=lambda real: print_listening(real, ready_fd),
                is_named=os.isatty(1),
                lost=print_failure,
                observer=observer,
                **common_options.given_options(**options),
            )

        way.run(run_until_signal(way, work))
    return Status.DONE
