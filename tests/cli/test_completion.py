"""Completion in real shells: the script of the shell is loaded, and the shell completes lines by it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import PATIENCE, needs

BASH = """
source {script}
complete_line() {{
    COMP_WORDS=($1); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
    local specification; specification=$(complete -p socketkit)
    [[ $specification =~ -F\\ ([^ ]+) ]] && "${{BASH_REMATCH[1]}}" socketkit
    printf '%s\\n' "${{COMPREPLY[@]}}"
}}
complete_line "{line}"
"""
FISH = """
source {script}
complete --do-complete "{line}"
"""
ZSH = """
autoload -Uz compinit; compinit -u -D
_describe() {{ local -a found; found=("${{(@P)3}}"); print -l -- ${{found%%:*}} }}
compadd() {{ local -a found; found=("${{(@P)${{@[$#]}}}}"); print -l -- $found }}
_path_files() {{ print -l -- FILES }}
compdef() {{ : }}
source {script}
words=({line}); CURRENT=$#words
_socketkit_completion
"""
PROGRAMS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@pytest.fixture(params=PROGRAMS)
def shell(request: pytest.FixtureRequest, tmp_path: Path):
    """Completes a line in this shell; what the shell was told, and what was printed beside it."""
    name: str = request.param
    path = needs(name)
    command = tmp_path / "socketkit"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m socketkit "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = tmp_path / "completion"
    made = subprocess.run(
        [sys.executable, "-m", "socketkit"],
        capture_output=True, text=True, check=False, timeout=50,
        env={**environment, "_SOCKETKIT_COMPLETE": f"{name}_source"},
    )  # fmt: skip
    assert made.stderr == ""
    script.write_text(made.stdout)

    def complete(line: str) -> tuple[list[str], str]:
        program = PROGRAMS[name].format(script=script, line=line)
        options = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
        done = subprocess.run(
            [path, *options, "-c", program], capture_output=True, text=True, check=False, timeout=50, env=environment,
            cwd=tmp_path,
        )  # fmt: skip
        return [line.split("\t")[0] for line in done.stdout.split("\n") if line], done.stderr

    return complete


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("socketkit rel", ["relay"]),
        ("socketkit connect --engine epo", ["epoll"]),
        ("socketkit connect --framing netst", ["netstring"]),
        ("socketkit connect unixp", ["unixpacket:"]),
        ("socketkit wait https", ["https:"]),
        ("socketkit help fram", ["framings"]),
        ("socketkit connect --cace", ["--cacert"]),
        ("socketkit chat ho", ["host"]),
    ],
)
def test_a_shell_completes(shell, line: str, found: list[str]) -> None:
    """Verbs, options, engines, framings, schemes and topics are completed, and nothing else is printed."""
    assert shell(line) == (found, "")


def test_a_shell_completes_nothing_wrong(shell) -> None:
    """A line that means nothing is no error in the prompt."""
    assert shell("socketkit connect tcp://h:1 --engine zzz") == ([], "")


def read_until(terminal: int, text: bytes) -> bytes:
    """What the terminal shows, up to this text."""
    shown = b""
    while text not in shown:
        assert select.select([terminal], [], [], PATIENCE)[0], shown
        shown += os.read(terminal, 4096)
    return shown


def test_a_path_at_a_prompt_of_bash(tmp_path: Path) -> None:
    """At the prompt of an interactive bash, Tab completes the path of a socket and prints nothing else."""
    bash = needs("bash")
    command = tmp_path / "socketkit"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m socketkit "$@"\n')
    command.chmod(0o755)
    (tmp_path / "application.sock").touch()
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "READY> "}
    process = subprocess.Popen(
        [bash, "--norc", "--noprofile", "-i"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=tmp_path, start_new_session=True,
    )  # fmt: skip
    try:
        os.close(theirs)
        read_until(ours, b"READY> ")
        os.write(ours, b'eval "$(_SOCKETKIT_COMPLETE=bash_source socketkit)"\n')
        read_until(ours, b"READY> ")
        os.write(ours, b"socketkit connect ./appl\t")
        shown = read_until(ours, b"ication.sock")
        assert shown.strip().replace(b"\x07", b"") == b"socketkit connect ./application.sock"
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)
