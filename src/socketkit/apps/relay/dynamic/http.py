"""HTTP CONNECT as a server (RFC 9110, 9.3.6), with Basic credentials (RFC 7617). Pure bytes.

It opens tunnels and forwards no requests: everything but CONNECT is answered 405.
"""

from __future__ import annotations

import binascii
import errno
import re
from base64 import b64decode
from http import HTTPStatus
from typing import Final

from socketkit.apps.relay.dynamic.request import Destination, Dialogue, RequestError, Users, destination_host, is_user
from socketkit.client.proxies.exchange import Request
from socketkit.client.proxies.http_connect import MAX_HEAD_SIZE
from socketkit.config.quoting import quote
from socketkit.errors import DeadlineError, SocketkitError

__all__ = ["http_dialogue"]

_REQUEST_LINE: Final = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.[0-9]"
_AUTHORITY: Final = rb"(?:\[([^\[\]]+)\]|([^\[\]:/?#@]+)):([0-9]{1,5})"
_GRANTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


def http_dialogue(users: Users) -> Dialogue:
    """Read the head of a request.

    Raises:
        RequestError: it is no request, or it is refused.
    """
    head = yield Request(b"", _missing)
    line, *fields = head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    request = re.fullmatch(_REQUEST_LINE, line)
    if request is None:
        raise RequestError(f"{quote(line)} is no request line", reply=_response(HTTPStatus.BAD_REQUEST))
    if users and not _is_authorized(users, fields):
        challenge = 'Proxy-Authenticate: Basic realm="socketkit", charset="UTF-8"\r\n'
        reply = _response(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, challenge)
        raise RequestError("its user or password is missing or wrong", errno=errno.EACCES, reply=reply)
    if request[1] != b"CONNECT":
        reply = _response(
            HTTPStatus.METHOD_NOT_ALLOWED, "Allow: CONNECT\r\n", "This proxy opens tunnels only: use CONNECT."
        )
        raise RequestError(f"{quote(request[1].decode())}: only CONNECT is supported", reply=reply)
    place = re.fullmatch(_AUTHORITY, request[2])
    if place is None or not 1 <= int(place[3]) <= 65535:
        raise RequestError(f"{quote(request[2])} is not host:port", reply=_response(HTTPStatus.BAD_REQUEST))
    host = destination_host(place[1] or place[2], _response(HTTPStatus.BAD_REQUEST))
    return Destination(host, int(place[3]), lambda host, port: _GRANTED, _refused)


def _missing(data: bytes) -> int:
    """To the empty line; a head with bare line feeds is read as well (RFC 9112, 2.2)."""
    if data.endswith((b"\n\n", b"\n\r\n")):
        return 0
    if len(data) >= MAX_HEAD_SIZE:
        reply = _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        raise RequestError(f"its head has no end within {MAX_HEAD_SIZE} bytes", reply=reply)
    if len(data) == 16 and not re.match(rb"[!-~]+ ", data):  # TLS, or SOCKS: its client waits for us
        raise RequestError(f"it begins with {quote(data)}, which is not HTTP", reply=_response(HTTPStatus.BAD_REQUEST))
    if data.endswith((b"\n", b"\n\r")):
        return 1
    return 2 if len(data) >= 16 else 16 - len(data)


def _is_authorized(users: Users, fields: list[bytes]) -> bool:
    for field in fields:
        name, _, value = field.partition(b":")
        scheme, _, token = value.strip().partition(b" ")
        if name.lower() == b"proxy-authorization" and scheme.lower() == b"basic":
            try:
                user, colon, password = b64decode(token.strip(), validate=True).partition(b":")
            except binascii.Error:
                return False
            return bool(colon) and is_user(users, user, password)
    return False


def _response(status: HTTPStatus, fields: str = "", body: str = "") -> bytes:
    text = f"{body or status.phrase}\n"
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text.encode())}\r\nConnection: close\r\n\r\n{text}"
    ).encode()


def _refused(error: SocketkitError) -> bytes:
    if error.errno == errno.EACCES:
        return _response(HTTPStatus.FORBIDDEN, body="The destination is not allowed.")
    if isinstance(error, DeadlineError):
        return _response(HTTPStatus.GATEWAY_TIMEOUT)
    return _response(HTTPStatus.BAD_GATEWAY, body="The destination cannot be connected to.")
