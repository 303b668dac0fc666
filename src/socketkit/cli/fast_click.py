"""click's options and commands, without the work that only `--help` needs.

click cleans every help text when an option is made. For that it loads `inspect`, with ast, dis and tokenize. Measured
on `socketkit connect`: 18 and 30 ms of 180 ms of CPU (best of 15 runs, twice). Our help texts are one line already.
(`main` defers `inspect` until it is used.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from socketkit import __version__
from socketkit.cli.option_words import speak

__all__ = ["VERSION_IN_FULL", "Command", "Group", "Option", "command", "option", "print_version"]

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose help text is used as it is."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        text = attributes.pop("help", None)
        super().__init__(*args, **attributes)
        self.help = text


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """As `click.option`."""
    return click.option(*names, cls=Option, **attributes)


class Command(click.Command):
    """A command whose `--help` option is made without loading `inspect`."""

    _own_help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option, made once: click compares by identity."""
        if self._own_help is None:
            self._own_help = Option(
                [*self.get_help_option_names(ctx), "is_help"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_help,
                help="Show this message and exit.",
            )
        return self._own_help

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and note the options of this command: hints name them from here on."""
        speak((name for parameter in self.params for name in parameter.opts), args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click's parser leaves it out: the error names the help of this command
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, unless an option was given that cannot act."""
        from socketkit.cli.ineffective import refuse_ineffective

        refuse_ineffective(ctx)
        return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        """The help, as wide as the terminal: also where that is narrow."""
        from socketkit.cli.help_format import Formatter

        formatter = Formatter()
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under their headings; of a group also its commands."""
        from socketkit.cli.help_format import grouped

        grouped(self, ctx, formatter)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with its whole first sentence: click cuts it after 45 characters."""
        names = self.list_commands(ctx)
        commands = [(name, self.get_command(ctx, name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(limit=200)) for name, each in commands if each])


def command() -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`."""
    return click.command(cls=Command)


def _show_help(ctx: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    if is_given and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def print_version(ctx: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    """The callback of `--version`; with `-v` beside it, what it runs on is printed too."""
    if is_given and not ctx.resilient_parsing:
        text = f"socketkit {__version__}"
        if ctx.meta.get(VERSION_IN_FULL):
            from socketkit.cli.environment import environment_lines

            text = "\n".join((text, *environment_lines()))
        click.echo(text)
        ctx.exit()


VERSION_IN_FULL: Final = "socketkit.version_in_full"
"""The key under which the root's context notes that `-v` was given."""
