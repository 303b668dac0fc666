"""The same handlers inside what others run: each example is run as it stands, where its package is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "package", "says"),
    [
        ("tornado_application", "tornado", "note 1 taken\nbuy milk\n"),
        ("twisted_reactor", "twisted", "HELLO FROM TWISTED\n"),
        ("zeromq_stream", "zmq", "HELLO\nFROM ZEROMQ\n"),
        ("notebook_cell", "socketkit", "hello from a cell\n"),
    ],
)
def test_example_prints_expected(name, package, says):
    """An example runs and says what it should."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (says, "", 0)
