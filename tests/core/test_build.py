"""The compiled core compiles without a warning, and its absence is no error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from socketkit import _core
from socketkit._core import _native_names, connection, framing, kernel, session, side, stream, websocket
from socketkit.websocket.messages import Decoder

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is missing")
def test_compiles_without_warning(tmp_path: Path) -> None:
    """-Wall -Wextra -Werror."""
    pytest.importorskip("setuptools")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-temp", tmp_path, "--build-lib", tmp_path],
        cwd=ROOT,
        env={**os.environ, "SOCKETKIT_STRICT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("_native*"))


def test_pure_is_chosen_by_environment() -> None:
    """SOCKETKIT_PURE=1 chooses the core in Python."""
    program = "import socketkit._core as core; print(core.native, core.Kernel.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SOCKETKIT_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "socketkit._core.kernel"]


@pytest.mark.skipif(not _core.native, reason="the core is not compiled, or SOCKETKIT_PURE is set")
@pytest.mark.parametrize("name", _native_names)
def test_both_have_the_same_members(name: str) -> None:
    """What the Python class offers, the compiled one offers too."""
    for module in (connection, framing, kernel, session, side, stream, websocket):
        if hasattr(module, name):
            pure = getattr(module, name)
    if name == "MessageReader":
        pure = Decoder  # its twin is above this package
    compiled = getattr(_core, name)
    if not isinstance(compiled, type):
        return
    own = {key for key in vars(pure) if not key.startswith("__")} | set(getattr(pure, "__annotations__", ()))
    abstract = {key for key in own if getattr(vars(pure).get(key), "__isabstractmethod__", False)}
    missing = own - abstract - set(dir(compiled)) - PYTHON_ONLY.get(name, set())
    assert not missing


PYTHON_ONLY = {
    "ConnectionCore": {
        "_send_encoded",
        "_receiver",
        "_sender",
        "_next_batch",
    },
    "Done": {"_abc_impl"},
    "MessageReader": {"_abc_impl", "_is_protocol"},
    "Kernel": {"_registered", "_step", "_timeout"},
    "LoopCore": {"_end_turn", "_run_soon"},
    "SideCore": {"_context"},
}
"""What is of no use outside the Python class."""


@pytest.mark.skipif(not _core.native, reason="the core is not compiled, or SOCKETKIT_PURE is set")
@pytest.mark.parametrize("name", ["send", "send_many", "batches"])
def test_documentation_is_the_same(name: str) -> None:
    """`help(Connection.send)` says the same on both cores."""
    documented = getattr(connection.ConnectionCore, name).__doc__
    assert documented
    assert getattr(_core.ConnectionCore, name).__doc__.split() == documented.split()
