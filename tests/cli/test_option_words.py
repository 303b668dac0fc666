"""Hints that reach the command's user name its options, not the library's keywords."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import click
import pytest

from socketkit.cli.option_words import KEYWORDS, SWITCHES, in_options, speak
from socketkit.cli.output import Status
from socketkit.cli.registry import VERBS, Verbs, socketkit
from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from support.programs import socketkit as program

LIBRARY = {*Options.fields, *TLS.fields, "framing"}


def options_of_verbs() -> Iterator[tuple[str, click.Option]]:
    for name in VERBS:
        command = Verbs.get_command(socketkit, click.Context(socketkit), name)
        assert command is not None
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in inner:
            yield from ((name, option) for option in each.params if isinstance(option, click.Option))


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    yield
    speak(())


def test_every_option_that_is_a_keyword_is_in_the_table() -> None:
    """Each option of a verb whose name is a keyword of the library is in the table, by that option."""
    found: dict[str, str] = {}
    for verb, option in options_of_verbs():
        name = "ca" if option.name == "client_ca" else option.name
        if verb != "nc" and name in LIBRARY and option.name != "client_ca":
            found[name] = option.opts[0]
    assert found == {name: option for name, option in KEYWORDS.items() if name in found}
    assert set(KEYWORDS) == set(found)


@pytest.mark.parametrize(("keyword", "option"), KEYWORDS.items())
def test_each_keyword_in_each_form(keyword: str, option: str) -> None:
    """Every keyword becomes its option where the verb has it, in each form that errors have; else it stays."""
    value = SWITCHES.get(keyword, "VALUE")
    written = option if keyword in SWITCHES else f"{option} VALUE"
    forms = {
        f"give {keyword}={value} too": f"give {written} too",
        f"trust it ({keyword}={value}), or not": f"trust it ({written}), or not",
        f"{keyword}: 'x' is wrong": f"{option}: 'x' is wrong",
        f"it took 10 s ({keyword})": f"it took 10 s ({option})",
        f"leave `{keyword}` out": f"leave `{option}` out",
    }
    for text, expected in forms.items():
        speak(())
        assert in_options(text) == text
        speak((option,))
        assert in_options(text) == expected
        speak((option,), (f"tcp://h:1?nodelay=no&{keyword}=x",))
        assert in_options(text) == text, "it was given in the address, by its keyword"


@pytest.mark.parametrize(
    "text",
    [
        "tcp://h:1?ca=FILE: no such host",
        "the peer sent 'ca=FILE'",
        'received 9 bytes "ca=FILE"',
        "local_ca=FILE",
        "a key: it is not here",
        "nodelay=no does nothing here",
        "verify=yes",
    ],
)
def test_what_is_no_keyword_stays(text: str) -> None:
    """Addresses, quoted text, other words and other values are left alone."""
    speak(KEYWORDS.values())
    assert in_options(text) == text


def test_the_authorities_of_each_side() -> None:
    """`ca` is --client-ca for a server; a relay has both, and the text decides."""
    trust, clients = "trust its authority (ca=FILE)", "require_client_cert: no authority is trusted; give ca=FILE too"
    speak(("--client-ca", "--require-client-cert"))
    assert in_options(trust) == "trust its authority (--client-ca FILE)"
    speak(("--client-ca", "--cacert", "--require-client-cert"))
    assert in_options(trust) == "trust its authority (--cacert FILE)"
    assert in_options(clients) == "--require-client-cert: no authority is trusted; give --client-ca FILE too"


def run(*words: str) -> tuple[int, list[str]]:
    with program(*words) as ran:
        ran.communicate()
        return ran.wait(), ran.stderr_lines


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("echo", "tls://127.0.0.1:0"), "give --cert FILE (and --key FILE), or --self-signed"),
        (("echo", "tls://127.0.0.1:0", "--self-signed", "--require-client-cert"), "give --client-ca FILE too"),
        (("echo", "tcp://127.0.0.1:0", "--takeover", "tcp://h:1"), "socketkit: --takeover tcp://h:1: two processes"),
        (
            ("echo", "--max-connections", "x"),
            "Invalid value for '--max-connections': 'x' is not a whole number; allowed",
        ),
        (("connect", "tcp://h:1?connect_timeout=x"), "connect_timeout: 'x' is not a time"),
    ],
)
def test_the_command_names_its_options(words: tuple[str, ...], expected: str) -> None:
    """The line of a failure names the options that the verb has; in an address it names keywords."""
    status, lines = run(*words)
    assert status == Status.USAGE
    assert len(lines) == 1 and expected in lines[0]


def test_an_error_names_its_option_once() -> None:
    """click names the option before each error of a value: the keyword does not stand there again."""
    refused: dict[str, str] = {}
    for _, option in options_of_verbs():
        if option.is_flag:
            continue
        for value in ("?!", "-1", "\x01"):
            try:
                option.type.convert(value, option, None)
            except click.UsageError as error:
                name = option.opts[0]
                refused[name] = text = error.format_message()
                assert text.startswith(f"Invalid value for '{name}"), text
                rest = text.partition("': ")[2]
                keywords = {keyword for keyword, spoken in KEYWORDS.items() if spoken in option.opts}
                assert not rest.startswith(tuple(f"{word}: " for word in (*keywords, option.name, name))), text
    assert {"--backlog", "--allow", "--retry", "--backoff", "--idle-timeout", "--pin", "--proxy", "--bind"} <= set(
        refused
    )


def test_a_refused_certificate_names_the_options() -> None:
    """The hint behind a refused certificate can be typed as it stands."""
    pytest.importorskip("cryptography")
    with program("echo", "tls://127.0.0.1:0", "--self-signed") as server:
        address = str(server.address())
        for verb in (("connect", address), ("wait", address, "--for", "100ms")):
            status, lines = run(*verb)
            assert status in (Status.NOT_OPENED, Status.DEADLINE)
            assert "trust its authority (--cacert FILE), or its key alone (--pin sha256:" in lines[0]
        pin = lines[0].rpartition("(--pin ")[2].partition(")")[0]
        assert run("connect", address, "--pin", pin) == (0, [])


def test_a_long_message_names_the_option() -> None:
    """A message over the limit of the framing names --framing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with program("connect", f"tcp://127.0.0.1:{port}", "--framing", "lines:max_size=8") as client:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"x" * 100 + b"\n")
                assert client.wait() == Status.FRAMING
    assert "allow it with --framing NAME:max_size=SIZE" in client.stderr_lines[0]
