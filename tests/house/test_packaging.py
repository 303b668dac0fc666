"""What a release holds: the manual page and the completions are current, and the wheel has what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.modules import load_file

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "packaging" / "share"


def maker():
    return load_file(ROOT / "packaging" / "make.py")


def test_files_are_current() -> None:
    """The manual page and the completions are made from the command."""
    for path, text in maker().files().items():
        assert path.read_text() == text, f"{path.name}: run `make docs`"


def test_manual_page_has_every_verb_and_option() -> None:
    from socketkit.cli.registry import VERBS

    text = (SHARE / "man" / "socketkit.1").read_text()
    for verb in VERBS:
        assert f'.SS "socketkit {verb}"' in text
    for option in ("--framing", "--retry", "--self-signed", "--dump"):
        assert option.replace("-", r"\-") in text


def test_manual_page_is_valid() -> None:
    """groff, by man(1), has no complaint about it."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man or groff is not installed")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(SHARE / "man" / "socketkit.1")],
        env={**os.environ, "MANWIDTH": "80", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "connect to any socket" in done.stdout


@pytest.mark.parametrize(("shell", "name"), [("bash", "socketkit"), ("zsh", "_socketkit"), ("fish", "socketkit.fish")])
def test_completion_parses(shell: str, name: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(SHARE / "completions" / name)], check=True, capture_output=True)


def test_data_files_exist() -> None:
    """Each file that is to be installed is there."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    named = [ROOT / name for names in settings.values() for name in names]
    assert sorted(named) == sorted(maker().files())


@pytest.mark.slow
def test_wheel(tmp_path: Path) -> None:
    """The wheel holds types, licence, page, manual and completions, and neither sources in C nor tests."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(ROOT),
        ],
        env={**os.environ, "CC": "/bin/false"},
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert "socketkit/py.typed" in names
    assert any(name.startswith("socketkit/apps/chat/page/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for name in ("man/man1/socketkit.1", "bash-completion/completions/socketkit", "zsh/site-functions/_socketkit"):
        assert any(found.endswith(f".data/data/share/{name}") for found in names)
    assert not [name for name in names if name.endswith((".c", ".h")) or name.startswith("tests")]
    assert "\nLicense-Expression: MIT\n" in text
    assert "\nProvides-Extra: cli\n" in text
