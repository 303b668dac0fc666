"""Addresses of a chat's page: as they are typed, as they are listened at, as a browser has them."""

from __future__ import annotations

from typing import Final

from socketkit.config.address import Address
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, OptionError

__all__ = ["SOCKET_PATH", "page_address", "page_url"]

SOCKET_PATH: Final = "/ws"
"""Where the page's WebSocket is."""

_SCHEMES: Final = {
    "http": "ws",
    "https": "wss",
    "tcp": "ws",
    "tcp4": "ws",
    "tcp6": "ws",
    "tls": "wss",
    "unix": "ws+unix",
}


def page_address(text: str | Address) -> Address:
    """The address of the page's WebSocket: of `http://host:port/`, `https://`, `host:port`, a path, `ws://`, `wss://`.

    Raises:
        AddressError: it is no address.
        OptionError: no page can be served there.
    """
    if isinstance(text, str):
        if text.isdecimal():
            near = f"{quote(f'localhost:{text}')}, or {quote(f':{text}')} for every interface"
            raise AddressError(f"address {quote(text)}: it has no host and no colon; did you mean {near}?")
        scheme, mark, rest = text.partition("://")
        text = f"{_SCHEMES[scheme.lower()]}{mark}{rest}" if scheme.lower() in _SCHEMES else text
    address = Address.parse(text, default_scheme="ws")
    scheme = _SCHEMES.get(address.scheme, address.scheme)
    if not scheme.startswith("ws"):
        raise OptionError(f"{address}: no page is served there; allowed is http://host:port, https:// or a UNIX socket")
    if address.resource not in ("", "/", SOCKET_PATH):
        raise OptionError(f"{quote(address.resource)}: the page is at /, and its WebSocket at {SOCKET_PATH}")
    return address.replace(scheme=scheme, resource=SOCKET_PATH)


def page_url(address: Address) -> str:
    """Where a browser finds the page of this address: `http://127.0.0.1:8080/`; any other address as it is."""
    if address.scheme not in ("ws", "wss"):
        return str(address)
    plain = address.without_options().replace(scheme="tcp", resource="")
    return f"http{'s' if address.transport.is_secure else ''}{str(plain).removeprefix('tcp')}/"
