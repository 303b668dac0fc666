"""The pages that compare tools: each flag of theirs is known to the installed tool, each of ours is one of ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from socketkit.cli.registry import VERBS, Verbs, socketkit
from socketkit.config.options import Options
from support.programs import needs

FOLDER = Path(__file__).parents[1] / "docs" / "coming-from"
TOOLS = ("nc", "socat", "ncat", "websocat", "toxiproxy")
HELP = {"nc": ["-h"], "socat": ["-hhh"], "ncat": ["--help"]}


def columns(tool: str) -> tuple[str, str]:
    """Both columns of a page's table, as text."""
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", (FOLDER / f"{tool}.md").read_text(), re.MULTILINE)
    return "\n".join(theirs for theirs, _ in rows), "\n".join(ours for _, ours in rows)


def our_options() -> set[str]:
    found = set()
    for verb in VERBS:
        command = Verbs.get_command(socketkit, click.Context(socketkit), verb)
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        found |= {name for each in inner if each for parameter in each.params for name in parameter.opts}
    return found


@pytest.mark.parametrize("tool", HELP)
def test_their_flags_are_in_their_help(tool):
    """Each option of the left column stands in the help of the tool."""
    done = subprocess.run([needs(tool), *HELP[tool]], capture_output=True, text=True, timeout=20, check=False)
    known = (done.stdout + done.stderr).lower()
    code = " ".join(re.findall(r"`([^`]+)`", columns(tool)[0]))
    flags = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", code))
    flags = {flag for flag in flags if not re.fullmatch(r"-[lkz]{2,}", flag)}  # joined ones, as -lk
    if tool == "socat":
        flags |= set(re.findall(r"\b[A-Z][A-Z0-9]+(?:-[A-Z]+)*(?=:)", code)) | set(re.findall(r",([a-z-]+)", code))
    # OpenBSD's nc has no -e and -c, which other flavours have
    assert flags
    missing = {flag for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag.lower())}(?![\w-])", known)}
    assert missing <= ({"-e", "-c"} if tool == "nc" else set())


@pytest.mark.parametrize("tool", TOOLS)
def test_our_options_exist(tool):
    """Each option and each parameter of an address in the right column is one of ours."""
    ours = " ".join(re.findall(r"`([^`]+)`", columns(tool)[1]))
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", ours))
    assert options <= our_options()
    assert set(re.findall(r"[?&]([a-z_]+)=", ours)) <= {row.name for row in Options.describe()}
