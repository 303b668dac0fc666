"""HTTP CONNECT as a client (RFC 9110, 9.3.6), with Basic credentials (RFC 7617). Pure bytes."""

from __future__ import annotations

import errno
import re
from typing import Final

from socketkit.client.proxies.exchange import Exchange, ProxyReplyError, Request
from socketkit.config.quoting import quote

__all__ = ["MAX_HEAD_SIZE", "http_exchange"]

MAX_HEAD_SIZE: Final = 16 * 1024
"""Bytes of a response's head; the usual limit of servers is 8 KiB."""

_SHORTEST: Final = len("HTTP/1.1 200\n\n")
_STATUS_LINE: Final = rb"HTTP/1\.[0-9] ([0-9]{3})(?: ([^\r\n]*))?\r?\n"


def http_exchange(host: str, port: int, *, user: str = "", password: str = "") -> Exchange:
    """Ask an HTTP proxy for a tunnel.

    Args:
        host: a name in ASCII, which the proxy resolves, or a number.
        port: of the peer.
        user, password: sent at once, as curl does: a proxy that wants none ignores them.

    Raises:
        ProxyReplyError: the proxy refused, or does not speak HTTP.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
    if user or password:
        from base64 import b64encode

        request += f"Proxy-Authorization: Basic {b64encode(f'{user}:{password}'.encode()).decode()}\r\n"
    reply = yield Request(f"{request}\r\n".encode(), _missing)
    while reply.split(b" ", 2)[1].startswith(b"1"):  # RFC 9110, 15.2: interim responses come before the final one
        reply = yield Request(b"", _missing)


def _missing(data: bytes) -> int:
    """To the empty line that ends the head. A head with bare line feeds is read as well (RFC 9112, 2.2)."""
    if not b"HTTP/1.".startswith(data[:7]):
        raise ProxyReplyError(f"does not speak HTTP/1: its reply begins with {quote(data[:_SHORTEST])}")
    line, newline, _ = data.partition(b"\n")
    if newline:
        _check_status(line + newline)
    if data.endswith((b"\n\n", b"\n\r\n")):
        return 0
    if len(data) >= MAX_HEAD_SIZE:
        raise ProxyReplyError(f"sent a response whose head has no end within {MAX_HEAD_SIZE} bytes")
    if data.endswith((b"\n", b"\n\r")):
        return 1
    return max(2, _SHORTEST - len(data))


def _check_status(line: bytes) -> None:
    """A final status is known by its line: what follows a refusal is not read."""
    match = re.fullmatch(_STATUS_LINE, line)
    if match is None:
        raise ProxyReplyError(f"does not speak HTTP/1: its reply begins with {quote(line)}")
    status = int(match[1])
    if status // 100 in (1, 2) and status != 101:
        return
    phrase = quote((match[2] or b"").decode("latin-1"))[1:-1]
    hint = "; give it a user and a password as http://USER:PASSWORD@HOST:PORT" if status == 407 else ""
    raise ProxyReplyError(f"answered: {status} {phrase}".rstrip() + hint, _number_of(status))


def _number_of(status: int) -> int | None:
    """The system's number for a refusal: what a server's failure is (5xx), another try may change."""
    if status in (401, 403, 407):
        return errno.EACCES
    if status in (408, 504):
        return errno.ETIMEDOUT
    return errno.EHOSTUNREACH if status // 100 == 5 or status == 429 else None
