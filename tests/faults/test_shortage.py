"""A server that is robbed of its descriptors pauses, keeps its guests, spends no processor, and lets all in again."""

from __future__ import annotations

import os
import resource
import sys
import time

import pytest

from faults.faulty_peers import TIMEOUT, read_lines, silent
from faults.server_under_test import RESPONSIVE, HealthyClient, descriptors
from support.engines import parameters
from support.programs import socketkit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")

EPISODE = 0.7
"""Seconds of a shortage: more than one pause of accepting."""


def spent(pid: int) -> float:
    """Seconds of processor time that a process has had (proc(5): utime and stime)."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.parametrize("engine", parameters("epoll", "asyncio", "uvloop", "trio", "blocking"))
def test_emfile_pauses_once_per_episode(engine):
    """Each shortage is one pause and one resumption and the clients do not feel it."""
    with socketkit("echo", "tcp://127.0.0.1:0", "--framing", "lines", "--engine", engine, "-v") as server:
        address, pid = server.address(), server.process.pid
        name = (address.host, address.port)
        companion = HealthyClient(name, beat=0.02)
        companion.start()
        companion.wait_rounds(2)
        spare = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        before = descriptors(pid)
        for episode in (1, 2):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (before + 5, spare[1]))
            with silent(name, 30) as callers:
                server.wait_line("accepting is paused", episode)
                begun, cost = time.monotonic(), spent(pid)
                while time.monotonic() < begun + EPISODE:
                    companion.wait_rounds(1)
                cost = spent(pid) - cost
                resource.prlimit(pid, resource.RLIMIT_NOFILE, spare)
                for caller in callers:
                    caller.sendall(b"am I in?\n")
                    assert read_lines(caller, 1) == [b"am I in?"]
            server.wait_line("accepting again, after", episode)
            deadline = time.monotonic() + TIMEOUT
            while descriptors(pid) > before:
                assert time.monotonic() < deadline, f"{descriptors(pid)} descriptors are left of {before}"
                companion.wait_rounds(1)
            assert cost < EPISODE, f"{cost:.2f} s of processor time while nothing could be done"
        companion.stop()
        assert companion.slowest < RESPONSIVE
        assert server.stop() == 0
        told = "\n".join(server.stderr_lines)
        assert told.count("accepting is paused") == told.count("accepting again, after") == 2
        assert told.count("] connection from") == told.count(" bytes received, ") == 61
