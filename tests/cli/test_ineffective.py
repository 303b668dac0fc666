"""Every option of every verb, at every kind of address: it acts, or it is a usage error before anything is opened.

An option that is accepted ends in another failure here: each address is one that cannot be opened.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
import warnings
from functools import cache

import click
import pytest

from socketkit.cli.registry import VERBS, run

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork(2)", allow_module_level=True)

LISTENING = {
    "tcp": "tcp://192.0.2.1:1",  # RFC 5737: no machine has it
    "tls": "tls://192.0.2.1:1?self_signed=yes",
    "unix": "unix:///nowhere/s",
    "udp": "udp://192.0.2.1:1",
    "exec": "exec:/nowhere/program",
}
DIALLED = {
    "tcp": "tcp://127.0.0.1:1?device=nowhere0",
    "tls": "tls://127.0.0.1:1?device=nowhere0",
    "unix": "unix:///nowhere/else",
    "unixgram": "unixgram:///nowhere/s",
    "exec": "exec:/nowhere/program",
}
RELAYED = {
    f"{first}>{second}": (LISTENING[first], DIALLED[second])
    for first, second in (
        *(("tcp", "tcp"), ("tls", "tcp"), ("tcp", "tls"), ("unix", "unix"), ("udp", "unixgram")),
        *(("exec", "tcp"), ("tcp", "exec"), ("tcp", "unixgram"), ("udp", "tcp")),
    )
}
KINDS = {
    **{key: {kind: (address,) for kind, address in LISTENING.items()} for key in ("echo", "listen")},
    "host": {kind: (address,) for kind, address in LISTENING.items() if kind != "udp"},  # which has no chat
    "connect": {kind: (address,) for kind, address in DIALLED.items()},
    "join": {kind: (address,) for kind, address in DIALLED.items() if kind != "unixgram"},
    "relay": RELAYED,
    "wait": {kind: (address,) for kind, address in DIALLED.items() if kind != "unixgram"},
}
VALUES = {
    "accept_proxy": "10.0.0.0/8", "accept_rate": "5", "accept_timeout": "1s", "allow": "10.0.0.0/8", "alpn": "h2",
    "backlog": "5", "bind": "127.0.0.1", "connect_timeout": "1s", "deny": "10.0.0.0/8", "handshake_timeout": "3s",
    "idle_timeout": "3s", "linger": "1s", "max_connections": "5", "max_duration": "1s", "max_per_peer": "5",
    "overload": "reject", "pin": "sha256:" + "0" * 64, "rate": "1MB", "ready_fd": "2", "reply_wait": "1s",
    "retry": "1,first=1ms", "send_proxy": "v1", "server_name": "h", "shown": "hex", "takeover": "/nowhere/t",
    "total_rate": "1MB", "written": "hex", "framing": "lines", "balance": "least", "command": "true",
    "starttls": "smtp", "expect": "x", "send": "x",
}  # fmt: skip
COMPANIONS = {"backoff": ("--retry", "1"), "is_shell": ("--exec", "true")}
EVERYWHERE = {
    *("access_log", "address", "addresses", "debug", "dump", "dump_file", "engine", "explain", "metrics", "name"),
    *("pcap", "progress", "summary", "targets", "timeout", "verbose", "words", "workers", "tls"),
}
"""They act at every address. (`workers` has its own test, and so has TLS.)"""
_HTTP = {"status", "body", "location"}
"""They are for URLs: tests/cli/commands/test_wait.py."""
_FREE = {"free", "is_one_enough"}
_TRUST = {"ca", "cert", "client_ca", "key", "pin", "require_client_cert", "self_signed", "server_name", "verify"}

SINGLE = {"exec", "exec>tcp"}
PLAIN = {"tcp", "unix", "udp", "exec", *(kind for kind in RELAYED if not kind.startswith("tls>"))}
SERVER_REFUSES = {
    "accept_proxy": {"udp", "udp>unixgram", "udp>tcp"},
    "accept_rate": SINGLE,
    "accept_timeout": SINGLE,
    "backlog": SINGLE | {"udp", "udp>unixgram", "udp>tcp"},
    "max_connections": SINGLE,
    "max_per_peer": SINGLE | {"unix", "unix>unix"},
    "overload": SINGLE,
    "ready_fd": SINGLE,
    "takeover": SINGLE,
    "handshake_timeout": PLAIN,
    "reply_wait": {"tcp", "tls", "unix"},
    "alpn": {"tcp", "unix", "udp", "exec"},
}
CLIENT_REFUSES = {
    "connect_timeout": {"exec", "tcp>exec"},
    "retry": {"exec", "tcp>exec"},
    "backoff": {"exec", "tcp>exec"},
    "bind": {"unix>unix", "udp>unixgram", "tcp>exec", "tcp>unixgram"},
    "send_proxy": {"unixgram", "udp>unixgram", "tcp>unixgram"},
    "reply_wait": {"tcp", "tls", "unix"},
    "alpn": {"tcp", "unix", "unixgram", "exec"},
    "starttls": {"tls", "unixgram"},
}
REFUSES = {
    **dict.fromkeys(("echo", "listen", "host"), SERVER_REFUSES),
    **dict.fromkeys(("connect", "join"), CLIENT_REFUSES),
    "relay": SERVER_REFUSES | CLIENT_REFUSES | {"linger": {"udp>unixgram"}},
    "wait": CLIENT_REFUSES | {"connect_timeout": set(), "send": {"exec"}, "expect": {"exec"}},
}
"""Where an option does nothing, and is refused; an option that is not there acts everywhere."""


@cache
def command(verb: str) -> click.Command:
    module, _, name = VERBS["chat" if verb in ("host", "join") else verb][0].partition(":")
    found = getattr(importlib.import_module(module), name)
    return found.commands[verb] if isinstance(found, click.Group) else found


_OWN = {
    *("subprotocols", "origins", "headers", "origin", "is_terminal", "proxy"),
    *(
        "store",
        "max_guests",
        "history",
        "password_file",
        "language",
        "web",
        "bus",
        "is_text",
        "dynamic",
        "to_allow",
        "to_deny",
        "users",
        "user_file",
    ),
}
"""They are for one scheme, one mode or one verb, and have tests of their own."""


def options_of(verb: str) -> list[click.Parameter]:
    left_out = EVERYWHERE | _HTTP | _TRUST | _FREE | _OWN | ({"rate"} if verb == "host" else set())
    return [each for each in command(verb).params if each.name not in left_out]


def words_for(parameter: click.Parameter) -> tuple[str, ...]:
    if getattr(parameter, "is_flag", False):
        return (parameter.opts[0], *COMPANIONS.get(parameter.name or "", ()))
    value = "1ms..2ms" if parameter.name == "backoff" else VALUES[parameter.name or ""]
    return (parameter.opts[0], value, *COMPANIONS.get(parameter.name or "", ()))


def ended(words: list[str]) -> tuple[int, str]:
    """The status and standard error of a command line, run in a child of this process."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns where other threads run
        pid = os.fork()
    if not pid:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(50)
            nothing = os.open(os.devnull, os.O_RDWR)
            for number, source in ((0, nothing), (1, nothing), (2, writer)):
                os.dup2(source, number)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            status = run(words)
            os._exit(status)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
            os._exit(99)
    os.close(writer)
    with open(reader, errors="replace") as errors:
        text = errors.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


CASES = [(verb, parameter.name) for verb in KINDS for parameter in options_of(verb)]


@pytest.mark.parametrize(("verb", "name"), CASES, ids=[f"{verb}-{name}" for verb, name in CASES])
def test_acts_or_is_refused(verb, name):
    parameter = next(each for each in command(verb).params if each.name == name)
    path = ["chat", verb] if verb in ("host", "join") else [verb]
    ending = ["--for", "0"] if verb == "wait" else []
    wrong = []
    for kind, addresses in KINDS[verb].items():
        status, text = ended([*path, *addresses, *words_for(parameter), *ending])
        assert status in (2, 3, 124, 126, 127), (kind, status, text)
        if (status == 2) != (kind in REFUSES[verb].get(name, ())):
            wrong.append((kind, status, text))
        if status == 2:
            assert any(word in text for word in (str(name), *words_for(parameter))), text
            assert text.count("\n") == 1, text
    assert not wrong


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["echo", "tcp://192.0.2.1:1", "--once", "--max-connections", "5"], "--max-connections does nothing with --o"),
        (["echo", "tcp://192.0.2.1:1", "--once", "--accept-rate", "5"], "--accept-rate does nothing with --once"),
        (["relay", "tcp://192.0.2.1:1", "tcp://h:1", "--once", "--overload", "reject"], "--overload does nothing with"),
        (["connect", "tcp://127.0.0.1:1", "--receive-only", "--crlf"], "--crlf does nothing with --receive-only"),
        (["connect", "tcp://127.0.0.1:1", "--receive-only", "--in", "hex"], "--in does nothing with --receive-only"),
        (["listen", "tcp://192.0.2.1:1", "--send-only", "--out", "hex"], "--out does nothing with --send-only"),
        (["connect", "exec:cat", "--retry", "3"], "--retry does nothing at stdio:, exec:, fd: and systemd:"),
        (["relay", "stdio:", "tcp://h:1", "--backlog", "3"], "--backlog does nothing where the only client is"),
        (["relay", "tcp://192.0.2.1:1", "tcp://h:1", "--text"], "--text: it has no effect here; it acts on WebSocket"),
        (["relay", "udp://:0", "udp://h:1", "--linger", "1s"], "--linger does nothing between datagrams"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_reason(words, reason):
    status, text = ended(words)
    assert (status, text.startswith(f"socketkit: {reason}")) == (2, True), text


@pytest.mark.parametrize(
    "words",
    [
        ["echo", "tcp://192.0.2.1:1", "--handshake-timeout", "3s", "--accept-proxy", "10.0.0.0/8"],
        ["echo", "tcp://192.0.2.1:1?accept_proxy=10.0.0.0/8", "--handshake-timeout", "3s"],
        ["echo", "ws://192.0.2.1:1", "--handshake-timeout", "3s"],
        ["connect", "ws://127.0.0.1:1", "--reply-wait", "1s"],
        ["relay", "tcp://192.0.2.1:1", "--dynamic", "socks5", "--handshake-timeout", "3s"],
        ["echo", "unix:///nowhere/s", "--max-per-peer", "3", "--accept-proxy", "unix"],
        ["echo", "unix:///nowhere/s", "tcp://192.0.2.1:1", "--max-per-peer", "3"],
        ["connect", "exec:/nowhere/program", "--tls", "--insecure", "--retry", "1"],
        ["relay", "tcp://192.0.2.1:1", "exec:/nowhere/program", "tcp://127.0.0.1:1", "--connect-timeout", "1s"],
    ],
    ids=" ".join,
)
def test_acts_beside_another(words):
    """Where one other option, or one other address, lets it act, it is accepted."""
    status, text = ended(words)
    assert status in (3, 127), text


def test_table_is_complete():
    """Each option that the table names exists, so that no line of it tests nothing."""
    names = {parameter.name for verb in KINDS for parameter in command(verb).params}
    assert {name for table in REFUSES.values() for name in table} <= names
    assert names >= EVERYWHERE | _HTTP | _TRUST | _FREE
