"""What strace(1) sees: a loop with nothing to do makes no system calls (the kernel's own are counted next door)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import LOOPS

CALLS = "epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,select,pselect6"

PROGRAM = """
import asyncio, socket, sys
from socketkit import engines
from socketkit.engines.engine import READ, WRITE

engine = engines.make(sys.argv[1])
pairs = [socket.socketpair() for _ in range(3)]
for pair in pairs:
    pair[0].setblocking(False)

async def wait_for_nothing():
    await engine.wait(pairs[2][0].fileno(), READ, engine.now() + 60)

async def main():
    for pair, direction in zip(pairs, (READ, WRITE)):
        pair[1].send(b"data")
        await engine.wait(pair[0].fileno(), direction)
    for pair in pairs[:2]:
        pair[1].close()  # while no task waits, and data is unread
    engine.start(wait_for_nothing())
    await engine.sleep(0.05)

engine.run(main())
"""


def has_strace() -> bool:
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(shutil.which("strace") is None or not has_strace(), reason="strace cannot be had here")
@pytest.mark.parametrize("name", LOOPS)
def test_hang_up_without_waiter_no_spin(name: str, tmp_path: Path) -> None:
    """A peer that hangs up with no one waiting does not spin."""
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace)]
    subprocess.run([*strace, sys.executable, "-c", PROGRAM, name], check=True)
    calls = re.findall(r"\b(?:epoll_p?wait2?|p?poll|p?select6?)\(", trace.read_text())
    assert 1 <= len(calls) < 40
