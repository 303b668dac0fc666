"""A crowd of which half lies: nobody who keeps to the protocol loses a message, and nothing leaks.

The quick form lasts some seconds; `make soak` (DURATION=10m) the same for long, with more callers.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from faults.mixed_clients import FAULTY, Book, crowd
from socketkit import engines
from socketkit.config.durations import parse_duration
from support.connections import ask, call
from support.programs import Program

SOAK = os.environ.get("SOAK_DURATION")
SECONDS = parse_duration(SOAK) if SOAK else 2.0
CALLERS = 200 if SOAK else 120
SILENT = 5000
PARTS = 4
LEAK = 12 * 1024
"""KiB by which the memory may grow in each part of the time. A leak grows in every part; the buffers that Python and
the C library keep for the largest crowd so far do not."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="descriptors and memory are read from /proc"),
    pytest.mark.timeout(60 + 2 * SECONDS),
]


def start(engine, *, descriptors=0, idle_timeout="2s"):
    if reason := engines.missing(engine):
        pytest.skip(reason)
    return Program(
        sys.executable, str(Path(__file__).with_name("lines_echo.py")), engine, str(descriptors), idle_timeout
    )


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """KiB that are in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def exhaust(server, address, count):
    """Call as often as it takes until the server cannot let anybody in for want of descriptors; then let go."""
    with ExitStack() as callers:
        for _ in range(count):
            callers.enter_context(call(address))
        server.wait_line("out of descriptors")


def wait_until_alone(pid, before):
    deadline = time.monotonic() + 20
    while descriptor_count(pid) > before:
        assert time.monotonic() < deadline, f"{descriptor_count(pid)} descriptors are open, and there were {before}"
        time.sleep(0.01)


@pytest.mark.parametrize("engine", ["epoll", "asyncio", "blocking", *(["uvloop", "trio"] if SOAK else [])])
def test_a_crowd_of_which_half_lies(engine):
    book = Book()
    # Fewer descriptors than callers: the machine runs out, again and again.
    # On a machine with much else to do a healthy caller may say nothing for seconds; he must not count as silent.
    descriptors = 100 if engine != "blocking" else 160
    with start(engine, descriptors=descriptors, idle_timeout="8s") as server:
        pid, address = server.process.pid, server.address()
        name = (address.host, address.port)
        with call(address) as first:
            assert ask(first, b"hello") == b"hello"
        time.sleep(0.1)
        before = descriptor_count(pid)
        exhaust(server, address, descriptors)
        asyncio.run(crowd(name, book, count=CALLERS, seconds=min(1.0, SECONDS)))
        wait_until_alone(pid, before)
        sizes = [memory(pid)]
        for _ in range(PARTS):
            asyncio.run(crowd(name, book, count=CALLERS, seconds=SECONDS / PARTS))
            wait_until_alone(pid, before)
            sizes.append(memory(pid))
        told = json.loads(server.communicate_at_stop())
    assert book.lost == [], told
    assert set(book.counts) >= {kind.__name__ for kind in FAULTY}
    events, facts = told["events"], told["facts"]
    assert told["open"] == facts["active_count"] == 0
    assert events["Accepted"] == events["Closed"] == facts["accepted_count"]
    assert events["AcceptPaused"] == events["AcceptResumed"] > 0
    assert facts["failed_count"] == 0
    assert told["sizes"] == {"received": facts["received_size"], "sent": facts["sent_size"]}
    assert min(later - earlier for earlier, later in pairwise(sizes)) < LEAK, sizes


@pytest.mark.skipif(not SOAK, reason="only in `make soak`: 5000 callers need a machine for themselves")
@pytest.mark.parametrize("engine", ["epoll", "asyncio"])
def test_silent_clients_are_cheap(engine):
    """Silent clients cost little and disturb no one."""
    with start(engine) as server:
        pid, address = server.process.pid, server.address()
        with call(address) as one:
            assert ask(one, b"hello") == b"hello"
        before, empty = descriptor_count(pid), memory(pid)
        silent = [call(address) for _ in range(SILENT)]
        try:
            with call(address) as healthy:
                for _ in range(20):
                    assert ask(healthy, b"hello") == b"hello"
            cost = (memory(pid) - empty) / SILENT
            for sock in silent:
                assert sock.recv(1) == b"", "it is shown out after idle_timeout"
        finally:
            for sock in silent:
                sock.close()
        wait_until_alone(pid, before)
        told = json.loads(server.communicate_at_stop())
    assert cost < 64, f"{cost:.0f} KiB each"
    assert told["events"]["Accepted"] == told["events"]["Closed"] == SILENT + 2
