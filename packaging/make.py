"""Write the manual page and the shell completions from the command: `make docs`. A test compares them.

The manual page is roff as man(7) has it, from the same texts as `--help`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from socketkit import __version__
from socketkit.cli.help_examples import EXAMPLES
from socketkit.cli.help_format import GROUPS, heading_of
from socketkit.cli.output import Status
from socketkit.cli.registry import socketkit as command

SHARE: Final = Path(__file__).parent / "share"
SHELLS: Final = {"bash": "socketkit", "zsh": "_socketkit", "fish": "socketkit.fish"}
"""The file of each shell's completion, by the name that the shell looks for."""

DAY: Final = "2026-11-28"
"""When the page was last changed in substance."""

ENVIRONMENT: Final = (
    ("NO_COLOR", "Write no colours to a terminal (https://no-color.org)."),
    ("SOCKETKIT_PURE", "Set to 1: use the core in Python, although the compiled one is there."),
    ("NOTIFY_SOCKET", "Where the service manager is told that a server serves, and that it stops; see sd_notify(3)."),
    ("LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES", "The sockets that systemd: takes; see sd_listen_fds(3)."),
    ("ALL_PROXY, HTTPS_PROXY, NO_PROXY", "The proxies of --proxy env."),
)


def _roff(text: str) -> str:
    """Text that roff sets as it is: hyphens that can be copied, no line that begins a request."""
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", plain, flags=re.MULTILINE)


def _terms(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in rows:
        yield from (".TP", rf"\fB{_roff(term)}\fR", _roff(" ".join(meaning.split())))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield from (".PP", _roff(" ".join(paragraph.replace("\b", "").split())))


def _options(context: click.Context) -> Iterator[str]:
    found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in GROUPS}
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and "--help" not in parameter.opts:
            found[heading_of(parameter)].append(record)
    for heading, records in found.items():
        if records:
            yield from (".PP", rf"\fI{heading}\fR", *_terms(records))


def _verb(context: click.Context) -> Iterator[str]:
    """The section of a verb, and of the verbs below it."""
    made = context.command
    usage = " ".join([context.command_path, *made.collect_usage_pieces(context)])
    yield from (f'.SS "{_roff(context.command_path)}"', rf"\fB{_roff(usage)}\fR")
    yield from _paragraphs(made.help or "")
    yield from _options(context)
    if isinstance(made, click.Group):
        for name in made.list_commands(context):
            below = made.get_command(context, name)
            assert below is not None
            yield from _verb(click.Context(below, info_name=name, parent=context))


def manual_page() -> str:
    """The manual page socketkit(1)."""
    root = click.Context(command, info_name="socketkit")
    verbs = [
        click.Context(verb, info_name=name, parent=root)
        for name in command.list_commands(root)
        if (verb := command.get_command(root, name)) is not None
    ]
    lines = [
        f'.TH SOCKETKIT 1 "{DAY}" "socketkit {__version__}" "User Commands"',
        ".SH NAME",
        r"socketkit \- connect to any socket, and serve one",
        ".SH SYNOPSIS",
        r".B socketkit",
        r"\fIVERB\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]...",
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
        ".SH VERBS",
        *(line for verb in verbs for line in _verb(verb)),
        ".SH EXAMPLES",
        *(line for examples in EXAMPLES.values() for typed, meaning in examples for line in _terms([(typed, meaning)])),
        '.SH "EXIT STATUS"',
        *_terms((str(int(status)), status.reason) for status in Status),
        ".SH ENVIRONMENT",
        *_terms(ENVIRONMENT),
        '.SH "SEE ALSO"',
        r"\fBnc\fR(1), \fBsocat\fR(1), \fBncat\fR(1), \fBsocket\fR(7), \fBtcp\fR(7), \fBunix\fR(7)",
        "",
    ]
    return "\n".join(lines)


def completion(shell: str) -> str:
    """The script that a shell reads to complete the command."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(command, {}, "socketkit", "_SOCKETKIT_COMPLETE").source() + "\n"


def files() -> dict[Path, str]:
    """Each file, and what it is to hold."""
    made = {SHARE / "man" / "socketkit.1": manual_page()}
    return made | {SHARE / "completions" / name: completion(shell) for shell, name in SHELLS.items()}


def main() -> None:
    for path, text in files().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(SHARE.parents[1])}")


if __name__ == "__main__":
    main()
