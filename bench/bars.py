"""What we hold ourselves to: ratios within one run, so that they travel from machine to machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.run import Figures
from bench.startup import CONNECTED

Table = dict[str, dict[str, Figures]]
"""Figures by workload and server."""


@dataclass(frozen=True)
class Bar:
    """A promise.

    Attributes:
        what: in words.
        value: the figure, or None where something was not measured.
        limit: what it is held to.
        more_is_better: whether the limit is a floor.
    """

    what: str
    value: float | None
    limit: float
    more_is_better: bool = False

    @property
    def is_met(self) -> bool | None:
        """None: not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.more_is_better else self.value <= self.limit


def bars(table: Table, trips: dict[str, float], iterated: dict[str, float], starts: dict[str, float]) -> list[Bar]:
    """Every bar, with the value of this run."""

    def cost(workload: str, ours: str, other: str) -> float | None:
        return _ratio(table, workload, ours, other, lambda figures: figures.cost)

    def times(workload: str, ours: str, other: str) -> float | None:
        # Messages a second of processor time: on a machine that others use, that is what throughput depends on us.
        return _ratio(table, workload, other, ours, lambda figures: figures.cost)

    ping, pipe, ingest = "ping-50", "pipe-32", "ingest"
    return [
        *(
            Bar(f"ping-pong x 50, cost: {ours} / {other}", cost(ping, ours, other), limit)
            for ours, other, limit in (
                ("ours, epoll", "uvloop streams", 0.85),
                ("ours, epoll", "asyncio streams", 0.60),
                ("ours, epoll", "trio SocketStream", 0.45),
                ("ours, epoll", "Twisted LineReceiver", 0.45),
                ("ours, uvloop", "uvloop streams", 1.05),
                ("ours, asyncio", "asyncio streams", 0.90),
            )
        ),
        *(
            Bar(f"{word}, throughput: {ours} / {other}", times(workload, ours, other), limit, more_is_better=True)
            for word, workload, ours, other, limit in (
                ("32 under way", pipe, "ours, epoll", "uvloop streams", 7.0),
                ("32 under way", pipe, "ours, epoll", "Twisted LineReceiver", 2.0),
                ("32 under way", pipe, "ours, uvloop", "uvloop streams", 5.0),
                ("32 under way", pipe, "ours, epoll, by batches", "uvloop streams", 12.0),
                ("one way", ingest, "ours, epoll", "uvloop streams", 4.0),
                ("one way", ingest, "ours, epoll, by batches", "uvloop streams", 10.0),
                ("64 KiB", "large", "ours, epoll", "uvloop, raw protocol", 0.85),
            )
        ),
        Bar(
            "blocking client, round trip: ours, chunks / bare socket",
            _divide(trips, "ours, chunks", "bare socket"),
            1.15,
        ),
        Bar(
            "blocking client, lines of bytes iterated: speed of ours / makefile('rb')",
            _divide(iterated, "makefile('rb')", "ours, lines of bytes"),
            1.0,
            more_is_better=True,
        ),
        Bar("an idle connection on epoll, KiB of its own", _memory(table), 4.0),
        *(
            Bar(f"{name}, ms over python -c pass", starts[name] - starts["python -c pass"] if starts else None, limit)
            for name, limit in (
                ("import socketkit", 30.0),
                ("socketkit --version", 60.0),
                (CONNECTED, 90.0),
            )
        ),
    ]


def _ratio(table: Table, workload: str, upper: str, lower: str, value: Callable[[Figures], float]) -> float | None:
    figures = table.get(workload, {})
    if upper not in figures or lower not in figures or not value(figures[lower]):
        return None
    return value(figures[upper]) / value(figures[lower])


def _divide(figures: dict[str, float], upper: str, lower: str) -> float | None:
    return figures[upper] / figures[lower] if figures else None


def _memory(table: Table) -> float | None:
    figures = table.get("idle", {}).get("ours, epoll")
    return figures.memory / 1024 if figures is not None and figures.samples else None
