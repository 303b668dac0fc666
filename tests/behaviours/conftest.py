"""The tool under test: `TOOL=socat make behaviours`; without a word it is socketkit."""

from __future__ import annotations

import signal
import sys

import pytest

from behaviours.tools import Tool, chosen

pytest.register_assert_rewrite("behaviours.peers")


@pytest.fixture
def tool() -> Tool:
    tool = chosen()
    if not sys.platform.startswith("linux"):
        pytest.skip("what listens, and what a process uses, is read from proc(5)")
    tool.path()  # skips where it is not installed
    return tool


@pytest.fixture(autouse=True)
def interruptible() -> None:
    """Programs that a shell starts in the background, and their children, ignore SIGINT: ours are to hear it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
