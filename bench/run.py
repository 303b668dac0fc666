"""Runs the workloads: short rounds in which all have their turn in random order, so that all see the same weather."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.machine import Programs
from bench.measure import Sample

Measure = Callable[[float], Sample]
"""Measures once, for about so many seconds."""


@dataclass(frozen=True)
class Value:
    """What of a sample is looked at, and in which unit it is shown.

    Attributes:
        unit: in tables.
        of: takes it from a sample.
        scale: how many of the sample's units are one of those shown.
        more_is_better: else less is.
    """

    unit: str
    of: Callable[[Sample], float]
    scale: float = 1.0
    more_is_better: bool = False


COST = Value("processor time, µs", lambda sample: sample.cost, 1000)
COST_NS = Value("processor time, ns", lambda sample: sample.cost)
TIME = Value("time, ns", lambda sample: sample.time)
LATENCY = Value("p50, µs", lambda sample: sample.latency(0))
MEMORY = Value("KiB of its own", lambda sample: sample.memory[0], 1024)
BYTES_RATE = Value("GB a second", lambda sample: sample.rate, 1e9, more_is_better=True)


@dataclass
class Contestant:
    """Somebody who is measured under one workload, with all samples.

    Attributes:
        name: in tables.
        measure: one round.
        is_ours: for the reader's eye.
        error: why it could not be measured.
    """

    name: str
    measure: Measure
    is_ours: bool = False
    error: str = ""
    samples: list[Sample] = field(default_factory=list)

    def best(self, value: Value) -> float:
        """The best round's, in the unit shown; 0 where there is nothing."""
        choose = max if value.more_is_better else min
        return choose(map(value.of, self.samples), default=0.0) / value.scale

    def median(self, value: Value) -> float:
        """The median over the rounds, in the unit shown; 0 where there is nothing."""
        return statistics.median(map(value.of, self.samples)) / value.scale if self.samples else 0.0

    @property
    def rate(self) -> float:
        """Of wall time, the median."""
        return statistics.median(sample.rate for sample in self.samples) if self.samples else 0.0

    def latency(self, index: int) -> float:
        """A percentile in microseconds: the median over the rounds."""
        return statistics.median(sample.latency(index) for sample in self.samples) if self.samples else 0.0


@dataclass(frozen=True)
class Workload:
    """What all contestants do.

    Attributes:
        key: on the command line.
        title: in tables.
        open: everybody who can be measured so, started; they are stopped with the context.
        value: what they are ranked by.
        unit: what is counted.
        has_one_round: a second round would find memory that the first has left.
    """

    key: str
    title: str
    open: Callable[[Programs, Callable[[str], bool]], AbstractContextManager[list[Contestant]]]
    value: Value = COST
    unit: str = "message"
    has_one_round: bool = False


@dataclass
class Result:
    """One workload with its contestants, measured."""

    workload: Workload
    contestants: list[Contestant]

    def ranked(self) -> list[Contestant]:
        """Those that were measured, the best first."""
        value = self.workload.value
        measured = [each for each in self.contestants if each.samples]
        return sorted(measured, key=lambda each: each.best(value), reverse=value.more_is_better)

    def named(self, name: str) -> Contestant | None:
        """The one of this name, if it was measured."""
        return next((each for each in self.contestants if each.name == name and each.samples), None)


def run(
    workload: Workload, programs: Programs, wanted: Callable[[str], bool], *, rounds: int, seconds: float
) -> Iterator[Result]:
    """Measure; yields after each turn, and lastly with all of them."""
    with workload.open(programs, wanted) as contestants:
        result = Result(workload, contestants)
        for _ in range(1 if workload.has_one_round else rounds):
            for each in random.sample(contestants, len(contestants)):
                if not each.error:
                    try:
                        sample = each.measure(seconds)
                        if workload.value in (COST, COST_NS) and not sample.processor_ns:
                            raise RuntimeError("it has spent no processor time: another process serves")
                        each.samples.append(sample)
                    except (RuntimeError, OSError) as error:
                        each.error = str(error)
                yield result
        yield result
