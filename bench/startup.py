"""What it costs to begin: the import, and the command."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

_WORK = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import socketkit": [sys.executable, "-c", "import socketkit"],
    "from socketkit import connect": [sys.executable, "-c", "from socketkit import connect"],
    "socketkit --version": [str(Path(sys.executable).with_name("socketkit")), "--version"],
    "socketkit connect (refused)": [str(Path(sys.executable).with_name("socketkit")), "connect", "tcp://127.0.0.1:1"],
}


def startups(rounds: int) -> dict[str, float]:
    """Milliseconds of each from start to end, the median of turns."""
    spent: dict[str, list[float]] = {name: [] for name in _WORK}
    for _ in range(rounds + 1):
        for name, command in _WORK.items():
            began = time.perf_counter()
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
            spent[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(each[1:]) for name, each in spent.items()}
