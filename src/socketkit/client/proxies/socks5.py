"""SOCKS5 as a client: the choice of the method, user and password, CONNECT (RFC 1928, RFC 1929). Pure bytes."""

from __future__ import annotations

import errno
from typing import Final

from socketkit.client.proxies.exchange import Exchange, ProxyReplyError, Request
from socketkit.config.quoting import quote

__all__ = ["REPLIES", "pack_address", "socks5_exchange"]

VERSION: Final = 5
NO_AUTH, USER_PASSWORD, NO_METHOD = 0x00, 0x02, 0xFF  # RFC 1928, 3
CONNECT: Final = 1  # 4
IPV4, NAME, IPV6 = 1, 3, 4  # 5

REPLIES: Final = {  # RFC 1928, 6
    1: ("general SOCKS server failure", errno.ECONNABORTED),
    2: ("connection not allowed by ruleset", errno.EACCES),
    3: ("network unreachable", errno.ENETUNREACH),
    4: ("host unreachable", errno.EHOSTUNREACH),
    5: ("connection refused", errno.ECONNREFUSED),
    6: ("TTL expired", errno.ETIMEDOUT),
    7: ("command not supported", errno.EOPNOTSUPP),
    8: ("address type not supported", errno.EAFNOSUPPORT),
}
"""Each failure of a reply: its name, and the system's number for it."""


def socks5_exchange(host: str, port: int, *, user: str = "", password: str = "") -> Exchange:
    """Ask a SOCKS5 proxy for a connection.

    Args:
        host: a name in ASCII, which the proxy resolves, or a number.
        port: of the peer.
        user, password: offered where there is a user; the proxy may do without.

    Raises:
        ProxyReplyError: the proxy refused, or does not speak SOCKS5.
    """
    methods = bytes([NO_AUTH, USER_PASSWORD] if user else [NO_AUTH])
    reply = yield Request(bytes([VERSION, len(methods)]) + methods, _missing_of_method)
    method = reply[1]
    if method == NO_METHOD and user:
        raise ProxyReplyError("accepts neither our user and password nor a connection without", errno.EACCES)
    if method == NO_METHOD:
        raise ProxyReplyError("wants a user and a password, or does not serve us", errno.EACCES)
    if method not in methods:
        raise ProxyReplyError(f"chose the authentication method {method:#04x}, which was not offered")
    if method == USER_PASSWORD:
        secret = b"".join(bytes([len(part)]) + part for part in (user.encode(), password.encode()))
        yield Request(b"\x01" + secret, _missing_of_authentication)
    yield Request(bytes([VERSION, CONNECT, 0]) + pack_address(host, port), _missing_of_reply)


def pack_address(host: str, port: int) -> bytes:
    """An address as RFC 1928 (5) has it: type, number or name, port."""
    from socket import AF_INET, AF_INET6, inet_pton

    if ":" in host:
        packed = bytes([IPV6]) + inet_pton(AF_INET6, host)
    elif host[-1:].isdigit():
        packed = bytes([IPV4]) + inet_pton(AF_INET, host)
    else:
        name = host.encode("ascii")
        packed = bytes([NAME, len(name)]) + name
    return packed + port.to_bytes(2, "big")


def _check_version(data: bytes) -> None:
    if data and data[0] != VERSION:
        raise ProxyReplyError(f"does not speak SOCKS5: its reply begins with {quote(data)}")


def _missing_of_method(data: bytes) -> int:
    _check_version(data)
    return 2 - len(data)


def _missing_of_authentication(data: bytes) -> int:
    """RFC 1929, 2: the version of the sub-negotiation is 1; some servers send 5."""
    if data and data[0] not in (1, VERSION):
        raise ProxyReplyError(f"does not speak SOCKS5: its reply to the password begins with {quote(data)}")
    if len(data) == 2 and data[1] != 0:
        raise ProxyReplyError("does not accept the user and the password", errno.EACCES)
    return 2 - len(data)


def _missing_of_reply(data: bytes) -> int:
    """RFC 1928, 6. A refusal is known by its second byte; servers that send no more of it are understood."""
    _check_version(data)
    if len(data) >= 2 and data[1] != 0:
        name, number = REPLIES.get(data[1], (f"unknown reply {data[1]:#04x}", None))
        raise ProxyReplyError(f"answered: {name}", number)
    if len(data) < 5:
        return 5 - len(data)
    sizes = {IPV4: 10, NAME: 7 + data[4], IPV6: 22}
    if data[3] not in sizes:
        raise ProxyReplyError(f"sent a wrong reply: there is no address type {data[3]:#04x}")
    return sizes[data[3]] - len(data)
