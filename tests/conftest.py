"""What every test may ask for."""

from __future__ import annotations

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "house", deadline=None
)  # a busy machine is no defect; pytest-timeout ends what hangs
hypothesis.settings.load_profile("house")
pytest.register_assert_rewrite("contracts", "support")  # checks that fail there show their values too

from support.engines import engine, engine_name, no_gc, pair  # noqa: E402

__all__ = ["engine", "engine_name", "no_gc", "pair"]
