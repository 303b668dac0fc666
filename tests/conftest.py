"""What every test may ask for."""

from __future__ import annotations

from support.engines import engine, engine_name, no_gc, pair

__all__ = ["engine", "engine_name", "no_gc", "pair"]
