"""SOCKS4 and SOCKS4a as a client: CONNECT (Ying-Da Lee's memos "SOCKS" and "SOCKS 4A"). Pure bytes."""

from __future__ import annotations

import errno
from typing import Final

from socketkit.client.proxies.exchange import Exchange, ProxyReplyError, Request
from socketkit.config.quoting import quote

__all__ = ["socks4_exchange"]

GRANTED: Final = 90
_REFUSALS: Final = {
    91: ("request rejected or failed", errno.ECONNABORTED),
    92: ("rejected: no identd on this machine", errno.EACCES),
    93: ("rejected: identd names another user", errno.EACCES),
}


def socks4_exchange(host: str, port: int, *, user: str = "") -> Exchange:
    """Ask a SOCKS4 proxy for a connection; SOCKS4a where the host is a name.

    Args:
        host: an IPv4 number, or a name in ASCII, which the proxy resolves.
        port: of the peer.
        user: the user ID of the request; it may be empty.

    Raises:
        ProxyReplyError: the proxy refused or does not speak SOCKS4, or the host is an IPv6 number.
    """
    from socket import inet_aton

    if ":" in host:
        raise ProxyReplyError(f"speaks SOCKS4, which has no IPv6 address as {host}; take socks5", errno.EAFNOSUPPORT)
    is_number = host[-1:].isdigit()
    # 4A: an impossible number, 0.0.0.x, says that a name follows the user
    number, name = (inet_aton(host), b"") if is_number else (b"\0\0\0\x01", host.encode("ascii") + b"\0")
    yield Request(b"\x04\x01" + port.to_bytes(2, "big") + number + user.encode() + b"\0" + name, _missing)


def _missing(data: bytes) -> int:
    if data and data[0] != 0:  # the version of the reply code
        raise ProxyReplyError(f"does not speak SOCKS4: its reply begins with {quote(data)}")
    if len(data) >= 2 and data[1] != GRANTED:
        name, number = _REFUSALS.get(data[1], (f"unknown reply {data[1]}", None))
        raise ProxyReplyError(f"answered: {name}", number)
    return 8 - len(data)
