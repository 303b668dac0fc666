"""`--help` says what there is, and its examples are what the verbs understand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import click
import pytest

from socketkit.cli.help_examples import EXAMPLES
from socketkit.cli.output import Status
from socketkit.cli.registry import VERBS, Verbs, socketkit

CONTEXT = click.Context(socketkit)
LINES = [(verb, typed) for verb, lines in EXAMPLES.items() for typed, _ in lines]


def verb_of(name) -> click.Command:
    command = Verbs.get_command(socketkit, CONTEXT, name)
    assert command is not None
    return command


@pytest.mark.parametrize(("verb", "typed"), LINES, ids=[typed for _, typed in LINES])
def test_an_example_is_understood(verb, typed):
    command_line = typed.rpartition("| ")[2].partition(" > ")[0]
    program, name, *words = shlex.split(command_line)
    assert (program, name) == ("socketkit", verb)
    command = verb_of(verb)
    while isinstance(command, click.Group):
        inner = command.get_command(CONTEXT, words.pop(0))
        assert inner is not None
        command = inner
    command.make_context(verb, words, parent=CONTEXT)  # raises where a word means nothing


@pytest.mark.parametrize("name", VERBS)
def test_verb_help_on_stdout(name):
    """The help of a verb is reported on standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "socketkit", name, "--help"], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: socketkit {name}")
    assert ("Examples:" in done.stdout) == (name in EXAMPLES)


def test_help_lists_verbs_and_statuses():
    """The help lists every verb and every status."""
    done = subprocess.run(
        [sys.executable, "-m", "socketkit", "--help"], capture_output=True, text=True, timeout=50, check=False
    )
    words = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(VERBS) <= words
    assert {str(int(status)) for status in Status} <= words


def test_shells_can_complete_verbs():
    environment = {
        **os.environ,
        "_SOCKETKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "socketkit re",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "socketkit"], capture_output=True, text=True, timeout=50, check=False, env=environment
    )
    assert done.stdout.split() == ["plain,relay"]


def complete(words):
    """What bash is told for a line whose last word is incomplete, and what is printed beside it."""
    environment = {
        **os.environ,
        "_SOCKETKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "socketkit"], capture_output=True, text=True, timeout=50, check=False, env=environment
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("socketkit connect --engine ep", "plain,epoll"),
        ("socketkit connect --framing lin", "plain,lines"),
        ("socketkit connect tl", "plain,tls:"),
        ("socketkit connect /tm", "file,/tm"),
        ("socketkit listen --exec ca", "file,ca"),
    ],
)
def test_completion_of_values(words, found):
    """Engines, framings, schemes and paths are completed."""
    words_found, errors = complete(words)
    assert (found in words_found, errors) == (True, "")


def test_completion_prints_no_error():
    """A line that is not complete yet is no usage error."""
    for words in ("socketkit wait localhost:1 -- ech", "socketkit nc -ve ", "socketkit connect x: --fr"):
        assert complete(words)[1] == ""
