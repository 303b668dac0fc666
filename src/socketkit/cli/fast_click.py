"""click, without what it does for the sake of help alone: options and commands as it has them.

click lays out every help text when an option is made, for which it loads `inspect`, with ast, dis and tokenize behind
it: a tenth of the start-up. Ours are one line already. (`main` sees to it that `inspect` waits until it is used.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["Command", "Group", "Option", "command", "option"]

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose help needs no laying out."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        text = attributes.pop("help", None)
        super().__init__(*args, **attributes)
        self.help = text


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """As `click.option`."""
    return click.option(*names, cls=Option, **attributes)


class Command(click.Command):
    """A command whose `--help` costs nothing to those who do not ask for it."""

    _own_help: click.Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option, made once: click compares by identity."""
        if self._own_help is None:
            self._own_help = Option(
                [*self.get_help_option_names(ctx), "is_help_wanted"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_help,
                help="Show this message and exit.",
            )
        return self._own_help


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command


def command() -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`."""
    return click.command(cls=Command)


def _show_help(ctx: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()
