"""What was measured, as tables in Markdown and as a chart in SVG."""

from __future__ import annotations

from html import escape

from bench.bars import Bar
from bench.run import Figures
from bench.workloads import Workload

PROSE = """# How fast it is beside others

Written by `make bench`{quick}; do not edit. {facts}.
With {versions}.

Each server runs in a process of its own on one core, the load (C, `bench/c/`) on another where there are two. In each
of {rounds} rounds of {seconds:g} s every server has its turn; each figure is the median. Every peer is written as its
own documentation would (`bench/peers/`, one short file each). **Cost** is the server's processor time, user and system,
a message: what throughput comes from, and what other programs on the machine disturb least. (They do disturb it: a
server that is pushed off its core finds cold caches, and interpreted code suffers most.) Messages a second of wall time
are what a shared machine left over. Latencies are those of the closed loop; in the open one they count from the
intended moment.

![Cost of a message](results.svg)

## What we hold ourselves to

Ratios within this run. {summary}

| what | this run | bar | |
|---|---:|---:|---|
{bars}

{tables}

## The blocking client

{client}

## Starting

{starts}
"""


def page(
    results: list[tuple[Workload, list[Figures]]],
    found: list[Bar],
    small: dict[str, dict[str, float]],
    *,
    facts: str,
    versions: str,
    rounds: int,
    seconds: float,
    is_quick: bool,
) -> str:
    """The whole page."""
    missed = [bar for bar in found if bar.is_met is False]
    return PROSE.format(
        facts=facts,
        versions=versions,
        rounds=rounds,
        seconds=seconds,
        quick=" QUICK=1" if is_quick else "",
        summary=f"{sum(bar.is_met is True for bar in found)} of {len(found)} are met."
        + ("" if not missed else " Where the time of the others goes: see `docs/speed.md`."),
        bars="\n".join(map(_bar, found)),
        tables="\n\n".join(_table(workload, figures) for workload, figures in results),
        client=_pairs("nanoseconds", {**small["trips"], **small["iterated"]}),
        starts=_pairs("milliseconds", small["starts"]),
    )


def _bar(bar: Bar) -> str:
    value = "not measured" if bar.value is None else f"{bar.value:.2f}"
    verdict = {None: "", True: "met", False: "**not met**"}[bar.is_met]
    return f"| {bar.what} | {value} | {'≥' if bar.more_is_better else '≤'} {bar.limit:g} | {verdict} |"


def _table(workload: Workload, figures: list[Figures]) -> str:
    if workload.unit == "connection":
        head = ["server", "KiB of its own a connection", "KiB resident"]
        rows = [
            [each.peer.name, f"{each.memory / 1024:.1f}", f"{each.median(lambda s: s.memory[1]) / 1024:.1f}"]
            for each in sorted(figures, key=lambda each: each.memory)
            if each.samples
        ]
        rows_titled = f"{workload.title}, {figures[0].samples[0].count if figures[0].samples else 0} of them"
    else:
        head = [
            "server",
            f"cost of a {workload.unit}, µs",
            f"{workload.unit}s a second",
            "p50, µs",
            "p99, µs",
            "p99.9, µs",
        ]
        rows = [
            [
                each.peer.name,
                f"{each.cost / 1000:.2f}",
                f"{each.rate:,.0f}".replace(",", " "),
                *(f"{each.latency(index):.0f}" if each.latency(index) else "" for index in range(3)),
            ]
            for each in sorted(figures, key=lambda each: each.cost)
            if each.samples
        ]
        rows_titled = workload.title
    failures = [f"{each.peer.name}: {each.error}." for each in figures if each.error]
    lines = [f"## {rows_titled[0].upper()}{rows_titled[1:]}", "", _row(head), "|---|" + "---:|" * (len(head) - 1)]
    lines += [_row([f"**{row[0]}**" if row[0].startswith("ours") else row[0], *row[1:]]) for row in rows]
    return "\n".join(lines + (["", *failures] if failures else []))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pairs(unit: str, values: dict[str, float]) -> str:
    return "\n".join([f"| | {unit} |", "|---|---:|", *(f"| {name} | {value:.0f} |" for name, value in values.items())])


_WIDTH, _ROW, _LEFT = 860, 20, 190


def chart(results: list[tuple[Workload, list[Figures]]]) -> str:
    """Bars of cost for the workloads that tell most; a short bar is a fast server. Readable on light and on dark."""
    parts: list[str] = []
    top = 10
    for workload, figures in results:
        if workload.key not in ("ping-50", "pipe-32", "ingest", "large"):
            continue
        shown = sorted((each for each in figures if each.samples), key=lambda each: each.cost)
        if not shown:
            continue
        longest = shown[-1].cost
        parts.append(f'<text x="4" y="{top + 16}" class="h">{escape(workload.title)}: µs of processor a message</text>')
        top += 26
        for each in shown:
            width = max(2.0, (_WIDTH - _LEFT - 70) * each.cost / longest)
            kind = "o" if each.peer.is_ours else "l" if "limit" in each.peer.name else "p"
            parts.append(
                f'<text x="{_LEFT - 6}" y="{top + 14}" text-anchor="end">{escape(each.peer.name)}</text>'
                f'<rect x="{_LEFT}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}" class="{kind}"/>'
                f'<text x="{_LEFT + width + 5:.1f}" y="{top + 14}">{each.cost / 1000:.2f}</text>'
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
