"""The room's door: engines by their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from socketkit import engines
from socketkit.errors import OptionError


def test_an_engine_that_is_here_is_made_by_its_name(engine_name: str) -> None:
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


def test_an_unknown_name_is_told_all_that_are_known() -> None:
    with pytest.raises(OptionError) as caught:
        engines.make("twisted")
    assert "'twisted'" in str(caught.value)
    for name in engines.NAMES:
        assert name in str(caught.value)


def test_the_best_way_to_wait_is_one_of_this_system() -> None:
    assert engines.is_available(engines.best_readiness())
    if sys.platform == "linux":
        assert engines.best_readiness() == "epoll"


def test_outside_of_everything_no_engine_runs() -> None:
    assert engines.running() is None


def test_the_door_loads_no_engine_that_was_not_asked_for() -> None:
    """Nor asyncio: whoever only wants to block does not pay for it."""
    code = (
        "import sys, socketkit.engines as e; e.running(); e.missing('uvloop'); e.make('blocking');"
        "print([name for name in ('asyncio', 'uvloop', 'socketkit.engines.asyncio', 'socketkit.engines.readiness')"
        " if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
