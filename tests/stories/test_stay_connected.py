"""The example of a client that stays connected runs, and is short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "stay_connected.py"


def test_example_reconnects_after_end_and_loss() -> None:
    """The example goes on after each end and each loss."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", EXAMPLE], capture_output=True, text=True, timeout=30, check=False
    )
    told = ["1", "2", "3", "4", "5", "6"]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (told, "", 0)


def test_the_example_has_at_most_30_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 30
