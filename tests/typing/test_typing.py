"""What type checkers and editors see of socketkit: planted mistakes are found, right programs are silent."""

from __future__ import annotations

import inspect
import json
import os
import pydoc
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from socketkit import TLS, Retry, connect, framing, serve
from socketkit.config.options import Options
from socketkit.framing.names import BytesFraming, TextFraming
from support.modules import load_file

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
Found = set[tuple[int, str]]


def run(command: list[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)


def mypy(program: Path, tmp_path: Path) -> Found:
    pytest.importorskip("mypy")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\npython_version = 3.11\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--hide-error-context", str(program)]
    done = run(command, tmp_path)
    assert done.returncode in (0, 1), done.stderr
    errors = re.findall(r"^(.*?):(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    assert all(Path(path).name == program.name for path, _, _ in errors), done.stdout
    return {(int(line), code) for _, line, code in errors}


def pyright(program: Path, tmp_path: Path) -> Found:
    command = Path(sys.executable).with_name("pyright")
    if not command.exists() or shutil.which("node") is None:
        pytest.skip("pyright or node is not installed")
    shutil.copy(program, tmp_path)
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [program.name],
                "extraPaths": [str(ROOT / "src")],
                "pythonVersion": "3.11",
                "typeCheckingMode": "standard",
            }
        )
    )
    done = run([str(command), "--outputjson", "--project", str(config), "--pythonpath", sys.executable], tmp_path)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright could not be loaded: {done.stderr.strip()[-200:]}")
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= 1, done.stdout
    return {
        (one["range"]["start"]["line"] + 1, one["rule"])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    }


CHECKERS = pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])


def planted(program: Path, name: str) -> Found:
    found = set()
    for number, line in enumerate(program.read_text().splitlines(), 1):
        if match := re.search(rf"# .*\b{name}: ([A-Za-z-]+)", line):
            found.add((number, match[1]))
    assert len(found) > 30
    return found


@pytest.mark.slow
@pytest.mark.timeout(320)
@CHECKERS
def test_mistakes_are_found(checker: Callable[[Path, Path], Found], tmp_path):
    """Each planted mistake is an error of the expected kind at its line; no other line has one."""
    program = PROGRAMS / "mistakes.py"
    expected = planted(program, checker.__name__)
    found = checker(program, tmp_path)
    assert {line for line, _ in found} == {line for line, _ in expected}
    assert expected <= found, f"of another kind: {sorted(expected - found)} in {sorted(found)}"


@pytest.mark.slow
@pytest.mark.timeout(320)
@CHECKERS
def test_right_program_is_silent(checker: Callable[[Path, Path], Found], tmp_path):
    """A program without a mistake has no error; its `assert_type` calls state the types of messages."""
    assert checker(PROGRAMS / "right.py", tmp_path) == set()


def typed_options():
    return load_file(ROOT / "docs" / "typed_options.py")


def test_typed_options_are_current():
    """The options that checkers see are those of the table at run time."""
    module = typed_options()
    assert module.made() == module.TARGET.read_text(), "run `make docs`"


def test_typed_options_cover_every_option():
    """Each option is in the class of each verb that it acts on, and in no other."""
    from socketkit import typed_options as typed

    for verb, title in typed_options().VERBS.items():
        acting = {name for name, entry in Options.fields.items() if verb in entry.facts["scope"].verbs}
        keys = set(getattr(typed, title).__annotations__)
        assert keys - {"observer"} == acting - {"framing"}


@pytest.mark.parametrize("name", [*get_args(TextFraming), *get_args(BytesFraming)])
def test_framing_names_have_messages_of_their_type(name):
    """The names that checkers know give the type of messages that checkers expect."""
    message = "text" if name in get_args(TextFraming) else b"bytes"
    sender, receiver = framing.parse(name).codec(), framing.parse(name).codec()
    messages = receiver.feed(sender.encode([message]))
    assert messages == [message]
    assert type(messages[0]) is type(message)


@pytest.mark.parametrize("kind", [Retry, TLS, framing.Lines, framing.Length], ids=lambda kind: kind.__name__)
def test_help_shows_parameters(kind):
    """`help` and `inspect.signature` show the fields with their defaults, in order."""
    parameters = inspect.signature(kind).parameters
    assert list(parameters) == list(kind.fields)
    text = pydoc.plain(pydoc.render_doc(kind))
    assert all(f"{name}:" in text for name in kind.fields)
    kind(
        **{
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.default is not parameter.empty
        }
        | ({"width": 2} if "width" in parameters else {})
    )


def test_right_program_makes_its_framings():
    """What checkers accept of the framings' options is accepted at run time too."""
    right = load_file(PROGRAMS / "right.py")
    assert all(type(size) is int and size > 0 for size in right.framings())
    assert {type(made).name for made in right.SIZED} | {"chunks"} == set(framing.FRAMINGS)


@pytest.mark.parametrize("verb", [connect, serve], ids=lambda verb: verb.__name__)
def test_signature_of_verbs(verb):
    """`inspect.signature` shows the parameters that matter most."""
    parameters = inspect.signature(verb).parameters
    assert {"framing", "engine", "observer", "options"} <= set(parameters)
