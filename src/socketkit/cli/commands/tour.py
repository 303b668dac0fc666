"""`socketkit tour`: shows the tour on standard output, at any width, with and without a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from socketkit import engines
from socketkit.apps.tour.benchmark import ENGINES, FAMILIES, MESSAGE_SIZE, Burst, measure
from socketkit.apps.tour.socket_state import open_descriptor_count
from socketkit.apps.tour.texts import BOTH, CLIENT, SERVER, STEPS, translate
from socketkit.apps.tour.walkthrough import Call, Step, Summary, grouped, summarize, walk
from socketkit.cli import common_options
from socketkit.cli.explain import call_line
from socketkit.cli.fast_click import command, option
from socketkit.config.languages import LANGUAGES, language_of_locale
from socketkit.config.quoting import quote, suggest
from socketkit.values import replace

__all__ = ["tour"]

BURST: Final = 0.06
"""Seconds of each burst: 35 of them are three seconds, and the engines differ by more than their noise."""

PAUSE: Final = 0.15
"""Seconds between two steps at a terminal, so that they can be followed; elsewhere there is no pause."""

MAX_DATA_SIZE: Final = 20
"""Bytes that are shown beside their call: the large messages are only zeros."""

WIDEST: Final = 100
"""Columns: longer lines are hard to read."""

_FAMILY_WIDTH: Final = 8
"""Columns of the longest name of a family; the heading may be longer."""

_RATE_WIDTH: Final = 6

_STYLES: Final = {SERVER: "cyan", CLIENT: "magenta", BOTH: "bold"}

_CODE: Final = """\
async def echo(connection):
    async for line in connection:
        await connection.send(line)

async with (
    serve(echo, "tcp4://localhost:0", framing="lines") as server,
    connect(server.addresses[0], framing="lines") as connection,
):
    await connection.send("line 0")
    print(await connection.receive())
"""


_NUMBERS: Final = {name.replace(" ", "-"): number for number, name in enumerate(STEPS, 1)}
"""The number of each step, by the name that is typed."""


def _read_step(context: click.Context, parameter: click.Parameter, typed: str | None) -> int | None:
    """The number of a step that was typed as a number or a name; None: none was."""
    if typed is None:
        return None
    if typed.isascii() and typed.isdigit() and 1 <= int(typed) <= len(_NUMBERS):
        return int(typed)
    if typed not in _NUMBERS:
        raise click.UsageError(
            f"there is no step {quote(typed)}{suggest(typed, _NUMBERS)}; there are 1 to {len(_NUMBERS)}, or by name: "
            f"{', '.join(_NUMBERS)}",
            context,
        )
    return _NUMBERS[typed]


def _complete_step(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _NUMBERS if name.startswith(incomplete)]


@command()
@click.argument("step", required=False, callback=_read_step, shell_complete=_complete_step)
@option(
    "--lang",
    "language",
    metavar="|".join(LANGUAGES),
    type=click.Choice(LANGUAGES),
    help="The language of the texts (default: the locale's).",
)
@common_options.debug
def tour(step: int | None, language: str | None) -> None:
    """The life of a socket, run and explained on this machine.

    A server and a client go through a whole connection, each call explained as it is made. Then one handler is served
    on every engine and family that the system has. Ends by itself.

    With STEP, a number or a name (bind, accept, half-close, ...), only that step is shown.
    """
    page = _Page(language or language_of_locale(os.environ))
    if step is not None:
        _show_steps(page, step)
        return
    _show_life(page)
    _show_the_same(page)
    _show_bursts(page)
    _show_more(page)


class _Page(Console):
    """Standard output, not wider than is easy to read, and the language of what is written there."""

    def __init__(self, language: str) -> None:
        super().__init__(highlight=False)
        self.width = min(self.width, WIDEST)
        self.language = language

    def say(self, text: str, **fields: object) -> str:
        """The text in this language."""
        return translate(self.language, text, **fields)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the reader has gone: the command ends as quietly as all others


def _chapter(page: _Page, title: str, text: str = "") -> None:
    page.print()
    page.print(Rule(Text(title, "bold"), align="left"))
    if text:
        page.print(Padding(Text(text), (0, 1)))
    page.print()


def _show_life(page: _Page) -> None:
    _chapter(
        page,
        page.say("The life of a socket"),
        page.say(
            "A server and a client on this machine. Each call below was made just now; the numbers are the real ones."
        ),
    )
    before = open_descriptor_count()
    _show_steps(page)
    after = open_descriptor_count()
    if before is not None and after is not None:
        counts = page.say(
            "Descriptors of this process before the first step: {before}; after the last: {after}.",
            before=before,
            after=after,
        )
        page.print(Padding(counts, (0, 1)))


def _show_steps(page: _Page, only: int | None = None) -> None:
    """Run all steps; show each, or only the one of this number."""
    engine = engines.make(engines.best_readiness())
    number = 0

    def show(step: Step) -> None:
        nonlocal number
        number += 1
        if only not in (None, number):
            return
        page.print(_step(page, number, step))
        if page.is_terminal:
            time.sleep(PAUSE)  # nothing else is under way here

    engine.run(walk(engine, show, language=page.language))


def _step(page: _Page, number: int, step: Step) -> Padding:
    rows = Table.grid(padding=(0, 2, 0, 0))
    labels = [page.say(label) for label in (SERVER, CLIENT, BOTH, "state", "trap")]
    rows.add_column(justify="right", width=max(map(len, labels)), no_wrap=True)
    rows.add_column()
    rows.add_row(Text(str(number), "bold"), Text(step.text.title, "bold"))
    for call in step.calls[: _shown_count(step.calls)]:
        rows.add_row(
            Text(page.say(call.side), _STYLES[call.side]), Text(_written(page, call), f"bold {_STYLES[call.side]}")
        )
    if _shown_count(step.calls) < len(step.calls):
        last = step.calls[-1]
        same = page.say("the same, on {descriptor}", descriptor=last.event.descriptor)
        rows.add_row(Text(page.say(last.side), _STYLES[last.side]), Text(same))
    rows.add_row("", Text(step.text.meaning))
    if step.states:
        states = ", ".join(f"{descriptor} {state}" for descriptor, state in step.states)
        rows.add_row(Text(page.say("state"), "dim"), Text(states, "dim"))
    rows.add_row(Text(page.say("trap"), "yellow"), Text(step.text.trap, "yellow"))
    return Padding(rows, (0, 1, 1, 0))


def _shown_count(calls: tuple[Call, ...]) -> int:
    """How many calls are shown: where one side does just what the other has done, only the first side's."""
    half = len(calls) // 2
    first, second = calls[:half], calls[half:]
    return half if half and list(map(_kind, first)) == list(map(_kind, second)) and half > 1 else len(calls)


def _kind(call: Call) -> tuple[str, tuple[str, ...], str]:
    return call.event.name, call.event.arguments, call.event.result


def _written(page: _Page, call: Call) -> str:
    event = call.event
    line = call_line(event if len(event.data) <= MAX_DATA_SIZE else replace(event, data=b""))
    end = "the peer has ended"
    return line.replace(f"({end})", f"({page.say(end)})")


def _show_the_same(page: _Page) -> None:
    _chapter(page, page.say("The same, by socketkit"), page.say("All of these steps, without these traps:"))
    page.print(Padding(Syntax(_CODE, "python", theme="ansi_dark", background_color="default", word_wrap=True), (0, 4)))
    engine = engines.make(engines.best_readiness())
    page.print(Padding(_summary(page, engine.run(summarize(engine))), (0, 1)))


def _summary(page: _Page, summary: Summary) -> Text:
    calls = ", ".join(f"{count} {name}" for name, count in summary.calls.items())
    return Text.assemble(
        page.say("It was run just now, with "),
        (page.say("{count} lines", count=grouped(summary.line_count)), "bold"),
        page.say(" sent and received one by one. They were sent and echoed in "),
        (page.say("{count} socket calls", count=sum(summary.calls.values())), "bold"),
        page.say(" on both sides together: {calls}.", calls=calls),
    )


def _show_bursts(page: _Page) -> None:
    text = page.say(
        "An engine is a way of waiting. Here the echo from above is served on each engine and over each family of "
        "sockets: 1000 round trips a second of {size} bytes, {milliseconds} ms each.",
        size=MESSAGE_SIZE,
        milliseconds=f"{BURST * 1000:.0f}",
    )
    _chapter(page, page.say("One handler, every engine"), text)
    bursts: list[Burst] = []
    if page.is_terminal:
        with Live(_tables(page, bursts), console=page, auto_refresh=False) as live:
            for burst in measure(BURST):
                bursts.append(burst)
                live.update(_tables(page, bursts), refresh=True)
    else:
        bursts.extend(measure(BURST))
        page.print(_tables(page, bursts))
    page.print(Padding(_notes(page, bursts), (1, 1, 0, 1)))


def _tables(page: _Page, bursts: list[Burst]) -> Padding:
    """The rates of all engines: one table, or as many as a narrow terminal needs, each with some of the engines."""
    parts: list[list[str]] = []
    left = 0
    for name in ENGINES:
        size = max(_RATE_WIDTH, len(name)) + 2  # a blank and a border
        if size > left:
            parts.append([])
            left = page.width - 2 - max(_FAMILY_WIDTH, len(page.say("family"))) - 3  # a blank and both borders
        parts[-1].append(name)
        left -= size
    return Padding(Group(*(_table(page, bursts, names) for names in parts)), (0, 1))


def _table(page: _Page, bursts: list[Burst], names: Sequence[str]) -> Table:
    table = Table(padding=(0, 0, 0, 1))
    table.add_column(page.say("family"), no_wrap=True, min_width=_FAMILY_WIDTH)
    for name in names:
        table.add_column(name, justify="right", min_width=_RATE_WIDTH)
    cells = {(burst.engine, burst.family): burst for burst in bursts}
    for family in FAMILIES:
        best = max((burst.rate or 0 for burst in bursts if burst.family == family), default=0)
        row = (_cell(cells.get((name, family)), best) for name in names)
        table.add_row(Text(family, "bold"), *row)
    return table


def _cell(burst: Burst | None, best: float) -> Text:
    if burst is None:
        return Text("")
    if burst.rate is None:
        return Text("-", "dim")
    return Text(f"{burst.rate / 1000:.1f}k", "bold green" if burst.rate == best else "")


def _notes(page: _Page, bursts: list[Burst]) -> Group:
    notes = [page.say("Both ends share this process, and one thread (two, with blocking): for comparison only.")]
    notes += dict.fromkeys(burst.reason for burst in bursts if burst.rate is None)
    return Group(*map(Text, notes))


def _show_more(page: _Page) -> None:
    _chapter(page, page.say("To try next"))
    name = _command_name()
    for typed, meaning in (
        ("echo --explain", "a server that explains each of its socket calls"),
        ("connect --explain", "its client: type a line, and end with Ctrl-D"),
        ("chat host", "a chat, with you as its host"),
        ("chat join", "the other side of the chat; plain nc works too"),
    ):
        page.print(Padding(Text(f"{name} {typed}", "bold"), (0, 1)))
        page.print(Padding(Text(page.say(meaning)), (0, 1, 0, 5)))
    page.print()


def _command_name() -> str:
    """How this command is typed, so that a line of the page can be copied as it is."""
    started = sys.argv[0]
    if shutil.which("socketkit") is not None:
        return "socketkit"
    if os.path.basename(started) == "__main__.py":
        return f"{os.path.relpath(sys.executable)} -m socketkit"
    return os.path.relpath(started) if os.path.isabs(started) else started
