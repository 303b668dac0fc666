"""The README tells the truth: its examples run, and say what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_there_are_two_examples():
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES, ids=["blocking", "async"])
def test_an_example_runs_and_prints_the_echo(example):
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("привет\n", "", 0)


@pytest.mark.parametrize("example", EXAMPLES, ids=["blocking", "async"])
def test_an_example_is_short(example):
    assert len([line for line in example.splitlines() if line.strip()]) <= 12


def test_the_readme_stays_one_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 80
