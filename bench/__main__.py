"""`python -m bench`: measure everything, show it, write `bench/results.md` and `bench/results.svg`."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.bars import Bar, bars
from bench.machine import Programs, compile_programs, facts, on_load_core, raise_descriptor_limit
from bench.peers import versions
from bench.report import BAR_HEAD, bar_row, bar_table, chart, head, marked, page, row
from bench.run import Result, Workload, run
from bench.workloads import workloads

FOLDER = Path(__file__).parent
console = Console(stderr=True)


def _arguments() -> argparse.Namespace:
    quick = os.environ.get("QUICK", "") not in ("", "0")
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    keys = ",".join(workload.key for workload in workloads())
    parser.add_argument("--only", default=os.environ.get("ONLY", ""), help=f"workloads (or the variable ONLY): {keys}")
    parser.add_argument("--peers", default=os.environ.get("PEERS", ""), help="parts of names, by slash (or PEERS)")
    parser.add_argument("--rounds", type=int, default=3 if quick else 10)
    parser.add_argument("--seconds", type=float, default=0.15 if quick else 0.3)
    parser.add_argument("--page", action="store_true", help="write the page although this was a selection")
    found = parser.parse_args()
    found.quick = quick
    unknown = set(found.only.split(",")) - set(keys.split(",")) - {""}
    if unknown:
        parser.error(f"there is no workload {', '.join(sorted(unknown))}; there are {keys}")
    return found


def _table(title: str, names: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index else "left")
    return table


def _show(result: Result) -> None:
    table = _table(result.workload.title, head(result))
    for each in result.ranked():
        table.add_row(*row(result, each), style="green" if each.is_ours else "")
    for each in result.contestants:
        if each.error:
            table.add_row(each.name, each.error, style="red")
    console.print(table)


def _show_bars(found: list[Bar]) -> None:
    table = _table("what we hold ourselves to", BAR_HEAD)
    for bar in found:
        style = {None: "dim", True: "green", False: "red"}[bar.is_met]
        table.add_row(*(cell.strip("*") for cell in bar_row(bar)), style=style)
    console.print(table)


def _measured(workload: Workload, programs: Programs, told: argparse.Namespace, progress: Progress) -> Result:
    parts = [part for part in told.peers.split("/") if part]
    task = progress.add_task(workload.title, total=None)
    result = None
    for result in run(
        workload,
        programs,
        lambda name: not parts or any(part in name for part in parts),
        rounds=told.rounds,
        seconds=told.seconds,
    ):
        rounds = 1 if workload.has_one_round else told.rounds
        progress.update(task, total=rounds * len(result.contestants), advance=1)
    progress.remove_task(task)
    assert result is not None
    return result


def main() -> None:
    """Measure, show, write. A bar that was missed is told, and is no failure of the run."""
    told = _arguments()
    raise_descriptor_limit()
    where = facts()
    console.print(where)
    on_load_core()
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack, Progress(*columns, console=console, transient=True) as progress:
        programs = compile_programs(stack)
        for workload in workloads():
            if not told.only or workload.key in told.only.split(","):
                results.append(_measured(workload, programs, told, progress))
                _show(results[-1])
    found = bars({result.workload.key: result for result in results})
    _show_bars(found)
    if told.page or not (told.only or told.peers):
        written = page(
            results,
            found,
            facts=where,
            versions=versions(),
            rounds=told.rounds,
            seconds=told.seconds,
            is_quick=told.quick,
        )
        (FOLDER / "results.md").write_text(written)
        (FOLDER / "results.svg").write_text(chart(results))
        for name in ("speed.md", "speed.ru.md"):
            document = FOLDER.parent / "docs" / name
            document.write_text(marked(document.read_text(), "bars", bar_table(found)))
        console.print(f"wrote {FOLDER / 'results.md'}, results.svg, and the table of docs/speed.md")


if __name__ == "__main__":
    main()
