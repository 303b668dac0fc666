"""What we hold ourselves to: ratios within one run, so that they travel from machine to machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import broadcast, client, encode, relayed, startup
from bench.machine import CORES
from bench.peers import BY_HAND, PICOWS, C
from bench.run import COST_NS, MEMORY, TIME, Contestant, Result, Value

Results = Mapping[str, Result]
"""By the workload's key."""


@dataclass(frozen=True)
class Bar:
    """A promise, with what this run has shown.

    Attributes:
        workload: its title.
        what: is compared, in words.
        limit: what it is held to.
        is_floor: whether more is better.
        best: by the best rounds; None where something was not measured.
        median: by the medians.
        unit: of both; empty: a ratio.
        excuse: why it is not judged here; empty: it is.
    """

    workload: str
    what: str
    limit: float
    is_floor: bool
    best: float | None
    median: float | None
    unit: str = ""
    excuse: str = ""

    @property
    def is_met(self) -> bool | None:
        """By the best rounds; None: not measured, or not judged here."""
        if self.best is None or self.excuse:
            return None
        return self.best >= self.limit if self.is_floor else self.best <= self.limit


@dataclass(frozen=True)
class _Ratio:
    """Ours beside another one under one workload: at most so much of its cost, or at least so many times its speed."""

    key: str
    ours: str
    other: str
    limit: float
    is_floor: bool = False
    value: Value | None = None
    excuse: str = ""

    def judge(self, results: Results) -> Bar | None:
        result = results.get(self.key)
        if result is None:
            return None
        value = self.value or result.workload.value
        ours, other = result.named(self.ours), result.named(self.other)
        word = "speed of" if self.is_floor else "cost of"
        if value.of is MEMORY.of:
            word = "memory of"

        def ratio(of: Callable[[Contestant], float]) -> float | None:
            if ours is None or other is None:
                return None
            upper, lower = (of(ours), of(other))
            if self.is_floor != value.more_is_better:
                upper, lower = lower, upper
            return upper / lower if lower else None

        best, median = ratio(lambda each: each.best(value)), ratio(lambda each: each.median(value))
        what = f"{word} {self.ours} / {self.other}"
        return Bar(result.workload.title, what, self.limit, self.is_floor, best, median, excuse=self.excuse)


EPOLL, BATCHES, UVLOOP, ASYNCIO = "ours, epoll", "ours, epoll, by batches", "ours, uvloop", "ours, asyncio"
FEW_CORES = "three processes need three cores" if len(CORES) < 3 else ""

_RATIOS = [
    _Ratio("ping-50", EPOLL, C, 1.25),
    _Ratio("ping-50", EPOLL, BY_HAND, 1.0),
    _Ratio("ping-50", UVLOOP, BY_HAND, 1.2),
    _Ratio("ping-50", ASYNCIO, "asyncio streams", 0.8),
    _Ratio("ping-50", EPOLL, "trio SocketStream", 0.45),
    _Ratio("ping-50", EPOLL, "Twisted LineReceiver", 0.45),
    _Ratio("pipe-32", EPOLL, C, 1.8),
    _Ratio("pipe-32", EPOLL, BY_HAND, 1.0),
    _Ratio("pipe-32", BATCHES, C, 1.3),
    _Ratio("pipe-32", EPOLL, "Twisted LineReceiver", 2.0, is_floor=True),
    _Ratio("ingest", EPOLL, "uvloop streams", 8.0, is_floor=True),
    _Ratio("ingest", BATCHES, "uvloop streams", 10.0, is_floor=True),
    _Ratio("large", EPOLL, "uvloop, raw protocol", 0.95, is_floor=True),
    _Ratio("trip", client.CHUNKS, client.BARE, 1.10),
    _Ratio("iterate", client.BYTES_LINES, client.FILE, 1.5, is_floor=True),
    _Ratio("tls-32", EPOLL, "uvloop streams", 5.0, is_floor=True),
    _Ratio("ws-50", EPOLL, PICOWS, 1.15),
    _Ratio("ws-50", UVLOOP, PICOWS, 1.15),
    _Ratio("ws-32", EPOLL, PICOWS, 0.3),
    _Ratio("ws-32", UVLOOP, PICOWS, 0.3),
    _Ratio("broadcast", broadcast.STALLED, broadcast.OURS, 1.2, value=TIME),
    _Ratio("relay-ping", relayed.OURS, "socat", 1.1),
    _Ratio("relay-bulk", relayed.OURS, relayed.DIRECT, 0.8, is_floor=True, excuse=FEW_CORES),
    _Ratio("encode", encode.OURS, encode.JOIN, 1.3),
]

MOST_DELIVERIES, TIMES_REDIS = 12.0, 5.0
IDLE_KIB = 2.0
_STARTS = ((startup.IMPORT, 30.0), (startup.VERSION, 60.0), (startup.CONNECTED, 90.0))


def bars(results: Results) -> list[Bar]:
    """Every bar of the workloads that were measured."""
    found = [bar for ratio in _RATIOS if (bar := ratio.judge(results)) is not None]
    return [*found, *_deliveries(results), *_idle(results), *_starts(results)]


def _deliveries(results: Results) -> list[Bar]:
    """Millions a second of the server's processor time: so many, or so many times what Redis does, if that is less."""
    result = results.get("broadcast")
    if result is None:
        return []
    ours, redis = result.named(broadcast.OURS), result.named(broadcast.REDIS_NAME)
    limit = MOST_DELIVERIES
    if redis is not None:
        limit = min(limit, TIMES_REDIS * 1000 / redis.best(COST_NS))
    best = None if ours is None else 1000 / ours.best(COST_NS)
    median = None if ours is None else 1000 / ours.median(COST_NS)
    return [Bar(result.workload.title, f"deliveries of {broadcast.OURS}", limit, True, best, median, "M/s")]


def _idle(results: Results) -> list[Bar]:
    result = results.get("idle")
    if result is None:
        return []
    ours = result.named(EPOLL)
    best = None if ours is None else ours.best(MEMORY)
    return [Bar(result.workload.title, f"memory of {EPOLL}", IDLE_KIB, False, best, best, "KiB")]


def _starts(results: Results) -> list[Bar]:
    result = results.get("start")
    if result is None:
        return []
    base = result.named(startup.NOTHING)
    found = []
    for name, limit in _STARTS:
        ours = result.named(name)
        best = median = None
        if ours is not None and base is not None:
            best = ours.best(startup.START) - base.best(startup.START)
            median = ours.median(startup.START) - base.median(startup.START)
        what = f"{name}, over {startup.NOTHING}"
        found.append(Bar(result.workload.title, what, limit, False, best, median, "ms"))
    return found
