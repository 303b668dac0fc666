"""What was measured, as tables in Markdown and as a chart in SVG."""

from __future__ import annotations

import os
from html import escape

from bench.bars import Bar
from bench.peers import C
from bench.run import COST, COST_NS, LATENCY, MEMORY, Contestant, Result

PROSE = """# How fast it is beside others

Written by `make bench{quick}`; do not edit. {facts}, {load:.1f} after.
With {versions}.

Each server runs in a process of its own on one core, the load (C, `bench/c/`) on another where there are two. In each
of {rounds} rounds of {seconds:g} s all have their turn, in random order. **Best** is the best round: what the code
costs when nothing disturbs it. The median is what this machine, which other programs use too, left over. Every peer is
written as its own documentation would, or as an expert would (`bench/peers/`, one short file each).

**Cost** is the server's processor time, user and system, a message: what throughput comes from. Messages a second
are of wall time, and the load shares in them. Latencies are those of the closed loop; in the open one they count from
the intended moment. Rates and latencies are medians.

![Cost of a message](results.svg)

## What we hold ourselves to

Ratios within this run, by the best rounds. {summary}

{bars}

{tables}
"""


def page(
    results: list[Result],
    found: list[Bar],
    *,
    facts: str,
    versions: str,
    rounds: int,
    seconds: float,
    is_quick: bool,
) -> str:
    """The whole page."""
    missed = sum(bar.is_met is False for bar in found)
    summary = f"{sum(bar.is_met is True for bar in found)} of {len(found)} are met, {missed} are missed."
    return PROSE.format(
        facts=facts,
        load=os.getloadavg()[0],
        versions=versions,
        rounds=rounds,
        seconds=seconds,
        quick=" QUICK=1" if is_quick else "",
        summary=summary + (" Where the time of those goes: see `docs/speed.md`." if missed else ""),
        bars=bar_table(found),
        tables="\n\n".join(map(_section, results)),
    )


def marked(text: str, mark: str, body: str) -> str:
    """The text with another body between `<!-- measured: mark -->` and the end of that part."""
    begin = f"<!-- measured: {mark} -->\n"
    head, rest = text.split(begin)
    return f"{head}{begin}{body}\n{rest[rest.index('<!-- end -->') :]}"


BAR_HEAD = ["workload", "what", "bar", "best", "median", ""]


def bar_row(bar: Bar) -> list[str]:
    """The cells of one bar."""
    unit = f" {bar.unit}" if bar.unit else ""
    values = ["" if value is None else f"{value:.2f}{unit}" for value in (bar.best, bar.median)]
    verdict = {None: bar.excuse or "not measured", True: "met", False: "**missed**"}[bar.is_met]
    return [bar.workload, bar.what, f"{'≥' if bar.is_floor else '≤'} {bar.limit:.4g}{unit}", *values, verdict]


def bar_table(found: list[Bar]) -> str:
    """All bars as a table in Markdown."""
    return markdown(BAR_HEAD, [bar_row(bar) for bar in found], left=2)


def head(result: Result) -> list[str]:
    """The columns of a workload's table."""
    value, unit = result.workload.value, result.workload.unit
    if value is MEMORY:
        return ["", "KiB of its own a connection", "KiB resident"]
    names = ["", f"{value.unit}: best", "median"]
    if value is COST or value is COST_NS:
        plural = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
        names.append(f"{plural} a second")
    if _has_latency(result):
        names += ["p99, µs", "p99.9, µs"] if value is LATENCY else ["p50, µs", "p99, µs", "p99.9, µs"]
    return names


def row(result: Result, each: Contestant) -> list[str]:
    """The cells of one that was measured."""
    value = result.workload.value
    if value is MEMORY:
        return [each.name, f"{each.best(MEMORY):.2f}", f"{each.samples[0].memory[1] / 1024:.2f}"]
    digits = 0 if each.best(value) >= 1000 else 1 if each.best(value) >= 100 else 2
    cells = [each.name, f"{each.best(value):.{digits}f}", f"{each.median(value):.{digits}f}"]
    if value is COST or value is COST_NS:
        cells.append(f"{each.rate:,.0f}".replace(",", " "))
    if _has_latency(result):
        cells += [f"{each.latency(index):.0f}" for index in range(1 if value is LATENCY else 0, 3)]
    return cells


def _has_latency(result: Result) -> bool:
    return any(sample.latencies for each in result.contestants for sample in each.samples)


def _section(result: Result) -> str:
    title = result.workload.title
    if result.workload.value is MEMORY and result.ranked():
        title += f", {result.ranked()[0].samples[0].count} of them"
    rows = [row(result, each) for each in result.ranked()]
    ours = {each.name for each in result.contestants if each.is_ours}
    rows = [[f"**{cells[0]}**" if cells[0] in ours else f"`{cells[0]}`" if '"' in cells[0] else cells[0], *cells[1:]]
            for cells in rows]  # fmt: skip
    failures = [f"Not measured: {each.name} ({each.error})." for each in result.contestants if not each.samples]
    return "\n\n".join([f"## {title}", markdown(head(result), rows), *failures])


def markdown(names: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A table; so many columns are set to the left, the others to the right."""
    rule = "|---" * left + "|---:" * (len(names) - left) + "|"
    return "\n".join([_line(names), rule, *map(_line, rows)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


_WIDTH, _ROW, _LEFT = 860, 20, 230
_SHOWN = ("ping-50", "pipe-32", "ingest", "large", "tls-32", "accept", "broadcast")


def chart(results: list[Result]) -> str:
    """Bars of the best cost for the workloads that tell most; a short bar is a fast server. For light and dark."""
    parts: list[str] = []
    top = 10
    for result in results:
        shown, value = result.ranked(), result.workload.value
        if result.workload.key not in _SHOWN or not shown:
            continue
        longest = shown[-1].best(value)
        title = f"{result.workload.title}: {value.unit} a {result.workload.unit}"
        parts.append(f'<text x="4" y="{top + 16}" class="h">{escape(title)}</text>')
        top += 26
        for each in shown:
            width = max(2.0, (_WIDTH - _LEFT - 70) * each.best(value) / longest)
            kind = "o" if each.is_ours else "l" if each.name == C else "p"
            parts.append(
                f'<text x="{_LEFT - 6}" y="{top + 14}" text-anchor="end">{escape(each.name)}</text>'
                f'<rect x="{_LEFT}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}" class="{kind}"/>'
                f'<text x="{_LEFT + width + 5:.1f}" y="{top + 14}">{each.best(value):.2f}</text>'
            )
            top += _ROW
        top += 14
    style = (
        "text{font:12px sans-serif;fill:#222}.h{font-weight:bold}.o{fill:#1a7f37}.p{fill:#8c959f}.l{fill:#0969da}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )
