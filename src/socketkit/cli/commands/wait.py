"""`socketkit wait`: wait until addresses accept connections, or are free; then run a command."""

from __future__ import annotations

import errno
import os
import signal
import sys
from functools import partial
from typing import Any, NoReturn

import click

from socketkit.apps.talk.conversation import run_until_signal
from socketkit.apps.wait import TIMEOUT, wait_for
from socketkit.cli import common_options, tls_options
from socketkit.cli.fast_click import Command, option
from socketkit.cli.output import Status, print_failure, print_line
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.options import format_option

__all__ = ["wait"]

CANNOT_RUN, NOT_FOUND = 126, 127
"""What a shell ends with where it cannot run a command, or finds none."""

_COMMAND = "socketkit.command"


class BeforeCommand(Command):
    """Whatever stands behind `--` is a command of its own, with options of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments before `--`."""
        if "--" in args:
            place = args.index("--")
            args, ctx.meta[_COMMAND] = args[:place], args[place + 1 :]
            if not ctx.meta[_COMMAND] and not ctx.resilient_parsing:
                raise click.UsageError("there is no command after --", ctx)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line says so."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND [ARGUMENT]...]"]


@click.command(cls=BeforeCommand)
@click.argument(
    "addresses", metavar="ADDRESS...", type=common_options.Read("address", Address.parse), nargs=-1, required=True
)
@option(
    "--for",
    "timeout",
    metavar="TIME",
    type=common_options.Read("time", common_options.time_or_forever),
    default=format_duration(TIMEOUT),
    help="How long to wait, for all of them: 2m, 0 (look once), forever. Default: 30s.",
)
@option("--any", "is_one_enough", is_flag=True, help="One of them is enough.")
@option("--free", is_flag=True, help="Wait until nothing accepts there any more.")
@option(
    "--connect-timeout",
    metavar="TIME",
    type=common_options.Read("time", partial(format_option, "connect_timeout")),
    help="How long one look may take, over all addresses of the name (default 2s).",
)
@common_options.engine
@common_options.verbose
@common_options.explain
@tls_options.client
@common_options.debug
def wait(
    addresses: tuple[Address, ...],
    timeout: float | None,
    is_one_enough: bool,
    free: bool,
    engine: str | None,
    verbose: int,
    explain: bool,
    **options: Any,
) -> int:
    """Wait until every address accepts connections, then replace this process by a command, if one is given.

    Unknown names, refusals and missing socket files are retried. After --for the status is 124, one line names the
    addresses that are missing and the reasons, and no command is run.
    """
    way = common_options.engine_for(engine, *addresses)
    state = "is free" if free else "accepts"

    async def work() -> None:
        await wait_for(
            way,
            addresses,
            timeout=timeout,
            is_one_enough=is_one_enough,
            free=free,
            ready=lambda address, seconds: print_line(f"{address} {state}, after {seconds:.1f} s") if verbose else None,
            observer=common_options.observer_for(max(0, verbose - 1), explain),
            **common_options.given_options(**options),
        )

    number = way.run(run_until_signal(way, work))
    if number is not None:
        return 128 + number
    command = click.get_current_context().meta.get(_COMMAND)
    return Status.DONE if command is None else _become(command)


def _become(command: list[str]) -> int:
    """Let this process be the command: so its status, and every signal, are its own."""
    sys.stdout.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what is ignored stays so, execve(2)
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        _exec(command)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        print_failure(f"cannot run {command[0]!r}: {reason}")
        return NOT_FOUND if number == errno.ENOENT else CANNOT_RUN


def _exec(command: list[str]) -> NoReturn:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        import shutil

        # A script that does not say by what it is to be run: by the shell, execvp(3).
        os.execvp("sh", ["sh", shutil.which(command[0]) or command[0], *command[1:]])
