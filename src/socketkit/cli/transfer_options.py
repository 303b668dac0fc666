"""Figures of connections: `--summary` at the end, `--progress` meanwhile, SIGUSR1 at any time."""

from __future__ import annotations

import functools
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from socketkit.apps.observers.transfer_stats import Figures, TransferStats
from socketkit.cli.fast_click import option
from socketkit.cli.output import ERRORS, print_line, printing_above
from socketkit.config.time_limits import DROP_REPORT_INTERVAL
from socketkit.events import (
    Accepted,
    Closed,
    Connected,
    DatagramDropped,
    DatagramsOverflowed,
    Event,
    Observer,
    Received,
    Sent,
    combine,
)

if TYPE_CHECKING:
    from socketkit.apps.talk.conversation import TalkOptions

__all__ = ["input_size", "with_statistics"]

F = TypeVar("F", bound=Callable[..., Any])

_summary_option = option(
    "--summary",
    type=click.Choice(["text", "json"]),
    is_flag=False,
    flag_value="text",
    help="Print at the end, on standard error: times, bytes, rates, TLS, certificates. (SIGUSR1: print them now.)",
)
_progress_option = option(
    "--progress",
    is_flag=True,
    help="Show what was transferred so far, and of a file as input the percentage and time left; on a terminal only.",
)


def with_statistics(function: F) -> F:
    """Add --summary and --progress, and the report at SIGUSR1; the function gets an `observer` that counts.

    Stands below `with_observer_options`.
    """

    @functools.wraps(function)
    def with_figures(*args: Any, observer: Observer | None, summary: str | None, progress: bool, **options: Any) -> Any:
        statistics = TransferStats(_printer(summary))
        shows_progress = progress and os.isatty(ERRORS)
        if shows_progress and os.isatty(1) and _writes_output(options):
            raise click.UsageError("--progress and the data cannot share a terminal: redirect standard output")
        with _printing_at_signal(statistics), _progress(shows_progress) as bar:
            return function(*args, observer=combine(statistics, bar, observer or _Drops()), **options)

    return _summary_option(_progress_option(with_figures))  # type: ignore[return-value]


class _Drops:
    """Prints one line for ten seconds in which datagrams were dropped; with -v each is printed already."""

    def __init__(self) -> None:
        self._printed_at = float("-inf")

    def __call__(self, event: Event) -> None:
        if isinstance(event, (DatagramDropped, DatagramsOverflowed)):
            now = time.monotonic()
            if now - self._printed_at >= DROP_REPORT_INTERVAL:
                self._printed_at = now
                from socketkit.cli.event_lines import text_of

                print_line(f"socketkit: {text_of(event)}")


def _printer(form: str | None) -> Callable[[Figures], object]:
    if form == "json":
        return _print_json
    return _print_text if form == "text" else (lambda figures: None)


def _print_json(figures: Figures) -> None:
    import json

    facts = figures.as_facts()
    if figures.tls is not None:
        from socketkit.apps.observers.tls_summary import tls_facts

        facts["tls"] = tls_facts(figures.tls)
    if figures.websocket is not None:
        facts["websocket"] = {name: getattr(figures.websocket, name) for name in type(figures.websocket).fields}
    print_line(json.dumps(facts))


def _print_text(figures: Figures) -> None:
    print_line(figures.as_text())
    if figures.tls is not None:
        from socketkit.apps.observers.tls_summary import tls_lines

        for line in tls_lines(figures.tls):
            print_line(f"[{figures.connection}] {line}")
    if figures.websocket is not None:
        print_line(f"[{figures.connection}] {figures.websocket.as_text()}")


def _writes_output(options: dict[str, Any]) -> bool:
    """Whether the verb writes what it receives to standard output: connect, and listen without a program."""
    talk: TalkOptions | None = options.get("talk")
    return talk is not None and talk.only != "send" and options.get("command") is None


@contextmanager
def _printing_at_signal(statistics: TransferStats) -> Iterator[None]:
    """While the block runs, SIGUSR1 prints the figures, as with dd(1)."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(*_: object) -> None:
        for figures in statistics.figures():
            _print_text(figures)

    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _progress(is_wanted: bool) -> Iterator[Observer | None]:
    if not is_wanted:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        DownloadColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn()]
    columns.append(TimeElapsedColumn())
    total = input_size(0)
    if total is not None:
        columns += [TaskProgressColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)

    def show(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as bar, printing_above(show):
        yield _Bar(bar, total)


def input_size(descriptor: int) -> int | None:
    """The bytes from here to the end of a regular file; None for anything else."""
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        return max(0, facts.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))
    except OSError:
        return None


class _Bar:
    """Two lines for each conversation: what was sent, and what was received.

    With `total`, the size of the input, the first conversation shows also the percentage and the time left.
    """

    def __init__(self, bar: Any, total: int | None) -> None:
        self._bar = bar
        self._total = total
        self._lines: dict[int, tuple[Any, Any]] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Connected | Accepted):
            names = (f"[{event.connection}] sent", f"[{event.connection}] received")
            totals, self._total = (self._total, None), None
            sent, received = (
                self._bar.add_task(name.replace("[", "\\["), total=total)
                for name, total in zip(names, totals, strict=True)
            )
            self._lines[event.connection] = (sent, received)
        elif isinstance(event, Received | Sent) and event.connection in self._lines:
            sent, received = self._lines[event.connection]
            self._bar.advance(sent if isinstance(event, Sent) else received, len(event.data))
        elif isinstance(event, Closed) and event.connection in self._lines:
            for line in self._lines.pop(event.connection):
                self._bar.remove_task(line)
