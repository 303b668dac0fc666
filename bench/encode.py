"""What it costs to encode a thousand lines in one go, beside the bare join of as many bytes, which checks nothing."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.machine import Programs
from bench.measure import Sample
from bench.run import TIME, Contestant, Workload
from socketkit import framing

COUNT = 1000
TEXTS = [f"{number:063d}" for number in range(COUNT)]
LINES = [text.encode() for text in TEXTS]
M_TRIM_THRESHOLD, M_TOP_PAD = -1, -2  # mallopt(3)
JOIN = 'b"\\n".join'
OURS = "ours, lines of bytes"


def workloads() -> list[Workload]:
    """One."""
    return [Workload("encode", "1 000 lines encoded in one go", _open, TIME, unit="line")]


@contextmanager
def _open(programs: Programs, wanted: Callable[[str], bool]) -> Iterator[list[Contestant]]:
    # The top of the heap is not given back after each call: else page faults are measured, and whose they are is luck.
    with_gc = gc.isenabled()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 28)
        libc.mallopt(M_TOP_PAD, 1 << 26)
    gc.disable()
    try:
        works: dict[str, Callable[[], Any]] = {
            JOIN: lambda: b"\n".join(LINES),
            OURS: _encoder("lines:encoding=none", LINES),
            "ours, lines of str": _encoder("lines", TEXTS),
        }
        yield [
            Contestant(name, _repeated(work), is_ours=name.startswith("ours"))
            for name, work in works.items()
            if wanted(name)
        ]
    finally:
        if with_gc:
            gc.enable()


def _encoder(name: str, messages: list[Any]) -> Callable[[], bytes]:
    codec = framing.parse(name).codec()
    return lambda: codec.encode(messages)


def _repeated(work: Callable[[], Any]) -> Callable[[float], Sample]:
    """The best of a round's runs of twenty."""

    def measure(seconds: float) -> Sample:
        until = time.perf_counter() + seconds
        spent = []
        while (began := time.perf_counter()) < until:
            for _ in range(20):
                work()
            spent.append(time.perf_counter() - began)
        return Sample(20 * COUNT, min(spent), int(min(spent) * 1e9))

    return measure
