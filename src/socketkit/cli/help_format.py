"""How `--help` is laid out: options under headings, at any width of the terminal. Loaded for help only."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Final

import click

__all__ = ["GROUPS", "Formatter", "grouped", "heading_of"]

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Conversation": (
        *("--in", "--out", "--crlf", "--telnet", "--framing", "--send-only", "--receive-only", "--exec", "--keep"),
        *("--shell", "--pty"),
        *("--web", "--store", "--bus", "--history", "--json", "--lang"),
        *("--once", "--name", "-l", "-k", "-u", "-U", "-z", "-N", "-d", "-C", "-t", "-e"),
    ),
    "Connecting": (
        *("--retry", "--backoff", "--send-proxy", "--proxy", "--bind", "--any", "--free"),
        *("-s", "-n", "-4", "-6", "-p", "-x", "-X", "-P"),
        *("--status", "--body", "--location", "--send", "--expect"),
    ),
    "Clients": (
        *("--backlog", "--max-connections", "--overload", "--max-per-peer", "--accept-rate", "--allow", "--deny"),
        *("--accept-proxy", "--takeover", "--workers", "--ready-fd"),
        *("--max-guests", "--password-file", "--user", "--user-file"),
    ),
    "Targets": ("--balance", "--dynamic", "--to-allow", "--to-deny"),
    "TLS": (
        *("--tls", "--cacert", "--cert", "--key", "--insecure", "--pin", "--alpn", "--server-name", "--self-signed"),
        *("--client-ca", "--require-client-cert", "--starttls"),
    ),
    "WebSocket": ("--header", "--origin", "--subprotocol", "--origins", "--text"),
    "Time": (
        *("--for", "--connect-timeout", "--handshake-timeout", "--idle-timeout", "--max-duration", "--linger"),
        *("--reply-wait", "--accept-timeout", "--rate", "--total-rate", "-w", "-q"),
    ),
    "Watching": (
        *("--verbose", "-v", "--explain", "--dump", "--dump-file", "--pcap", "--summary", "--progress"),
        *("--access-log", "--metrics", "--debug"),
    ),
    "General": ("--engine", "--version", "--help"),
}
"""The headings of a verb's help, and the options below each, by one of their names. `General` takes all others."""

MAX_WIDTH: Final = 100
MIN_WIDTH: Final = 20
SIDE_BY_SIDE_WIDTH: Final = 60
"""Columns below which a description stands under its option, and not beside it."""

_HEADING_OF: Final = {name: heading for heading, names in GROUPS.items() for name in names}


class Formatter(click.HelpFormatter):
    """click's formatter, for narrow terminals too: click itself never writes lines shorter than 50 columns."""

    def __init__(self) -> None:
        columns = shutil.get_terminal_size().columns
        super().__init__(width=max(min(columns, MAX_WIDTH) - 2, MIN_WIDTH))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their descriptions: side by side, or one below the other where that is too narrow."""
        if self.width >= SIDE_BY_SIDE_WIDTH:
            super().write_dl(list(rows), col_max, col_spacing)
            return
        for term, description in rows:
            self.write_text(term)
            with self.indentation():
                self.write_text(description)


def heading_of(option: click.Option) -> str:
    """The heading that an option stands under."""
    return next(
        (_HEADING_OF[name] for name in (*option.opts, *option.secondary_opts) if name in _HEADING_OF), "General"
    )


def grouped(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of a command under their headings, each in the order in which the command has them."""
    found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in GROUPS}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and isinstance(parameter, click.Option):
            found[heading_of(parameter)].append(record)
    several = [heading for heading, records in found.items() if records]
    for heading in several:
        with formatter.section("Options" if several == ["General"] else heading):
            formatter.write_dl(found[heading])
