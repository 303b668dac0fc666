"""What every test may ask for."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("contracts", "support")  # checks that fail there show their values too

from support.engines import engine, engine_name, no_gc, pair  # noqa: E402

__all__ = ["engine", "engine_name", "no_gc", "pair"]
