"""How the person of `connect` and `listen` writes and reads: one set of options, one `Manner`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from socketkit.apps.talk.byte_formats import INCOMING, OUTGOING, CrLf, Filter, Visible
from socketkit.apps.talk.conversation import Manner
from socketkit.cli.common_options import Read, time_or_forever
from socketkit.cli.fast_click import option

__all__ = ["answering", "screen_for", "talking"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    option(
        "--linger",
        metavar="TIME",
        type=Read("time", time_or_forever),
        default="forever",
        help="How long the other direction may go on after the end of the first: 2s, 0, forever (default).",
    ),
    option("--send-only", is_flag=True, help="Send only: what comes is thrown away, and our end is the end."),
    option("--receive-only", "--recv-only", is_flag=True, help="Receive only: standard input is not read."),
    option("--crlf", is_flag=True, help="Send the line feeds of standard input as CR LF; a CR LF stays one."),
    option(
        "--in",
        "written",
        type=click.Choice(list(OUTGOING)),
        default="text",
        help=r"How standard input is written: text, hex (48 65), or escaped (\\n \\x00; Enter itself sends nothing).",
    ),
    option(
        "--out",
        "shown",
        type=click.Choice(list(INCOMING)),
        help=r"How standard output is written: text, hex, or mixed (\\x00 where it is no text; so on a terminal).",
    ),
    option("--telnet", is_flag=True, help="Answer telnet's negotiation, and keep it from being shown."),
)


def talking(function: F) -> F:
    """All of it, for who calls; the function gets a `manner`."""
    return _with_manner(function, reply_wait="1s")


def answering(function: F) -> F:
    """The same for who is called: a peer without a goodbye may take its time."""
    return _with_manner(function, reply_wait="forever")


def _with_manner(function: F, *, reply_wait: str) -> F:
    waiting = option(
        "--reply-wait",
        metavar="TIME",
        type=Read("time", time_or_forever),
        default=reply_wait,
        help=f"How long to wait for the next answer after our end, over udp, unixgram, ip ({reply_wait}).",
    )

    @functools.wraps(function)
    def with_manner(
        *args: Any,
        linger: float | None,
        reply_wait: float | None,
        send_only: bool,
        receive_only: bool,
        crlf: bool,
        written: str,
        shown: str | None,
        telnet: bool,
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
        manner = Manner(linger, screen_for(shown), typed, only=only, telnet=telnet, reply_wait=reply_wait)
        return function(*args, manner=manner, **options)

    for each in (*reversed(_OPTIONS), waiting):
        with_manner = each(with_manner)
    return with_manner  # type: ignore[return-value]


def screen_for(shown: str | None) -> Callable[[], Filter] | None:
    """What was asked for; a terminal, which would obey what comes, is never given it raw."""
    if shown not in (None, "text"):
        return INCOMING[shown]
    return partial(Visible) if os.isatty(1) else None
