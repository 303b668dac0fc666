"""Each command in the docs is one that the verb understands, and each import in them works."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from socketkit.cli.registry import VERBS, Verbs, socketkit

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if not page.name.endswith(".ru.md")),
]
FILES = ("server.pem", "clients.pem", "inside-ca.pem", "key.pem", "ca.pem")


def commands() -> Iterator[tuple[str, str]]:
    """Lines of code blocks that begin with our command, alone or behind a pipe, without their comments.

    Blocks with the mark `<!-- run -->` are left out: another test runs them.
    """
    for page in PAGES:
        for line in re.sub(r"<!-- run -->\n```.*?```", "", page.read_text(), flags=re.DOTALL).splitlines():
            found = re.match(r"(?: {4}|)(?:[^#`|]*\| *)?(socketkit [a-z]+ .*)$", line)
            if found and found[1].split()[1] in VERBS and not line.startswith("socketkit connects"):
                yield page.name, re.split(r"  +#|\s&&|\s\||\s>|\s&$", found[1])[0].strip()


def imports() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        for module, names in re.findall(r"^ *from (socketkit[\w.]*) import ([\w, ]+)$", page.read_text(), re.M):
            yield from ((page.name, module, name.strip()) for name in names.split(","))


def inline_commands() -> Iterator[tuple[str, str]]:
    """Commands in the tables of the pages that compare, and in the text of recipes."""
    for folder in ("coming-from", "howto"):
        for page in sorted((ROOT / "docs" / folder).glob("*.md")):
            for line in re.findall(r"`(socketkit [a-z]+ [^`]+)`", page.read_text()):
                if line.split()[1] in VERBS and not page.name.endswith(".ru.md"):
                    yield page.name, line


COMMANDS = [*commands(), *inline_commands()]
IMPORTS = sorted(set(imports()))


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_a_command_is_understood(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb takes every word of it: options that it has, addresses and values that are valid."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()
    _, verb, *words = shlex.split(line.replace("sha256:…", f"sha256:{'0' * 64}"))
    context = click.Context(socketkit)
    command = Verbs.get_command(socketkit, context, verb)
    assert command is not None
    while isinstance(command, click.Group):
        inner = command.get_command(context, words.pop(0))
        assert inner is not None
        command = inner
    command.make_context(verb, words, parent=context)


def test_commands_were_found() -> None:
    assert len(COMMANDS) > 15
    assert {"relay.md", "tls.md", "waiting.md", "chat.md", "datagrams.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "module", "name"), IMPORTS, ids=[" ".join(each) for each in IMPORTS])
def test_an_import_works(page: str, module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)
