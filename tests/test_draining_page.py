"""The recipe of docs/draining.md runs, and prints the line that the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "draining.md"


def test_access_log_recipe_runs():
    """One line for the connection: peer, reason, duration, counts and sizes of both directions."""
    (recipe,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", recipe], capture_output=True, text=True, timeout=30)
    assert (done.stderr, done.returncode) == ("", 0)
    assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+ peer \d+\.\d{3}s in=1/6 out=1/6\n", done.stdout)
