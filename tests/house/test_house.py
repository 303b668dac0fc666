"""The package as a whole: light imports, its public names, docstrings, no banners."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import socketkit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "socketkit"
MODULES = sorted(SOURCE.rglob("*.py"))
IDS = [str(module.relative_to(SOURCE)) for module in MODULES]

HEAVY = (
    "asyncio",
    "ssl",
    "click",
    "rich",
    "prompt_toolkit",
    "uvloop",
    "trio",
    "msgspec",
    "logging",
    "prometheus_client",
)


def test_import_loads_nothing_heavy():
    """Import socketkit loads nothing heavy."""
    code = f"import sys, socketkit; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


def _loaded(code):
    """The modules of socketkit that a program has loaded at its end."""
    code = f"{code}\nimport sys; print(*sorted(name for name in sys.modules if name.startswith('socketkit')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.split()


def test_import_loads_no_module():
    """Import socketkit loads no space at all."""
    assert _loaded("import socketkit") == ["socketkit"]


def test_only_the_used_framing_is_loaded():
    """A program loads the framing that it uses and no other."""
    modules = {path.stem for path in (SOURCE / "framing").glob("*.py")}
    loaded = {name.rpartition(".")[2] for name in _loaded("import socketkit; socketkit.framing.parse('netstring')")}
    assert "netstring" in loaded
    assert not loaded & (
        modules - {"codec", "decimal_prefixed", "decoder", "length_prefixed", "netstring", "registry", "spec"}
    )


def test_unknown_name_raises():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = socketkit.nonsense
    with pytest.raises(AttributeError, match="nonsense"):
        _ = socketkit.framing.nonsense
    assert set(socketkit.__all__) <= set(dir(socketkit))


def test_all_names_exist_and_are_sorted():
    assert list(socketkit.__all__) == sorted(socketkit.__all__)
    assert all(hasattr(socketkit, name) for name in socketkit.__all__)


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_module_docstring_length(module):
    """A space opens with a docstring of at most ten lines."""
    text = ast.get_docstring(ast.parse(module.read_text()))
    assert text, f"{module.name} has no docstring"
    assert len(text.splitlines()) <= 10


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_no_import_from_the_top_package(module):
    """`from socketkit import connect` inside the house would be a circle; sub-packages may be named so."""
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "socketkit" and module != SOURCE / "__init__.py":
            foreign = {alias.name for alias in node.names} - packages - {"__version__"}
            assert not foreign, f"{module.name} imports {foreign} from socketkit"


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_public_names_have_docstrings(module):
    """Every name in `__all__`; a method that implements a documented interface needs none of its own."""
    tree = ast.parse(module.read_text())
    offered = {
        element.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for element in getattr(node.value, "elts", [])
        if isinstance(element, ast.Constant)
    }
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in offered:
            if any(ast.unparse(mark) == "overload" for mark in getattr(node, "decorator_list", ())):
                continue  # the implementation behind it has the docstring
            assert ast.get_docstring(node), f"{module.name}: {node.name} has no docstring"
