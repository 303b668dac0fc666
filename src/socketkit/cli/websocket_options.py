"""The options of WebSocket: for clients and for servers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

from socketkit.cli.common_options import DEFAULT_ADDRESS, Read
from socketkit.cli.fast_click import option
from socketkit.config.address import Address
from socketkit.config.options import check_addresses, parse_option
from socketkit.errors import OptionError

__all__ = ["client", "relay", "server", "split_relay_options"]

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


_RELAY: Final = ("headers", "origin", "subprotocols", "origins")
_TEXT: Final = option(
    "--text", "is_text", is_flag=True, help="A WebSocket gets what a stream brings as text, not as binary messages."
)


def relay(function: F) -> F:
    """All of them, and --text (`is_text`); the function gets the others to give to `split_relay_options`."""
    decorated: F = _TEXT(_HEADER(_ORIGIN(_SUBPROTOCOL(_ORIGINS(function)))))
    return decorated


def split_relay_options(
    address: Address, targets: tuple[Address, ...], *, is_text: bool, given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return those for the clients, and those for the targets. A subprotocol is for whichever side is a WebSocket.

    Args:
        address, targets: where it listens and where it connects.
        is_text: whether --text was given.
        given: by the names of `Options`; None: it was not given.

    Raises:
        OptionError: one would have no effect.
    """
    given = {name: given[name] for name in _RELAY if given[name] is not None}
    is_server, is_client = (any(each.transport.is_websocket for each in side) for side in ((address,), targets))
    if is_text and not (is_server or is_client):
        raise OptionError("--text: it has no effect here; it acts on WebSocket, as ws:// and wss://")
    both = [address, *targets]
    own: dict[str, Any] = {}
    outgoing: dict[str, Any] = {}
    for name, value in given.items():
        check_addresses({name: value}, {"origins": both[:1], "subprotocols": both}.get(name, both[1:] or both))
        if name == "origins" or (name == "subprotocols" and is_server):
            own[name] = value
        if name in ("headers", "origin") or (name == "subprotocols" and is_client):
            outgoing[name] = value
    return own, outgoing


def _checked(function: Any, names: tuple[str, ...]) -> Any:
    """Refuse the options where no WebSocket is spoken."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        given = {name: options[name] for name in names if options[name] is not None}
        addresses = options["addresses"] if "addresses" in options else (options["address"],)
        if given:
            check_addresses(given, addresses or (Address.parse(DEFAULT_ADDRESS),))
        return function(*args, **options)

    return checked
