"""A peer that vanishes (no FIN, no RST: a cable, a power cut) is noticed in the time that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import parameters
from support.programs import needs

TESTS = Path(__file__).parents[1]

WAYS = {
    "silent: keepalive": ("listen", 1.5, 8.0, "keepalive_idle=1", "keepalive_interval=1", "keepalive_count=2"),
    "spoken to: user_timeout": ("speak", 0.5, 8.0, "user_timeout=1s", "keepalive=no"),
}
"""What the peer said last, the seconds that noticing takes at least and at most, and the options."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", parameters("epoll", "uvloop"))
def test_vanished_peer_is_noticed(engine, way):
    """A peer that vanished is noticed in time."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    needs("unshare")
    needs("ip")
    word, least, most, *options = WAYS[way]
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-W", "error", "-m", "faults.vanishing_peer", engine, word, *options],
        env={**os.environ, "PYTHONPATH": os.fspath(TESTS)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    seconds, _, error = done.stdout.partition(" ")
    assert least <= float(seconds) < most, done.stdout
    assert "BrokenError" in error and "timed out" in error
