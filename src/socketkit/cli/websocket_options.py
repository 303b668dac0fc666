"""The options of WebSocket: for clients and for servers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

from socketkit.cli.common_options import DEFAULT_ADDRESS, Read
from socketkit.cli.fast_click import option
from socketkit.config.address import Address
from socketkit.config.options import check_schemes, parse_option

__all__ = ["client", "server"]

F = TypeVar("F", bound=Callable[..., Any])


def _read(name: str, *, is_list: bool = False) -> Callable[[str], Any]:
    return lambda text: parse_option(name, [text] if is_list else text)


def _several(context: object, parameter: object, given: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...] | None:
    """One tuple of what was given several times; None where it was not given."""
    return tuple(item for items in given for item in items) or None


_HEADER: Final = option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    type=Read("header field", _read("headers", is_list=True)),
    callback=_several,
    help="A further header field of a WebSocket's request; may be given several times.",
)
_ORIGIN: Final = option(
    "--origin",
    metavar="ORIGIN",
    type=Read("origin", _read("origin")),
    help="The web page that a WebSocket is opened for, as https://example.com.",
)
_SUBPROTOCOL: Final = option(
    "--subprotocol",
    "subprotocols",
    metavar="NAME",
    multiple=True,
    type=Read("subprotocols", _read("subprotocols")),
    callback=_several,
    help="A subprotocol of WebSocket to agree on; may be given several times, best first.",
)
_ORIGINS: Final = option(
    "--origins",
    metavar="ORIGINS",
    type=Read("origins", _read("origins")),
    help="Web pages that may open a WebSocket, joined by commas, or * for all (default: those of this host).",
)


def client(function: F) -> F:
    """--header, --origin and --subprotocol; the function gets them by the names of `Options`, or None."""
    decorated: F = _HEADER(_ORIGIN(_SUBPROTOCOL(_checked(function, ("headers", "origin", "subprotocols")))))
    return decorated


def server(function: F) -> F:
    """--subprotocol and --origins, likewise."""
    decorated: F = _SUBPROTOCOL(_ORIGINS(_checked(function, ("subprotocols", "origins"))))
    return decorated


def _checked(function: Any, names: tuple[str, ...]) -> Any:
    """Refuse the options where no WebSocket is spoken."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        given = {name: options[name] for name in names if options[name] is not None}
        addresses = options["addresses"] if "addresses" in options else (options["address"],)
        if given:
            check_schemes(given, [address.transport for address in addresses or (Address.parse(DEFAULT_ADDRESS),)])
        return function(*args, **options)

    return checked
