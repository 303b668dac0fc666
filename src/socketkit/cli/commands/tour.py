"""`socketkit tour`: shows the tour on standard output, at any width, with and without a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

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
from socketkit.apps.tour.texts import BOTH, CLIENT, SERVER
from socketkit.apps.tour.walkthrough import Call, Step, Summary, summarize, walk
from socketkit.cli import common_options
from socketkit.cli.explain import call_line
from socketkit.cli.fast_click import command
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

_FAMILY_WIDTH: Final = 11
"""Columns of the table's names with both borders."""

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


@command()
@common_options.debug
def tour() -> None:
    """The life of a socket, run and explained on this machine.

    A server and a client go through a whole connection, each call explained as it is made. Then one handler is served
    on every engine and family that the system has. Ends by itself.
    """
    console = _Paper()
    _show_life(console)
    _show_the_same(console)
    _show_bursts(console)
    _show_more(console)


class _Paper(Console):
    """Standard output, not wider than is easy to read."""

    def __init__(self) -> None:
        super().__init__(highlight=False)
        self.width = min(self.width, WIDEST)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the reader has gone: the command ends as quietly as all others


def _chapter(console: Console, title: str, text: str = "") -> None:
    console.print()
    console.print(Rule(Text(title, "bold"), align="left"))
    if text:
        console.print(Padding(Text(text), (0, 1)))
    console.print()


def _show_life(console: Console) -> None:
    _chapter(
        console,
        "The life of a socket",
        "A server and a client on this machine. Each call below was made just now; the numbers are the real ones.",
    )
    before = open_descriptor_count()
    engine = engines.make(engines.best_readiness())
    number = 0

    def show(step: Step) -> None:
        nonlocal number
        number += 1
        console.print(_step(number, step))
        if console.is_terminal:
            time.sleep(PAUSE)  # nothing else is under way here

    engine.run(walk(engine, show))
    after = open_descriptor_count()
    if before is not None and after is not None:
        console.print(
            Padding(f"Descriptors of this process before the first step: {before}; after the last: {after}.", (0, 1))
        )


def _step(number: int, step: Step) -> Padding:
    rows = Table.grid(padding=(0, 2, 0, 0))
    rows.add_column(justify="right", width=6, no_wrap=True)
    rows.add_column()
    rows.add_row(Text(str(number), "bold"), Text(step.text.title, "bold"))
    for call in step.calls[: _shown_count(step.calls)]:
        rows.add_row(Text(call.side, _STYLES[call.side]), Text(_written(call), f"bold {_STYLES[call.side]}"))
    if _shown_count(step.calls) < len(step.calls):
        last = step.calls[-1]
        rows.add_row(Text(last.side, _STYLES[last.side]), Text(f"the same, on {last.event.descriptor}"))
    rows.add_row("", Text(step.text.meaning))
    if step.states:
        states = ", ".join(f"{descriptor} {state}" for descriptor, state in step.states)
        rows.add_row(Text("state", "dim"), Text(states, "dim"))
    rows.add_row(Text("trap", "yellow"), Text(step.text.trap, "yellow"))
    return Padding(rows, (0, 1, 1, 0))


def _shown_count(calls: tuple[Call, ...]) -> int:
    """How many calls are shown: where one side does just what the other has done, only the first side's."""
    half = len(calls) // 2
    first, second = calls[:half], calls[half:]
    return half if half and list(map(_kind, first)) == list(map(_kind, second)) and half > 1 else len(calls)


def _kind(call: Call) -> tuple[str, tuple[str, ...], str]:
    return call.event.name, call.event.arguments, call.event.result


def _written(call: Call) -> str:
    event = call.event
    return call_line(event if len(event.data) <= MAX_DATA_SIZE else replace(event, data=b""))


def _show_the_same(console: Console) -> None:
    _chapter(console, "The same, by socketkit", "All of these steps, without these traps:")
    console.print(
        Padding(Syntax(_CODE, "python", theme="ansi_dark", background_color="default", word_wrap=True), (0, 4))
    )
    engine = engines.make(engines.best_readiness())
    console.print(Padding(_summary(engine.run(summarize(engine))), (0, 1)))


def _summary(summary: Summary) -> Text:
    calls = ", ".join(f"{count} {name}" for name, count in summary.calls.items())
    return Text.assemble(
        "It was run just now, with ",
        (f"{_grouped(summary.line_count)} lines", "bold"),
        " sent and received one by one. They were sent and echoed in ",
        (f"{sum(summary.calls.values())} socket calls", "bold"),
        f" on both sides together: {calls}.",
    )


def _show_bursts(console: Console) -> None:
    _chapter(
        console,
        "One handler, every engine",
        "An engine is a way of waiting. Here the echo from above is served on each engine and over "
        f"each family of sockets: 1000 round trips a second of {MESSAGE_SIZE} bytes, {BURST * 1000:.0f} ms each.",
    )
    bursts: list[Burst] = []
    if console.is_terminal:
        with Live(_tables(bursts, console.width), console=console, auto_refresh=False) as live:
            for burst in measure(BURST):
                bursts.append(burst)
                live.update(_tables(bursts, console.width), refresh=True)
    else:
        bursts.extend(measure(BURST))
        console.print(_tables(bursts, console.width))
    console.print(Padding(_notes(bursts), (1, 1, 0, 1)))


def _tables(bursts: list[Burst], width: int) -> Padding:
    """The rates of all engines: one table, or as many as a narrow terminal needs, each with some of the engines."""
    parts: list[list[str]] = []
    left = 0
    for name in ENGINES:
        size = max(_RATE_WIDTH, len(name)) + 2  # a blank and a border
        if size > left:
            parts.append([])
            left = width - 2 - _FAMILY_WIDTH
        parts[-1].append(name)
        left -= size
    return Padding(Group(*(_table(bursts, names) for names in parts)), (0, 1))


def _table(bursts: list[Burst], names: Sequence[str]) -> Table:
    table = Table(padding=(0, 0, 0, 1))
    table.add_column("family", no_wrap=True, min_width=8)
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


def _notes(bursts: list[Burst]) -> Group:
    notes = ["Both ends share this process, and one thread (two, with blocking): for comparison only."]
    notes += dict.fromkeys(burst.reason for burst in bursts if burst.rate is None)
    return Group(*map(Text, notes))


def _show_more(console: Console) -> None:
    _chapter(console, "To try next")
    rows = Table.grid(padding=(0, 2, 0, 0))
    for typed, meaning in (
        ("socketkit echo --explain", "a server that explains each of its socket calls"),
        ("socketkit connect --explain", "its client: type a line, and end with Ctrl-D"),
        ("socketkit chat host", "a chat, with you as its host"),
        ("socketkit chat join", "the other side of the chat; plain nc works too"),
    ):
        rows.add_row(Text(typed, "bold"), Text(meaning))
    console.print(Padding(rows, (0, 1, 1, 1)))


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
