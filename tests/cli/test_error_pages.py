"""Errors that people ask about: each page in both languages, found by the error, shown by `help errors`."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from socketkit import connect, errors, pair, serve
from socketkit.cli.error_pages import PAGES, Words, code_of
from socketkit.cli.registry import socketkit as command
from socketkit.config.retry import parse_retry
from socketkit.config.tls_settings import TLS
from support.modules import load_file
from support.programs import run_socketkit
from support.tls import papers

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("code", PAGES)
def test_page_is_complete(code: str) -> None:
    """Both languages say what, why and what to try, with the same commands."""
    page = PAGES[code]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    for words in (page.en, page.ru):
        assert words.title and words.meaning and words.causes and words.tries
    assert len(page.en.causes) == len(page.ru.causes) and len(page.en.tries) == len(page.ru.tries)

    def commands(words: Words) -> list[str]:
        return re.findall("`[^`]+`", " ".join((words.meaning, *words.causes, *words.tries)))

    assert commands(page.en) == commands(page.ru)
    assert re.search("[а-я]", page.ru.meaning)
    assert not re.search("[а-я]", page.en.meaning)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConnectError("refused", errno=errno.ECONNREFUSED), "refused"),
        (errors.ConnectError("no file", errno=errno.ENOENT), "no-file"),
        (errors.ConnectError("no route", errno=errno.EHOSTUNREACH), "unreachable"),
        (errors.ResolveError("unknown"), "unknown-name"),
        (errors.ListenError("in use", errno=errno.EADDRINUSE), "in-use"),
        (errors.ListenError("port 80", errno=errno.EACCES), "permission"),
        (errors.ListenError("files", errno=errno.EMFILE), "too-many-files"),
        (errors.BrokenError("reset", errno=errno.ECONNRESET), "reset"),
        (errors.BrokenError("other"), None),
        (errors.HandshakeError("TLS: certificate verify failed: self-signed certificate"), "certificate"),
        (errors.HandshakeError("TLS: wrong version number"), "not-tls"),
        (errors.HandshakeError("TLS handshake: the peer does not speak TLS: it sent an HTTP request"), "not-tls"),
        (
            errors.RejectedError("the peer refused: unknown ca: it does not trust ... our certificate"),
            "client-certificate",
        ),
        (errors.HandshakeError("TLS: timed out"), None),
        (errors.FrameTooLongError("too long"), "too-long"),
        (errors.TruncatedFrameError("cut"), "truncated"),
        (errors.FramingError("lines: byte 0xff at position 0 is not utf-8 (invalid start byte)"), "not-text"),
        (errors.FramingError("json: no value"), None),
        (errors.DeadlineError("late"), "deadline"),
        (errors.BusyError("two"), "busy"),
        (errors.EndOfStream("the end"), "ended"),
        (errors.AddressError("no port"), "bad-address"),
        (errors.OptionError("unknown"), "bad-option"),
        (ValueError("no error of ours"), None),
    ],
)
def test_error_has_its_page(error: BaseException, code: str | None) -> None:
    assert code_of(error) == code


def raised_by(action: Callable[[], object]) -> BaseException:
    with pytest.raises(errors.SocketkitError) as caught:
        action()
    return caught.value


def test_real_errors_have_their_pages() -> None:
    """Pages that are found by the text of an error: the errors are made by what raises them."""
    left, right = pair(framing="lines")
    with left, right:
        assert code_of(raised_by(lambda: left.send("one\ntwo"))) == "not-sendable"
        left.send("{no json")
        right.reframe("json")
        assert code_of(raised_by(right.receive)) == "not-json"
    assert code_of(raised_by(lambda: left.send("late"))) == "closed"

    async def plain_with() -> None:
        with pair():
            pass

    assert code_of(raised_by(lambda: asyncio.run(plain_with()))) == "blocking-in-async"


@pytest.mark.parametrize(
    ("client", "server", "code"),
    [
        (TLS(), TLS(cert=papers().cert), "certificate"),
        (TLS(ca=papers().ca), TLS(cert=papers().cert, ca=papers().ca, require_client_cert=True), "client-certificate"),
        (TLS(ca=papers().ca), None, "not-tls"),
    ],
)
def test_real_tls_errors_have_their_pages(client: TLS, server: TLS | None, code: str) -> None:
    def talk() -> None:
        with connect(f"tls://localhost:{port}", tls=client, framing="lines") as connection:
            connection.receive(timeout=20)

    with serve(
        lambda connection: connection.send("plain"), "tcp://localhost:0", tls=server or False, framing="lines"
    ) as serving:
        port = serving.addresses[0].port
        assert code_of(raised_by(talk)) == code


def test_pages_of_documentation_are_current() -> None:
    """`docs/errors/` holds each page in both languages, and no other."""
    maker = load_file(ROOT / "docs" / "make.py")
    files = maker.error_page_files()
    for path, text in files.items():
        assert path.read_text() == text, "run `make docs`"
    assert sorted((ROOT / "docs" / "errors").iterdir()) == sorted(files)


def option_names() -> set[str]:
    """Every option of every verb."""
    root = click.Context(command, info_name="socketkit")
    found = {"--version"}
    waiting = [(command, root)]
    while waiting:
        made, context = waiting.pop()
        found.update(name for parameter in made.params for name in (*parameter.opts, *parameter.secondary_opts))
        for name in made.list_commands(context) if isinstance(made, click.Group) else ():
            below = made.get_command(context, name)
            assert below is not None
            waiting.append((below, click.Context(below, info_name=name, parent=context)))
    return found


@pytest.mark.parametrize("code", PAGES)
def test_named_options_exist(code: str) -> None:
    """Each option that a page names is one of the command, and a value of `--retry` is a count."""
    words = PAGES[code].en
    commands = re.findall("`([^`]+)`", " ".join((words.meaning, *words.causes, *words.tries)))
    for typed in commands:
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", typed)) <= option_names(), typed
        for value in re.findall(r"--retry (\S+)", typed):
            assert parse_retry(value, name="retry") is not None


def test_help_shows_page() -> None:
    """In the locale's language, at any width."""
    status, text, _ = run_socketkit("help", "errors", "in-use", LC_ALL="C.UTF-8")
    assert status == 0 and text.startswith("Address already in use (EADDRINUSE)\n")
    assert "What to try:" in text
    assert max(map(len, text.splitlines())) <= 80
    status, text, _ = run_socketkit("help", "errors", "in-use", LC_ALL="ru_RU.UTF-8", COLUMNS="40")
    assert status == 0 and "Что попробовать:" in text
    assert max(map(len, text.splitlines())) <= 40


def test_terminal_names_page() -> None:
    """At a terminal a failure says where it is explained; elsewhere its line stands alone."""
    arguments = [sys.executable, "-m", "socketkit", "connect", "unix:/no/such/file", "--send-only"]
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stderr=theirs, check=False)
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 3
    assert shown.splitlines()[-1] == "explained by: socketkit help errors no-file"
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert b"explained by" not in done.stderr


def test_unknown_code() -> None:
    status, text, error = run_socketkit("help", "errors", "in-us")
    assert (status, text) == (2, "")
    assert "no error has the code 'in-us' (did you mean in-use?)" in error


def test_list_of_codes() -> None:
    status, text, _ = run_socketkit("help", "errors")
    assert status == 0
    assert all(re.search(rf"^  {code}\b", text, re.MULTILINE) for code in PAGES)
    russian = run_socketkit("help", "errors", LC_ALL="ru_RU.UTF-8")[1]
    assert russian.startswith("Частые ошибки") and "that people ask" not in russian
    assert "в соединении отказано" in russian and "в соединении отказано" not in text
