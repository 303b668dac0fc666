"""Hints of the library in the words of the command: `ca=FILE` is `--cacert FILE` for who types options.

The library's errors name its keywords, which are also the options of an address. Where the running verb has an option
for a keyword, what it prints names that option. A keyword that was given in an address keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["KEYWORDS", "SWITCHES", "in_options", "speak"]

KEYWORDS: Final = {
    "accept_proxy": "--accept-proxy",
    "accept_rate": "--accept-rate",
    "allow": "--allow",
    "alpn": "--alpn",
    "backlog": "--backlog",
    "bind": "--bind",
    "ca": "--cacert",
    "cert": "--cert",
    "connect_timeout": "--connect-timeout",
    "deny": "--deny",
    "engine": "--engine",
    "framing": "--framing",
    "handshake_timeout": "--handshake-timeout",
    "headers": "--header",
    "idle_timeout": "--idle-timeout",
    "key": "--key",
    "max_connections": "--max-connections",
    "max_per_peer": "--max-per-peer",
    "origin": "--origin",
    "origins": "--origins",
    "overload": "--overload",
    "pin": "--pin",
    "proxy": "--proxy",
    "require_client_cert": "--require-client-cert",
    "retry": "--retry",
    "self_signed": "--self-signed",
    "send_proxy": "--send-proxy",
    "server_name": "--server-name",
    "subprotocols": "--subprotocol",
    "takeover": "--takeover",
    "tls": "--tls",
    "verify": "--insecure",
}
"""Each keyword of the library that is an option of a verb, and that option."""

SWITCHES: Final = {"require_client_cert": "yes", "self_signed": "yes", "tls": "yes", "verify": "no"}
"""Keywords whose option has no value, and the value that the option stands for."""

_CLIENT_CA: Final = "--client-ca"
"""The authorities for clients: the keyword is `ca` too. A relay has both options."""

_WORD: Final = "|".join(sorted(KEYWORDS, key=len, reverse=True))
_SETTING: Final = rf"(?<![\w?&'\"./:-])({_WORD})=(yes\b|no\b)?"  # compiled when a failure is printed: that takes 2 ms
_MENTION: Final = rf"(?<=\()({_WORD})(?=\))|(?<=`)({_WORD})(?=`)|\A({_WORD})(?=: )"
_TOO_LONG: Final = "allow it with max_size="

_spoken: set[str] = set()
_kept: set[str] = set()


def speak(options: Iterable[str], addresses: Iterable[str] = ()) -> None:
    """Set the options of the verb that runs, and the words that may be addresses."""
    _spoken.clear()
    _spoken.update(options)
    _kept.clear()
    for address in addresses:
        _kept.update(re.findall(r"[?&]([a-z_]+)=", address))


def in_options(text: str) -> str:
    """The text, with the verb's options in place of keywords."""
    if any(mark in text for mark in "=(:`"):
        is_of_clients = "--cacert" not in _spoken or text.startswith(("require_client_cert", "pin: a server"))
        text = re.sub(_SETTING, lambda match: _setting(match, is_of_clients), text)
        text = re.sub(_MENTION, lambda match: _option(match[match.lastindex or 0], is_of_clients) or match[0], text)
        if "--framing" in _spoken and "framing" not in _kept:
            text = text.replace(_TOO_LONG, "allow it with --framing NAME:max_size=SIZE")
    return text


def _setting(match: re.Match[str], is_of_clients: bool) -> str:
    keyword, value = match[1], match[2]
    option = _option(keyword, is_of_clients)
    if option is None:
        return match[0]
    if keyword in SWITCHES:
        return option if value == SWITCHES[keyword] else match[0]
    is_bare = match.end() == len(match.string) or match.string[match.end()] in ", "
    return f"{option}{'' if is_bare else ' '}{value or ''}"


def _option(keyword: str, is_of_clients: bool) -> str | None:
    if keyword in _kept:
        return None
    option = _CLIENT_CA if keyword == "ca" and is_of_clients else KEYWORDS[keyword]
    return option if option in _spoken else None
