"""The example of a framing of one's own runs, and is as short as promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_framing.py"


def test_the_example_runs():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("gross: 1.25 kg\n", "", 0)


def test_the_example_has_at_most_30_lines():
    assert len(EXAMPLE.read_text().splitlines()) <= 30
