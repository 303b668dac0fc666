"""The examples of the documentation run and print what the pages say.

`<!-- run -->` stands before a block that runs (Python, or a shell with our command), `<!-- prints -->` before its
output (`…` is any text), and `<!-- save: NAME -->` before a file that the next block uses. `<!-- needs: PROGRAM -->`
skips a section where that is not installed. The ports of the examples are replaced by free ones.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("howto", "learn", "coming-from")
STEP = re.compile(
    r"<!-- (run|file: \S+|prints|save: [\w.-]+|needs: [\w:-]+) -->(?:\n```(\w+)\n(.*?)^```)?", re.DOTALL | re.MULTILINE
)
PORT = re.compile(r"(?<![\d.])(50\d\d|51\d\d|1080|8080|8081|9100)(?!\d)")


def sections(page: Path) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The sections of a page that have something to run: title, and its marks with language and text."""
    found = []
    for part in re.split(r"^(?=## )", page.read_text(), flags=re.MULTILINE):
        steps = STEP.findall(part)
        if any(mark == "run" or mark.startswith("file: ") for mark, _, _ in steps):
            found.append((part.partition("\n")[0].strip("# "), steps))
    return found


def english(folder: str) -> list[Path]:
    return [page for page in sorted((DOCS / folder).glob("*.md")) if not page.name.endswith(".ru.md")]


CASES = [
    pytest.param(steps, id=f"{page.stem}: {title}")
    for page in [DOCS / "index.md", *(page for folder in FOLDERS for page in english(folder))]
    for title, steps in sections(page)
]


def free_port() -> int:
    """A port that is free for both families, below those that the system itself gives to clients."""
    while True:
        port = random.randrange(20000, 32000)
        try:
            with socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True):
                return port
        except OSError:
            continue


def run(language: str, code: str, folder: Path) -> str:
    """Run a block in its folder; its standard output. What it has started ends with it."""
    if language == "python":
        command = [sys.executable, "-W", "error", "-c", code]
    else:
        command = ["bash", "-eu", "-o", "pipefail", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{code}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    with open(folder / ".out", "wb") as out, open(folder / ".err", "wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = process.wait(40)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    assert status == 0, (folder / ".err").read_text(errors="replace")
    return (folder / ".out").read_text()


@pytest.mark.parametrize("steps", CASES)
def test_an_example_prints_what_the_page_says(steps: list[tuple[str, str, str]], tmp_path: Path) -> None:
    """Every block of a section runs, in order, in one folder."""
    ports: dict[str, int] = {}

    def place(text: str) -> str:
        return PORT.sub(lambda match: str(ports.setdefault(match[0], free_port())), text)

    output = ""
    for mark, language, text in steps:
        if mark.startswith("needs: "):
            kind, _, name = mark[7:].rpartition(":")
            if not (find_spec(name) if kind else shutil.which(name)):
                pytest.skip(f"{name} is not installed")
        elif mark.startswith("save: "):
            (tmp_path / mark[6:]).write_text(place(text))
        elif mark == "run" or mark.startswith("file: "):
            output = run(language, place(text), tmp_path)
        elif mark == "prints":
            wanted = ".*?".join(re.escape(piece) for piece in place(text).split("…"))
            assert re.fullmatch(wanted, output, re.DOTALL), output


def test_there_are_thirty_recipes() -> None:
    """Each recipe has a block that runs, and output that is compared."""
    recipes = [(page.stem, steps) for page in english("howto") for _, steps in sections(page)]
    assert len(recipes) >= 30
    for _, steps in recipes:
        assert "prints" in [mark for mark, _, _ in steps]
    headings = sum(len(re.findall(r"^## ", page.read_text(), re.MULTILINE)) for page in english("howto"))
    assert headings == len(recipes)
