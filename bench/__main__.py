"""`python -m bench`: measure everything, show it, write `bench/results.md` and `bench/results.svg`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from bench.bars import Bar, bars
from bench.client import iterations, round_trips
from bench.machine import compile_programs, facts, raise_descriptor_limit
from bench.peers import PEERS, versions
from bench.report import chart, page
from bench.run import Figures, run
from bench.startup import startups
from bench.workloads import Workload, workloads

FOLDER = Path(__file__).parent
console = Console(stderr=True)


def _arguments() -> argparse.Namespace:
    quick = os.environ.get("QUICK", "") not in ("", "0")
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help="workloads, by comma: " + ",".join(w.key for w in workloads()))
    parser.add_argument("--peers", default="", help="servers, by slash: " + "/".join(peer.name for peer in PEERS))
    parser.add_argument("--rounds", type=int, default=1 if quick else 5)
    parser.add_argument("--seconds", type=float, default=0.2 if quick else 1.0)
    parser.add_argument("--no-page", action="store_true", help="show, and write nothing")
    found = parser.parse_args()
    found.quick = quick
    return found


def _show(workload: Workload, figures: list[Figures]) -> None:
    table = RichTable(title=workload.title, title_justify="left")
    table.add_column("server")
    names = ("KiB of its own",) if workload.unit == "connection" else ("cost, µs", "a second", "p50", "p99", "p99.9")
    for name in names:
        table.add_column(name, justify="right")
    key = (lambda each: each.memory) if workload.unit == "connection" else (lambda each: each.cost)
    for each in sorted(figures, key=key):
        if each.error:
            table.add_row(each.peer.name, each.error, style="red")
        elif workload.unit == "connection":
            table.add_row(each.peer.name, f"{each.memory / 1024:.1f}", style="green" if each.peer.is_ours else "")
        else:
            cells = [f"{each.cost / 1000:.2f}", f"{each.rate:,.0f}", *(f"{each.latency(i):.0f}" for i in range(3))]
            table.add_row(each.peer.name, *cells, style="green" if each.peer.is_ours else "")
    console.print(table)


def _show_bars(found: list[Bar]) -> None:
    table = RichTable(title="what we hold ourselves to", title_justify="left")
    for name in ("what", "this run", "bar", ""):
        table.add_column(name)
    for bar in found:
        verdict = {None: "[dim]not measured", True: "[green]met", False: "[red]not met"}[bar.is_met]
        value = "" if bar.value is None else f"{bar.value:.2f}"
        table.add_row(bar.what, value, f"{'≥' if bar.more_is_better else '≤'} {bar.limit:g}", verdict)
    console.print(table)


def main() -> None:
    """Measure, show, write. A bar that was missed is told, and is no failure of the run."""
    told = _arguments()
    raise_descriptor_limit()
    where = facts()
    programs = compile_programs()
    chosen = [w for w in workloads() if not told.only or w.key in told.only.split(",")]
    only = [name for name in told.peers.split("/") if name]
    results: list[tuple[Workload, list[Figures]]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for workload in chosen:
            rounds = 1 if workload.unit == "connection" else told.rounds
            count = rounds * sum(workload.takes(peer) and (not only or peer.name in only) for peer in PEERS)
            task = progress.add_task(workload.title, total=count)
            figures = run(
                workload,
                programs,
                rounds=rounds,
                seconds=told.seconds,
                only=only,
                progress=lambda name, task=task: progress.advance(task),  # type: ignore[misc]
            )
            progress.remove_task(task)
            results.append((workload, figures))
            _show(workload, figures)
    small = {"trips": {}, "iterated": {}, "starts": {}}
    if not told.only:
        small = {
            "trips": round_trips(programs["server"], told.rounds),
            "iterated": iterations(programs["server"], told.rounds * 4),
            "starts": startups(told.rounds * 2),
        }
    table = {workload.key: {each.peer.name: each for each in figures} for workload, figures in results}
    found = bars(table, small["trips"], small["iterated"], small["starts"])
    _show_bars(found)
    if not told.no_page and not told.only:
        written = page(
            results,
            found,
            small,
            facts=where,
            versions=versions(),
            rounds=told.rounds,
            seconds=told.seconds,
            is_quick=told.quick,
        )
        (FOLDER / "results.md").write_text(written)
        (FOLDER / "results.svg").write_text(chart(results))
        console.print(f"wrote {FOLDER / 'results.md'} and results.svg")


if __name__ == "__main__":
    main()
