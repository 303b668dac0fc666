"""`socketkit wait`: wait until addresses accept connections, answer or are free; then run a command."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import click

from socketkit.apps.talk.conversation import run_until_signal
from socketkit.apps.wait import TIMEOUT, Target, wait_for
from socketkit.cli import common_options, tls_options
from socketkit.cli.fast_click import Command, option
from socketkit.cli.output import Status, print_failure, print_line
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.options import format_option
from socketkit.errors import AddressError, OptionError

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


def _target(text: str) -> Address | str:
    """An address, or the URL of an HTTP request as text: its probe is made with the other options."""
    if text.lower().startswith(("http://", "https://")):
        from socketkit.apps.probes.http import HttpProbe

        HttpProbe(text)
        return text
    try:
        return common_options.read_address(text)
    except AddressError as error:
        if "unknown scheme" not in str(error):
            raise
        raise AddressError(f"{error}, http, https") from None


def _statuses(text: str) -> str:
    from socketkit.apps.probes.http import parse_statuses

    parse_statuses(text)
    return text


def _bytes(text: str) -> bytes:
    from socketkit.apps.probes.exchange import parse_bytes

    return parse_bytes(text)


def _pattern(text: str) -> Any:
    from socketkit.apps.probes.exchange import bytes_pattern

    return bytes_pattern(text)


_HTTP_OPTIONS = {"status": "--status", "body": "--body", "location": "--location"}
_EXCHANGE_OPTIONS = {"send": "--send", "expect": "--expect"}


def _with_targets(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make the probes that the options ask for; the function gets `targets`, and their `addresses`."""

    @functools.wraps(function)
    def with_targets(*, words: tuple[Address | str, ...], **options: Any) -> Any:
        given = {name: options.pop(name) for name in (*_HTTP_OPTIONS, *_EXCHANGE_OPTIONS)}
        for names, kind, is_used in (
            (_HTTP_OPTIONS, "an http:// or https:// URL", any(isinstance(word, str) for word in words)),
            (_EXCHANGE_OPTIONS, "a socket's address, as tcp://host:port", any(map(_is_socket, words))),
        ):
            unused = next((flag for name, flag in names.items() if given[name] not in (None, False)), None)
            if unused is not None and not is_used:
                raise click.UsageError(f"{unused} is for {kind}; there is none")
        try:
            targets = tuple(_probe(word, given) for word in words)
        except OptionError as error:
            raise click.UsageError(str(error)) from None
        addresses = tuple(target if isinstance(target, Address) else target.address for target in targets)
        return function(targets=targets, addresses=addresses, **options)

    return with_targets


def _is_socket(word: Address | str) -> bool:
    return isinstance(word, Address) and not word.is_given


def _probe(word: Address | str, given: dict[str, Any]) -> Target:
    if isinstance(word, str):
        from socketkit.apps.probes.http import HttpProbe

        return HttpProbe(word, statuses=given["status"] or "2xx", body=given["body"], follows=given["location"])
    if _is_socket(word) and (given["send"] is not None or given["expect"] is not None):
        from socketkit.apps.probes.exchange import ExchangeProbe

        return ExchangeProbe(word, given["send"], given["expect"])
    return word


@click.command(cls=BeforeCommand)
@click.argument("words", metavar="ADDRESS|URL...", type=common_options.Read("target", _target), nargs=-1, required=True)
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
    "--status",
    metavar="STATUS",
    type=common_options.Read("status", _statuses),
    help="The HTTP status that counts: 200, 2xx, 200-204, several with commas (default 2xx).",
)
@option("--body", metavar="REGEX", type=common_options.Read("regex", _pattern), help="The HTTP body must match.")
@option("--location", is_flag=True, help="Follow HTTP redirects, five at most.")
@option(
    "--send",
    metavar="TEXT",
    type=common_options.Read("text", _bytes),
    help=r"Send this once connected, and wait for an answer; escapes: \r \n \x00; hex:00ff. Needed for udp.",
)
@option("--expect", metavar="REGEX", type=common_options.Read("regex", _pattern), help="The answer must match.")
@option(
    "--connect-timeout",
    metavar="TIME",
    type=common_options.Read("time", partial(format_option, "connect_timeout")),
    help="How long one look may take, over all addresses of the name (default 2s; exec: 10s).",
)
@common_options.proxy
@common_options.engine
@common_options.verbose
@common_options.explain
@common_options.debug
@_with_targets
@tls_options.client
def wait(
    targets: tuple[Target, ...],
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

    A http:// or https:// URL is ready when a GET is answered with --status; exec:COMMAND when it ends with status 0.
    With --send or --expect a socket must answer, too. Unknown names, refusals and missing socket files are retried.
    After --for the status is 124, one line names the addresses that are missing and the reasons, and no command is run.
    """
    way = common_options.engine_for(engine, *addresses)

    def tell(target: Target, seconds: float) -> None:
        state = "is free" if free else "accepts" if isinstance(target, Address) and not target.is_given else "is ready"
        print_line(f"{target} {state}, after {seconds:.1f} s")

    async def work() -> None:
        await wait_for(
            way,
            targets,
            timeout=timeout,
            is_one_enough=is_one_enough,
            free=free,
            ready=tell if verbose else lambda target, seconds: None,
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
