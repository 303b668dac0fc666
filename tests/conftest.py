"""What every test may ask for."""

from __future__ import annotations

import signal

import hypothesis
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(
    "house", deadline=None
)  # a busy machine is no defect; pytest-timeout ends what hangs
hypothesis.settings.load_profile("house")
pytest.register_assert_rewrite("contracts", "support")  # checks that fail there show their values too

from support.engines import engine, engine_name, no_gc, pair  # noqa: E402

__all__ = ["engine", "engine_name", "no_gc", "pair"]
