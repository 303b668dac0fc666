"""`--help` says what there is, and its examples are what the verbs understand."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys

import click
import pytest

from socketkit import Address, __version__, engines
from socketkit.cli.commands.help import SCHEMES
from socketkit.cli.help_examples import EXAMPLES
from socketkit.cli.help_format import GROUPS
from socketkit.cli.output import Status
from socketkit.cli.registry import VERBS, Verbs, socketkit
from socketkit.config.schemes import scheme_names
from socketkit.framing.registry import FRAMINGS

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


def commands() -> list[tuple[str, click.Command]]:
    """Every verb, and every command of a verb, with the words that name it."""
    found: list[tuple[str, click.Command]] = []
    for name in VERBS:
        command = verb_of(name)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", each) for inner, each in command.commands.items()]
    return found


COMMANDS = commands()


def run(*words, columns=80, **environment):
    """The command's end; the terminal has so many columns."""
    return subprocess.run(
        [sys.executable, "-m", "socketkit", *words],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "COLUMNS": str(columns), **environment},
    )


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_every_option_has_a_heading(words, command):
    """Each option is named in the table of headings, so that none falls under `General` unnoticed."""
    named = {name for names in GROUPS.values() for name in names}
    for parameter in command.get_params(click.Context(command)):
        if isinstance(parameter, click.Option):
            assert named & {*parameter.opts, *parameter.secondary_opts}, (words, parameter.opts)


def test_help_in_groups():
    """The help of a verb has its options under headings, each below the right one."""
    sections = run("connect", "--help").stdout.split("\n\n")
    tls = next(section for section in sections if section.startswith("TLS:"))
    assert "--cacert" in tls and "--pin" in tls and "--engine" not in tls
    headings = [section.partition(":")[0] for section in sections]
    wanted = ["Conversation", "Connecting", "TLS", "WebSocket", "Time", "Watching", "General"]
    assert [heading for heading in headings if heading in GROUPS] == wanted


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_nothing_is_cut(words, command, columns, monkeypatch):
    """At any width each option and each word of its text is there, and no line is longer than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    context = click.Context(command, info_name=words)
    text = command.get_help(context)
    joined = "".join(text.split())
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            assert all("".join(part.split()) in joined for part in record), record
    options = text.partition("Examples:")[0].partition("\n\n\n")[0]
    verbatim = {line for line in options.splitlines() if line.strip().startswith("nc -")}
    assert all(len(line) <= columns for line in options.splitlines() if line not in verbatim)


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_help_verb_is_its_help_option(words, command):
    """`socketkit help VERB` is `socketkit VERB --help`."""
    if words in ("chat host", "relay", "nc", "help"):
        asked, option = run("help", *words.split()), run(*words.split(), "--help")
        assert (asked.returncode, asked.stderr, asked.stdout) == (0, "", option.stdout)
    assert command.get_help(click.Context(command, info_name=words)).startswith("Usage:")


def test_help_alone_is_the_list_of_verbs():
    assert run("help").stdout == run("--help").stdout


def test_help_of_an_unknown_word():
    """An unknown word is a usage error that names the nearest."""
    done = run("help", "framing")
    assert (done.returncode, done.stdout) == (Status.USAGE, "")
    assert done.stderr.startswith("socketkit: no help is for 'framing' (did you mean framings?)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("addresses", [written for written, _ in SCHEMES.values()]),
        ("framings", list(FRAMINGS)),
        ("engines", list(engines.NAMES)),
        ("completion", ["bash", "zsh", "fish"]),
        ("status", [str(int(status)) for status in Status]),
    ],
)
def test_topics(topic, words):
    """A topic lists everything that its table holds, at the beginning of a line."""
    done = run("help", topic)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(words) <= lines


@pytest.mark.parametrize("name", scheme_names())
def test_a_scheme_is_written_as_the_help_says(name):
    """The help has every scheme, and what it shows is an address of that scheme."""
    written = SCHEMES[name][0].replace("port", "5000").replace("cid", "3")
    assert Address.parse(written).scheme == name
    assert set(SCHEMES) == set(scheme_names())


@pytest.mark.parametrize("words", [("--version", "-v"), ("-v", "-V"), ("-Vv",), ("-v", "--version", "echo")])
def test_version_in_full(words):
    """With -v the version is followed by what it runs on."""
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = done.stdout.splitlines()
    assert first == f"socketkit {__version__}"
    facts = dict(line.split(": ", 1) for line in others)
    assert facts["python"].startswith(platform.python_version()) and sys.executable in facts["python"]
    assert facts["platform"] == platform.platform()
    assert facts["engines"].split(", ") == [name for name in engines.NAMES if engines.is_available(name)]
    assert "cli (click " in facts["extras"]
    assert facts["core"].startswith("compiled" if engines.is_compiled() else "Python")
    assert set(facts) == {"python", "platform", "TLS", "core", "engines", "engines missing", "extras", "extras missing"}


def test_verbose_before_the_verb():
    """`-v` before a verb is refused, not ignored."""
    done = run("-v", "connect", "localhost:1")
    assert (done.returncode, done.stdout) == (Status.USAGE, "")
    assert done.stderr == "socketkit: -v stands behind the verb: socketkit connect -v (see: socketkit --help)\n"
