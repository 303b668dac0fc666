"""An address with its merged options, framing and TLS settings: what `connect`, `serve` and `listen` open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any

from socketkit import framing as framings
from socketkit.config.address import Address
from socketkit.config.host import ascii_host
from socketkit.config.options import Options, check_addresses, check_shared, check_verb
from socketkit.config.schemes import secure_name, websocket_name
from socketkit.config.tls_settings import TLS
from socketkit.config.websocket_settings import WebSocket
from socketkit.errors import OptionError
from socketkit.framing.codec import Framing
from socketkit.values import replace

__all__ = [
    "Endpoint",
    "effective_options",
    "is_secure",
    "options_at",
    "set_http",
    "spoken_address",
    "tls_for",
    "tls_settings_of",
    "websocket_for",
]


class Endpoint:
    """An address with its merged options, its framing and its TLS settings.

    Args:
        address: text or value; its query holds options.
        framing: as `connect` takes it; None: as the options say, else chunks.
        keywords: options that overrule those of the address.
        verb: the public function that opens it.

    Raises:
        AddressError: not an address, or a host that no domain can have.
        OptionError: an option is wrong, or has no effect on the verb or at the address.
    """

    def __init__(
        self, address: str | Address, framing: object, keywords: dict[str, object], *, verb: str = "connect"
    ) -> None:
        self.address = Address.parse(address)
        ascii_host(self.address.host)  # a name that no domain can have is refused before anything is opened
        own = dict(self.address.options)
        self.options = effective_options(self.address, Options.make(own, **keywords))
        check_verb(own | keywords, verb)
        check_addresses(own, [self.address], beside=own | keywords)
        chosen = framing if framing is not None else self.options.framing
        self.framing: Framing = framings.of("chunks" if chosen is None else chosen)

    @classmethod
    def several(
        cls,
        addresses: Iterable[str | Address],
        framing: object,
        keywords: dict[str, object],
        *,
        verb: str,
        has_engine: bool = False,
    ) -> list[Endpoint]:
        """One for each address; a keyword has to act at one of them at least.

        Args:
            has_engine: whether the program chose the engine, which overrules those of the addresses.
        """
        endpoints = [cls(address, framing, keywords, verb=verb) for address in addresses]
        everywhere = [endpoint.address for endpoint in endpoints]
        own_of_all = {name: value for address in everywhere for name, value in address.options}
        check_addresses(keywords, everywhere, beside=own_of_all | keywords)
        first, *others = endpoints
        for endpoint in others:
            own = {
                name: value
                for name, value in endpoint.address.options
                if name not in keywords and not (has_engine and name == "engine")
            }
            check_shared(own, first.options, endpoint.address.transport)
        return endpoints

    def moved(self, address: Address) -> Endpoint:
        """The same options, framing and TLS settings at another address."""
        other = copy(self)
        other.address = address
        return other


def set_http(endpoints: Iterable[Endpoint], http: Callable[..., Any]) -> None:
    """Have plain requests beside the WebSockets of these addresses answered.

    Raises:
        OptionError, TypeError: no WebSocket is served there; it is no function.
    """
    if not callable(http):
        raise TypeError(f"http must be a function of one request, not {type(http).__name__}")
    found = [endpoint for endpoint in endpoints if isinstance(endpoint.options.websocket, WebSocket)]
    if not found:
        raise OptionError(
            "http: it answers beside a WebSocket, and none of the addresses is ws://, wss:// or ws+unix://"
        )
    for endpoint in found:
        assert isinstance(endpoint.options.websocket, WebSocket)
        websocket = replace(endpoint.options.websocket, http=http)
        endpoint.options = replace(endpoint.options, websocket=websocket)


def options_at(
    address: Address, defaults: Mapping[str, object], keywords: Mapping[str, object], *, verb: str = "connect"
) -> Options:
    """The merged options for an address: its own win over the defaults, keywords over both.

    Raises:
        OptionError: an option is wrong, or one of the address's own has no effect on the verb or there.
    """
    own = dict(address.options)
    check_verb(own, verb)
    check_addresses(own, [address], beside={**defaults, **own, **keywords})
    return Options.make(defaults, own, keywords)


_OWN = ("ca", "cert", "key", "verify", "server_name", "alpn", "require_client_cert", "pin", "self_signed")


def is_secure(address: Address, options: Options) -> bool:
    """Whether TLS is used from the first byte."""
    return options.tls is not False or address.transport.is_secure


def spoken_address(address: Address, options: Options) -> Address:
    """The same address, with the scheme of the protocol that is used there: TLS, WebSocket."""
    if options.tls is not False:
        address = address.replace(scheme=secure_name(address.scheme))
    if isinstance(options.websocket, WebSocket):
        address = address.replace(scheme=websocket_name(address.scheme))
        if address.transport.is_websocket:
            address = address.replace(resource=options.websocket.resource)
    return address


def websocket_for(address: Address, options: Options) -> WebSocket | None:
    """The settings for an address; None where there is no WebSocket.

    Raises:
        OptionError: WebSocket is spoken over streams, and this is none.
    """
    if options.websocket is False and not address.transport.is_websocket:
        return None
    if address.transport.kind not in ("", "SOCK_STREAM"):
        raise OptionError(f"websocket: it is spoken over streams, and {address.scheme} is none")
    if isinstance(options.websocket, WebSocket):
        return options.websocket
    return WebSocket(address.resource)


def tls_settings_of(options: Options) -> TLS:
    """The settings that the options give: a `TLS`, and over it what they say one by one.

    Raises:
        OptionError: they contradict each other.
    """
    base = options.tls if isinstance(options.tls, TLS) else TLS()
    given: dict[str, Any] = {name: getattr(options, name) for name in _OWN}
    unsaid = Options.fields
    return replace(base, **{name: value for name, value in given.items() if value != unsaid[name].default})


def tls_for(address: Address, options: Options) -> TLS | None:
    """The settings for an address; None without TLS.

    Raises:
        OptionError: the options contradict each other.
    """
    if not is_secure(address, options):
        return None
    if address.transport.kind not in ("", "SOCK_STREAM"):
        raise OptionError(f"tls: it is spoken over streams, and {address.scheme} is none")
    return tls_settings_of(options)


def effective_options(address: Address, options: Options) -> Options:
    """The options with all that concerns TLS and WebSocket at this address gathered in `tls` and `websocket`.

    Raises:
        OptionError: they contradict each other.
    """
    tls, websocket = tls_for(address, options), websocket_for(address, options)
    if tls is not None:
        options = replace(options, tls=tls)
    return options if websocket is None else replace(options, websocket=websocket)
