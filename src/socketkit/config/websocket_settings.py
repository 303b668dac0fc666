"""What can be said about a WebSocket, as plain values: subprotocols, origins, header fields, and requests.

Whatever could begin another line of a request is refused here, before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from socketkit.config.option_types import OptionType, format_switch, parse_switch
from socketkit.config.quoting import quote
from socketkit.errors import OptionError
from socketkit.values import Value

__all__ = ["HEADERS", "ORIGIN", "ORIGINS", "SUBPROTOCOLS", "WEBSOCKET_KIND", "Request", "Response", "WebSocket"]

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110, 5.6.2
_OWN_HEADERS: Final = frozenset(
    ("host", "upgrade", "connection", "content-length", "transfer-encoding", "origin")
)  # and Sec-WebSocket-*


class Request(Value):
    """The request that a WebSocket was opened with, or a plain GET or HEAD.

    Attributes:
        path: as it was sent, percent-encoded, without the query.
        query: behind the `?`; empty where there is none.
        headers: pairs of name (lower case) and value, in order.
        subprotocol: which was agreed on; None: none.
        method: GET, or HEAD of a plain request.
    """

    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    subprotocol: str | None = None
    method: str = "GET"

    def header(self, name: str) -> str | None:
        """The value of a header field, joined by commas where it stands several times; None: it was not sent.

        Args:
            name: in any case.
        """
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


class Response(Value):
    """The answer to a plain GET or HEAD beside a WebSocket: `Response(200, "ok")`.

    Attributes:
        status: from 200 to 599.
        body: bytes, or text, which is sent as UTF-8.
        headers: pairs, or a mapping. `Content-Length` and `Connection` are added; `Content-Type` unless it is given.
    """

    status: int = 200
    body: bytes | str = b""
    headers: Any = ()

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not isinstance(self.status, int) or not 200 <= self.status <= 599:
            raise OptionError(f"status: {quote(self.status)} is not a status; allowed is a number from 200 to 599")
        if not isinstance(self.body, (bytes, str)):
            raise TypeError(f"body: bytes or str, not {type(self.body).__name__}")
        object.__setattr__(self, "headers", parse_headers(self.headers, name="headers", reserved=_FRAMING_HEADERS))


_FRAMING_HEADERS: Final = frozenset(("content-length", "transfer-encoding", "connection"))


class WebSocket(Value):
    """How an address speaks WebSocket. Made from the address.

    Attributes:
        resource: path and query of a client's request; on a server the path alone counts. Empty: `/`, or every path.
        http: answers plain GET and HEAD requests; None: they are refused.
    """

    resource: str = ""
    http: Callable[[Request], Any] | None = None

    @property
    def path(self) -> str:
        """The path alone."""
        return self.resource.partition("?")[0]


def _parts(value: object, name: str, separator: str) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(separator) if part.strip()]
    if isinstance(value, Iterable):
        return list(value)
    raise OptionError(f"{name}: {quote(value)} is neither a text nor a list of texts")


def _parse_subprotocols(value: object, *, name: str = "") -> tuple[str, ...]:
    if value is None or value == "none":
        return ()
    found = _parts(value, name, ",")
    for part in found:
        if not isinstance(part, str) or not re.fullmatch(_TOKEN, part):
            raise OptionError(f"{name}: {quote(part)} is no subprotocol; allowed is a word, as chat.v1")
    if len({*found}) != len(found):
        raise OptionError(f"{name}: {quote(','.join(found))} names one twice")
    return tuple(found)


def _parse_origin(value: object, *, name: str = "") -> str:
    if isinstance(value, str) and (value == "null" or re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[!-.0-~]+", value)):
        return value.lower()
    raise OptionError(f"{name}: {quote(value)} is no origin; allowed is scheme://host or scheme://host:port")


def _parse_origins(value: object, *, name: str = "") -> tuple[str, ...]:
    found = _parts(value, name, ",")
    if not found:
        raise OptionError(f"{name}: there is none; allowed are origins joined by commas, and * for all")
    return tuple("*" if part == "*" else _parse_origin(part, name=name) for part in found)


def parse_headers(
    value: object, *, name: str = "", reserved: frozenset[str] = _OWN_HEADERS
) -> tuple[tuple[str, str], ...]:
    """Reads header fields: a mapping, pairs, or texts `Name: value` (one text has several joined by `|`).

    Raises:
        OptionError: no name, a character that a field may not have (CR, LF), or a field that WebSocket sets itself.
    """
    if value is None or value == "none":
        return ()
    pairs: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, Mapping) else _parts(value, name, "|")
    for item in items:
        if isinstance(item, str):
            key, colon, text = item.partition(":")
            if not colon:
                raise OptionError(f"{name}: {quote(item)} has no colon; allowed is 'Name: value'")
            unescaped = text.replace("%7C", "|").replace("%25", "%") if isinstance(value, str) else text
            pairs.append((key, unescaped))
        elif isinstance(item, tuple | list) and len(item) == 2:
            pairs.append((item[0], item[1]))
        else:
            raise OptionError(f"{name}: {quote(item)} is no header field; allowed are 'Name: value', and pairs of both")
    return tuple(_checked_header(key, text, name, reserved) for key, text in pairs)


def _checked_header(key: Any, text: Any, name: str, reserved: frozenset[str]) -> tuple[str, str]:
    if not isinstance(key, str) or not re.fullmatch(_TOKEN, key):
        raise OptionError(f"{name}: {quote(key)} is no name of a header field; allowed is a word, as Authorization")
    if not isinstance(text, str) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise OptionError(f"{name}: the value of {key} has a line break or another control character")
    if key.lower() in reserved or (reserved is _OWN_HEADERS and key.lower().startswith("sec-websocket-")):
        raise OptionError(f"{name}: {key} is set by socketkit itself")
    return key, text.strip(" \t")


def _format_headers(value: tuple[tuple[str, str], ...]) -> str:
    return "|".join(f"{key}: {text.replace('%', '%25').replace('|', '%7C')}" for key, text in value) or "none"


def _parse_websocket(value: object, *, name: str = "") -> bool | WebSocket:
    return value if isinstance(value, WebSocket) else parse_switch(value, name=name)


def _format_websocket(value: bool | WebSocket) -> str:
    return "yes" if isinstance(value, WebSocket) else format_switch(value)


def _joined(value: tuple[str, ...]) -> str:
    return ",".join(value) or "none"


WEBSOCKET_KIND = OptionType("yes/no", _parse_websocket, _format_websocket)
SUBPROTOCOLS = OptionType("names", _parse_subprotocols, _joined)
ORIGIN = OptionType("origin", _parse_origin, str)
ORIGINS = OptionType("origins", _parse_origins, _joined)
HEADERS = OptionType("header fields", parse_headers, _format_headers)
