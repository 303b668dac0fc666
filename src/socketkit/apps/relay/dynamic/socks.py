"""SOCKS as a server: SOCKS5 (RFC 1928, RFC 1929), SOCKS4 and SOCKS4a, told apart by the first byte. Pure bytes."""

from __future__ import annotations

import errno
from typing import Final

from socketkit.apps.relay.dynamic.request import Destination, Dialogue, RequestError, Users, destination_host, is_user
from socketkit.client.proxies.exchange import Request
from socketkit.client.proxies.socks5 import REPLIES, pack_address
from socketkit.config.quoting import quote
from socketkit.errors import DeadlineError, ResolveError, SocketkitError

__all__ = ["socks_dialogue"]

NO_AUTH, USER_PASSWORD, NO_METHOD = 0x00, 0x02, 0xFF  # RFC 1928, 3
IPV4, NAME, IPV6 = 1, 3, 4  # RFC 1928, 5
_COMMANDS: Final = {2: "BIND", 3: "UDP ASSOCIATE"}  # RFC 1928, 4; SOCKS4 has the first
_CODES: Final = {number: code for code, (_, number) in REPLIES.items()}
FAILURE, NOT_SUPPORTED, WRONG_TYPE = 1, 7, 8

MAX_FIELD_SIZE: Final = 255
"""Bytes of a user ID and of a name in SOCKS4, whose fields have no length: as many as SOCKS5 allows."""


def socks_dialogue(users: Users) -> Dialogue:
    """Read a request of either version.

    Raises:
        RequestError: it is none, or it is refused.
    """
    start = yield Request(b"", lambda data: 2 - len(data))
    if start[0] == 5:
        return (yield from _socks5(start, users))
    if start[0] == 4:
        return (yield from _socks4(start, users))
    raise RequestError(f"it begins with {quote(start)}, which is not SOCKS")


def _socks5(start: bytes, users: Users) -> Dialogue:
    methods = yield Request(b"", lambda data: start[1] - len(data))
    method = USER_PASSWORD if users else NO_AUTH
    if method not in methods:
        wanted = "a user and a password" if users else "no authentication"
        raise RequestError(f"it does not offer the method {wanted}", reply=bytes([5, NO_METHOD]))
    reply = bytes([5, method])
    if users:
        secret = yield Request(reply, _missing_of_secret)
        size = secret[1]
        if secret[0] != 1 or not is_user(users, secret[2 : 2 + size], secret[3 + size :]):
            raise RequestError("its user or password is wrong", errno=errno.EACCES, reply=b"\x01\x01")
        reply = b"\x01\x00"
    request = yield Request(reply, _missing_of_request)
    if request[0] != 5:
        raise RequestError(f"the request behind the method begins with {quote(request)}")
    if request[1] != 1:
        name = _COMMANDS.get(request[1], f"{request[1]:#04x}")
        raise RequestError(f"the command {name} is not supported", reply=_reply5(NOT_SUPPORTED))
    if request[3] not in (IPV4, NAME, IPV6):
        raise RequestError(f"there is no address type {request[3]:#04x}", reply=_reply5(WRONG_TYPE))
    host = _host5(request[3], request[4:-2])
    return _destination(host, request[-2:], lambda host, port: b"\x05\0\0" + pack_address(host, port), _refused5)


def _missing_of_secret(data: bytes) -> int:
    """RFC 1929, 2: version, length, user, length, password."""
    if len(data) < 2:
        return 2 - len(data)
    if len(data) < 3 + data[1]:
        return 3 + data[1] - len(data)
    return 3 + data[1] + data[2 + data[1]] - len(data)


def _missing_of_request(data: bytes) -> int:
    """RFC 1928, 4. Of an unknown address type nothing more is read: its length is not known."""
    if len(data) < 5:
        return 5 - len(data)
    size = {IPV4: 10, NAME: 7 + data[4], IPV6: 22}.get(data[3], len(data))
    return size - len(data)


def _host5(kind: int, data: bytes) -> str:
    from socket import AF_INET, AF_INET6, inet_ntop

    if kind == NAME:
        return destination_host(data[1:], _reply5(FAILURE))
    return inet_ntop(AF_INET if kind == IPV4 else AF_INET6, data)


def _reply5(code: int) -> bytes:
    return bytes([5, code]) + b"\0\x01" + bytes(6)


def _refused5(error: SocketkitError) -> bytes:
    if isinstance(error, ResolveError):
        return _reply5(_CODES[errno.EHOSTUNREACH])
    if isinstance(error, DeadlineError):
        return _reply5(_CODES[errno.ETIMEDOUT])
    return _reply5(_CODES.get(error.errno or 0, FAILURE))


def _socks4(start: bytes, users: Users) -> Dialogue:
    rejected = b"\0\x5b" + bytes(6)
    rest = yield Request(b"", lambda data: 6 - len(data))
    if start[1] != 1:
        name = _COMMANDS.get(start[1], f"{start[1]:#04x}")
        raise RequestError(f"the command {name} is not supported", reply=rejected)
    yield Request(b"", _missing_of_field)  # the user ID: no proof of anything
    if users:
        raise RequestError("SOCKS4 has no password", errno=errno.EACCES, reply=rejected)
    number = rest[2:]
    if number[:3] == b"\0\0\0" and number[3]:  # SOCKS 4A: a name follows
        field = yield Request(b"", _missing_of_field)
        host = destination_host(field[:-1], rejected)
    else:
        host = ".".join(map(str, number))
    return _destination(host, rest[:2], lambda host, port: b"\0\x5a" + bytes(6), lambda error: rejected)


def _missing_of_field(data: bytes) -> int:
    if data.endswith(b"\0"):
        return 0
    if len(data) > MAX_FIELD_SIZE:
        raise RequestError(f"a field has no end within {MAX_FIELD_SIZE} bytes", reply=b"\0\x5b" + bytes(6))
    return 1


def _destination(host: str, port: bytes, granted: object, refused: object) -> Destination:
    number = int.from_bytes(port, "big")
    made = Destination(host, number, granted, refused)  # type: ignore[arg-type]
    if number == 0:
        raise RequestError("port 0 is no destination", reply=made.refused(SocketkitError()))
    return made
