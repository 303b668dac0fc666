"""Engines by their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from socketkit import engines
from socketkit.errors import OptionError


def test_engine_made_by_name(engine_name: str) -> None:
    """An engine that is here is made by its name."""

    async def nothing() -> None:
        pass

    engine = engines.make(engine_name)
    engine.run(nothing())
    assert engine.name == engine_name
    assert engines.is_available(engine_name)


def test_an_engine_that_is_not_here_says_why() -> None:
    for name in engines.NAMES:
        reason = engines.missing(name)
        if reason is not None:
            assert name in reason
            assert not engines.is_available(name)
            with pytest.raises(OptionError, match=f"engine={name}: "):
                engines.make(name)


def test_unknown_engine_lists_known() -> None:
    """An unknown name is reported all that are known."""
    with pytest.raises(OptionError) as caught:
        engines.make("twisted")
    assert "'twisted'" in str(caught.value)
    for name in engines.NAMES:
        assert name in str(caught.value)


def test_best_engine_for_this_system() -> None:
    """The best way to wait is one of this system."""
    assert engines.is_available(engines.best_readiness())
    if sys.platform == "linux":
        assert engines.best_readiness() == "epoll"


def test_no_engine_outside() -> None:
    """Outside of everything no engine runs."""
    assert engines.running() is None


def test_engines_are_loaded_on_demand() -> None:
    """Nor is asyncio: a program that only blocks does not pay for it."""
    code = (
        "import sys, socketkit.engines as e; e.running(); e.missing('uvloop'); e.make('blocking');"
        "print([name for name in ('asyncio', 'uvloop', 'socketkit.engines.asyncio', 'socketkit.engines.readiness')"
        " if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
