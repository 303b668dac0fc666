"""All verbs: load the one that was called, and turn its result or error into an exit status and one line."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

try:
    import click
except ImportError:  # the library stands alone; the command does not
    sys.exit("socketkit: the command needs click, which is not installed: pip install 'socketkit[cli]'")

from socketkit.cli.fast_click import VERSION_IN_FULL, Group, option, print_version
from socketkit.cli.help_examples import epilog
from socketkit.cli.option_words import speak
from socketkit.cli.output import Status, print_failure, status_of

__all__ = ["VERBS", "Verbs", "run", "socketkit"]

VERBS: Final = {
    "echo": ("socketkit.cli.commands.echo:echo", "Serve: send back every message."),
    "connect": ("socketkit.cli.commands.connect:connect", "Standard input to a socket, the socket to standard output."),
    "listen": ("socketkit.cli.commands.listen:listen", "The same for the first client, or for one after another."),
    "relay": ("socketkit.cli.commands.relay:relay", "Forward connections to a target, between any kinds of socket."),
    "wait": (
        "socketkit.cli.commands.wait:wait",
        "Wait until addresses accept connections, or are free; then run a command.",
    ),
    "nc": ("socketkit.cli.commands.nc:nc", "Netcat, with the flags of its flavours."),
    "chat": ("socketkit.cli.commands.chat:chat", "A chat room: host it, or join it."),
    "tour": ("socketkit.cli.commands.tour:tour", "The life of a socket, run and explained on this machine."),
    "help": ("socketkit.cli.commands.help:show_help", "Help for a verb; or addresses, framings, engines, status."),
}
"""Each verb, its module, and its summary: `--help` loads none of them."""


RARE_COLLECTIONS: Final = 100
"""Collections of the middle generation for one of all objects; Python's own number is 10."""


def _collect_rarely() -> None:
    """Enable the garbage collector. It leaves alone what is there now, and looks at everything rarely.

    What a connection consists of is freed as it ends, without the collector. With ten thousand connections a look at
    everything lasts 0.2 s, in which nobody is served; while they come, Python would look several times.
    """
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, RARE_COLLECTIONS)
    gc.enable()


class Verbs(Group):
    """A group whose commands are loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The verb of this name, loaded now."""
        if name not in VERBS:
            return None
        module, _, attribute = VERBS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        command.epilog = command.epilog or epilog(name)
        if not gc.isenabled():  # since the start of the process, see `main`
            _collect_rarely()
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL and _is_main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; for an unknown one the error names the nearest."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            from socketkit.config.quoting import quote, suggest

            known = ", ".join(VERBS)
            raise click.UsageError(f"there is no verb {quote(args[0])}{suggest(args[0], VERBS)}; there are {known}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs in `--help`."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in VERBS.items()])
        with formatter.section("Exit status"):
            formatter.write_dl([(str(int(status)), status.reason) for status in Status])


def _note_verbose(ctx: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    ctx.meta[VERSION_IN_FULL] = is_given


@click.group(
    cls=Verbs, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@option(
    "-V",
    "--version",
    is_flag=True,  # not eager: `-v` is read first, wherever it stands
    expose_value=False,
    callback=print_version,
    help="Show the version and exit.",
)
@option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_note_verbose,
    help="With --version: also the interpreter, the platform, the engines and the extras.",
)
@click.pass_context
def socketkit(context: click.Context) -> None:
    """Connect to any socket, and serve one.

    Addresses: tcp://host:port, tls://host:port, udp://host:port (and tcp4, tcp6, udp4, udp6), unix:///path,
    unix://@name, tls+unix://, unixgram://, unixpacket://, ip://host?protocol=icmp, vsock://cid:port, ws://host:port/path,
    wss://, ws+unix://, fd://3, systemd:, stdio:, exec:COMMAND; typed: host:port, :port, /path, ./path, @name,
    - (standard input and output).
    """
    if context.meta.get(VERSION_IN_FULL):
        raise click.UsageError(f"-v stands behind the verb: socketkit {context.invoked_subcommand} -v", context)


def run(arguments: Sequence[str] | None) -> int:
    """Run a command line (None: that of the process) and return its status. Raises nothing."""
    state: dict[str, Any] = {}
    try:
        is_completing = "_SOCKETKIT_COMPLETE" in os.environ  # a shell's completion, as click has it
        if not (is_completing or (sys.argv[1:] if arguments is None else arguments)):
            click.echo(socketkit.make_context("socketkit", []).get_help(), err=True)
            return Status.USAGE
        ended = socketkit.main(args=arguments, prog_name="socketkit", standalone_mode=False, obj=state)
        sys.stdout.flush()
        return int(ended or 0)
    except click.ClickException as error:
        if isinstance(getattr(error, "param", None), click.Argument):
            speak(())  # an address has its own options, by the keywords' names
        print_failure(f"{error.format_message()} (see: {_path(error)} --help)")
        return Status.USAGE
    except click.Abort:
        return Status.INTERRUPTED
    except BrokenPipeError:
        return _forget_output()
    except (Exception, KeyboardInterrupt) as error:
        if state.get("debug"):
            import traceback

            traceback.print_exc()
        elif not isinstance(error, KeyboardInterrupt):
            print_failure(error)
        return status_of(error)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _path(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return "socketkit" if context is None else str(context.command_path)


def _forget_output() -> Status:
    """Discard standard output after its reader has closed it, so that Python's last flush raises nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return Status.DONE
