"""Options that a command line gives and that cannot act there: each is a usage error, before anything is opened.

What an address cannot have is refused by the library (`config.scopes`), and what TLS alone has by `tls_options`. Here
is the rest: what depends on the verb, on several options together, or on both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import click
from click.core import ParameterSource

from socketkit.config.address import Address

__all__ = ["refuse_ineffective"]

_SINGLE: Final = ("stdio", "exec")
"""Schemes with one client, which is connected already."""


_SERVERS: Final = ("echo", "listen", "relay", "host")
_VERBS: Final = (*_SERVERS, "connect", "join", "wait")
"""Those that are checked here: `nc` checks its flags itself."""


class _Use:
    """A command line: its verb, what it was given, where it listens and where it connects."""

    def __init__(self, context: click.Context) -> None:
        params = context.params
        self.verb = context.command.name or ""
        self.params: dict[str, Any] = params
        self.options = {
            parameter.name: parameter.opts[0]
            for parameter in context.command.params
            if isinstance(parameter, click.Option)
            and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        }
        first = tuple(params.get("addresses") or filter(None, (params.get("address"),)))
        is_server = self.verb in _SERVERS
        self.listening: tuple[Address, ...] = first if is_server else ()
        self.targets: tuple[Address, ...] = params.get("targets") or (() if is_server else first)

    def given(self, *names: str) -> Iterable[str]:
        """Those of these parameters that the command line gives."""
        return (name for name in names if name in self.options)

    def has(self, name: str) -> bool:
        """Whether an option has a value that is not its absence."""
        return bool(self.params.get(name))

    def speaks_tls(self, addresses: Iterable[Address]) -> bool:
        """Whether TLS is spoken at one of the addresses."""
        return self.has("tls") or any(each.transport.is_secure or _own(each, "tls") == "yes" for each in addresses)


def _own(address: Address, name: str) -> str | None:
    return dict(address.options).get(name)


def _all(addresses: tuple[Address, ...], test: Callable[[Address], bool]) -> bool:
    return bool(addresses) and all(map(test, addresses))


def _is_single(address: Address) -> bool:
    return address.scheme in _SINGLE


def _is_local(address: Address) -> bool:
    return _is_single(address) or "AF_UNIX" in address.transport.families


def _is_datagram(address: Address) -> bool:
    return address.transport.is_datagram


def _are_streams(addresses: tuple[Address, ...]) -> bool:
    return all(each.transport.kind in ("", "SOCK_STREAM") for each in addresses)


def _has_one_client(use: _Use) -> bool:
    return _all(use.listening, _is_single)


def _dials_nothing(use: _Use) -> bool:
    return _all(use.targets, lambda address: address.is_given)


def _has_no_proxy(use: _Use) -> bool:
    return not use.has("accept_proxy") and all(_own(address, "accept_proxy") is None for address in use.listening)


def _ends_by_itself(address: Address) -> bool:
    """Whether a peer there receives our end, and may answer it."""
    return not address.is_given and _are_streams((address,)) and not address.transport.is_websocket


def _has_handshake(use: _Use) -> bool:
    if use.has("dynamic") or use.has("web") or not _has_no_proxy(use) or use.speaks_tls(use.listening):
        return True
    return any(address.transport.is_websocket for address in use.listening)


_OF_LISTENERS: Final = (
    *("accept_rate", "accept_timeout", "backlog", "max_connections", "max_per_peer"),
    *("overload", "ready_fd", "takeover"),
)

_RULES: Final[tuple[tuple[tuple[str, ...], Callable[[_Use], bool], str], ...]] = (
    (
        _OF_LISTENERS,
        _has_one_client,
        "where the only client is connected already (stdio:, exec:)",
    ),
    (
        ("connect_timeout",),
        lambda use: use.verb != "wait" and _dials_nothing(use),
        "at stdio:, exec:, fd: and systemd:, which are open already or started at once",
    ),
    (
        ("retry", "backoff"),
        lambda use: _dials_nothing(use) and not use.speaks_tls(use.targets),
        "at stdio:, exec:, fd: and systemd:, which are open already or started at once",
    ),
    (("bind",), lambda use: _dials_nothing(use), "at stdio:, exec:, fd: and systemd:, which have no source address"),
    (
        ("send_proxy",),
        lambda use: not _are_streams(use.targets),
        "at datagrams and packets: the header begins a stream",
    ),
    (("starttls",), lambda use: not _are_streams(use.targets), "at datagrams and packets: TLS is spoken over streams"),
    (
        ("handshake_timeout",),
        lambda use: bool(use.listening) and not _has_handshake(use),
        "without TLS, WebSocket and --accept-proxy: nothing comes before the first message",
    ),
    (
        ("max_per_peer",),
        lambda use: _all(use.listening, _is_local) and _has_no_proxy(use),
        "at UNIX sockets without --accept-proxy: their peers have no address",
    ),
    (
        ("max_connections", "max_per_peer", "accept_rate", "overload"),
        lambda use: use.has("once"),
        "with --once: the first client is the only one",
    ),
    (
        ("linger",),
        lambda use: use.verb == "relay" and _all(use.listening, _is_datagram) and _all(use.targets, _is_datagram),
        "between datagrams, which have no end: see --idle-timeout",
    ),
    (
        ("reply_wait",),
        lambda use: _all(use.listening or use.targets, _ends_by_itself),
        "over a connection, whose peer ends it: see --linger",
    ),
    (("crlf", "written"), lambda use: use.has("receive_only"), "with --receive-only: standard input is not read"),
    (("shown",), lambda use: use.has("send_only"), "with --send-only: what is received is discarded"),
)
"""Parameters, when they cannot act, and that in words, behind `--option does nothing`."""


def refuse_ineffective(context: click.Context) -> None:
    """Check a command line that was read.

    Raises:
        click.UsageError: an option was given that cannot act; it is named, with the reason.
    """
    if context.command.name not in _VERBS:
        return
    use = _Use(context)
    for names, cannot_act, where in _RULES:
        for name in use.given(*names):
            if cannot_act(use):
                raise click.UsageError(f"{use.options[name]} does nothing {where}", context)
