"""How `connect` and `listen` read standard input and write standard output: one set of options, one `TalkOptions`."""

from __future__ import annotations

import functools
import math
import os
import select
import stat
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from socketkit.apps.talk.byte_formats import INCOMING, OUTGOING, CrLf, Filter, Visible
from socketkit.apps.talk.conversation import TalkOptions
from socketkit.cli.common_options import Read, time_or_forever
from socketkit.cli.fast_click import option
from socketkit.cli.output import print_line
from socketkit.config.option_types import parse_size
from socketkit.config.schemes import split_command

__all__ = [
    "check_exec_switches",
    "checked_command",
    "client_talk_options",
    "output_filter",
    "refuse_person",
    "server_talk_options",
    "terminal_options",
]

F = TypeVar("F", bound=Callable[..., Any])


def _rate(text: str) -> int:
    return parse_size(text.removesuffix("/s"), minimum=1)


_OPTIONS = (
    option(
        "--linger",
        metavar="TIME",
        type=Read("time", time_or_forever),
        default="forever",
        help="How long one direction may go on after the end of the other: 2s, 0, forever (default).",
    ),
    option("--send-only", is_flag=True, help="Send only: what is received is discarded. The end of the input ends it."),
    option("--receive-only", "--recv-only", is_flag=True, help="Receive only: standard input is not read."),
    option("--crlf", is_flag=True, help="Send the line feeds of standard input as CR LF; a CR LF stays one."),
    option(
        "--in",
        "written",
        type=click.Choice(list(OUTGOING)),
        default="text",
        help=r"How standard input is written: text, hex (48 65), or escaped (\n \x00; Enter itself sends nothing).",
    ),
    option(
        "--out",
        "shown",
        type=click.Choice(list(INCOMING)),
        help=r"How standard output is written: text, hex, or mixed (\x00 where it is no text; so on a terminal).",
    ),
    option(
        "--rate",
        metavar="SIZE",
        type=Read("rate", _rate),
        help="Bytes a second of each direction: 1MiB/s (default: no limit).",
    ),
    option("--telnet", is_flag=True, help="Answer telnet's negotiation, and keep it from being shown."),
)


def client_talk_options(function: F) -> F:
    """All of it, for who calls; the function gets a `talk`."""
    return _talk_options(function, reply_wait="1s")


def server_talk_options(function: F) -> F:
    """The same for a listener."""
    return _talk_options(function, reply_wait="forever")


def _answer_wait(reply_wait: float | None) -> float | None:
    """What `--reply-wait` is at a WebSocket, where it has no default."""
    if click.get_current_context().get_parameter_source("reply_wait") is not ParameterSource.COMMANDLINE:
        return None
    return math.inf if reply_wait is None else reply_wait


def _talk_options(function: F, *, reply_wait: str) -> F:
    waiting = option(
        "--reply-wait",
        metavar="TIME",
        type=Read("time", time_or_forever),
        default=reply_wait,
        help=f"How long to wait for the next answer after our end, over udp, unixgram, ip ({reply_wait}), "
        "and if given, ws.",
    )

    @functools.wraps(function)
    def with_talk(
        *args: Any,
        linger: float | None,
        reply_wait: float | None,
        send_only: bool,
        receive_only: bool,
        crlf: bool,
        written: str,
        shown: str | None,
        telnet: bool,
        rate: int | None,
        **options: Any,
    ) -> Any:
        if send_only and receive_only:
            raise click.UsageError("--send-only and --receive-only leave nothing to do; take one")
        if crlf and written != "text":
            raise click.UsageError(f"--crlf is for text; with --in {written} each byte is sent as it is written")
        if telnet and options.get("framing") not in (None, "chunks"):
            raise click.UsageError("--telnet is for bytes as they come; it takes no --framing")
        only = "send" if send_only else "receive" if receive_only else None
        typed = CrLf if crlf else OUTGOING[written]
        talk = TalkOptions(
            linger,
            output_filter(shown),
            typed,
            only=only,
            telnet=telnet,
            reply_wait=reply_wait,
            answer_wait=_answer_wait(reply_wait),
            rate=rate,
            **terminal_options(),
        )
        return function(*args, talk=talk, **options)

    for each in (*reversed(_OPTIONS), waiting):
        with_talk = each(with_talk)
    return with_talk  # type: ignore[return-value]


_OF_A_PERSON = (
    "linger",
    "reply_wait",
    "send_only",
    "receive_only",
    "crlf",
    "written",
    "shown",
    "telnet",
    "framing",
    "rate",
    "accept_timeout",
)


def checked_command(text: str) -> str:
    """The command of --exec as it is; raises AddressError where it cannot be split into words."""
    split_command(text)
    return text


def check_exec_switches(command: str | None, is_shell: bool, is_terminal: bool) -> None:
    """Refuse the options that say how --exec runs its command where there is no --exec."""
    for name, is_given in (("--shell", is_shell), ("--pty", is_terminal)):
        if is_given and command is None:
            raise click.UsageError(f"{name} says how --exec runs its command; give --exec COMMAND")


def refuse_person(context: click.Context) -> None:
    """Where a program is the other end, what is said of a person would go unheard: so it is refused."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OF_A_PERSON and source == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[0]} is for a terminal or a pipe; with --exec a program has the connection"
            )


def output_filter(shown: str | None) -> Callable[[], Filter] | None:
    """What was asked for; a terminal, which would obey what comes, is never given it raw."""
    if shown not in (None, "text"):
        return INCOMING[shown]
    return partial(Visible) if os.isatty(1) else None


def terminal_options() -> dict[str, Any]:
    """What a conversation may ask, and say, of standard input and output."""
    options: dict[str, Any] = {}
    if stat.S_ISFIFO(os.fstat(1).st_mode) and hasattr(select, "poll"):
        options["is_output_closed"] = _is_output_closed
    if os.isatty(0):
        options["on_peer_end"] = lambda: print_line("socketkit: the peer has ended its direction; Ctrl-D ends ours")
    return options


def _is_output_closed() -> bool:
    """Whether the pipe at standard output has lost its reader, which poll(2) reports without a write."""
    poller = select.poll()
    poller.register(1, 0)
    return bool(poller.poll(0))
