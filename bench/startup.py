"""What it costs to begin: the import, and the command.

.venv/bin/python -m bench.startup [ROUNDS]
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

_COMMAND = str(Path(sys.executable).with_name("socketkit"))
_WORK = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import socketkit": [sys.executable, "-c", "import socketkit"],
    "from socketkit import connect": [sys.executable, "-c", "from socketkit import connect"],
    "socketkit --version": [_COMMAND, "--version"],
}
CONNECTED = "socketkit connect, until it is there"


def startups(rounds: int) -> dict[str, float]:
    """Milliseconds of each from start to end, the median of turns; of the caller until it is accepted."""
    spent: dict[str, list[float]] = {name: [] for name in (*_WORK, CONNECTED)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calling = [_COMMAND, "connect", f"tcp://127.0.0.1:{listener.getsockname()[1]}"]
        for _ in range(rounds + 1):
            for name, command in _WORK.items():
                began = time.perf_counter()
                with _started(command):
                    pass
                spent[name].append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            with _started(calling):
                called, _ = listener.accept()
                spent[CONNECTED].append((time.perf_counter() - began) * 1000)
                called.close()
    return {name: statistics.median(each[1:]) for name, each in spent.items()}


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)


if __name__ == "__main__":
    medians = startups(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    for name, median in medians.items():
        print(f"{name:38} {median:7.1f} ms {median - medians['python -c pass']:+7.1f}")
