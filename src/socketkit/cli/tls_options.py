"""The options of TLS, as curl names them: for clients, for servers, and for relays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from socketkit.cli.common_options import Read
from socketkit.cli.fast_click import option
from socketkit.cli.output import print_line
from socketkit.config.address import Address
from socketkit.config.tls_settings import parse_pins
from socketkit.events import CertificatesReloaded, Event, SelfSigned, combine

__all__ = ["client", "relay", "server"]

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]

_FILE: Final = click.Path(exists=True)


def _switch(*names: str, means: bool = True, text: str) -> Option[Any]:
    """A flag that says nothing when it is not given."""
    return option(*names, is_flag=True, help=text, callback=lambda context, parameter, given: means if given else None)


_TLS: Final = _switch("--tls", "--ssl", "tls", text="Use TLS, whatever the address says (tls://… says it too).")
_CERT: Final = option("--cert", metavar="FILE", type=_FILE, help="Our certificate with its chain (PEM).")
_KEY: Final = option("--key", metavar="FILE", type=_FILE, help="Its private key, where it is a file of its own.")
_ALPN: Final = option("--alpn", metavar="NAMES", help="Application protocols to agree on: h2,http/1.1.")

_CACERT: Final = option("--cacert", "ca", metavar="PATH", type=_FILE, help="Trust these authorities, not the system's.")
_INSECURE: Final = _switch(
    "--insecure", "verify", means=False, text="Do not check the server's certificate: any server is accepted."
)
_PIN: Final = option(
    "--pin",
    metavar="PIN",
    type=Read("pin", lambda text: ",".join(parse_pins(text))),
    help="The server's key must have this SHA-256: sha256:HEX; without --cacert nothing else is checked.",
)
_SERVER_NAME: Final = option(
    "--server-name", metavar="NAME", help="The name that the certificate must have (default: the host)."
)
_SELF_SIGNED: Final = _switch(
    "--self-signed", text="Make a certificate for this run, and print the pin for clients' --pin."
)
_CLIENT_CA: Final = option("--client-ca", metavar="PATH", type=_FILE, help="Check clients' certificates by these.")
_REQUIRE: Final = _switch(
    "--require-client-cert", text="Accept only clients with a certificate that --client-ca trusts."
)

_CLIENT: Final[tuple[Option[Any], ...]] = (_TLS, _CACERT, _CERT, _KEY, _INSECURE, _PIN, _ALPN, _SERVER_NAME)
_SERVER: Final[tuple[Option[Any], ...]] = (_TLS, _CERT, _KEY, _SELF_SIGNED, _CLIENT_CA, _REQUIRE, _ALPN)
_CLIENT_SIDE: Final[tuple[Option[Any], ...]] = (_CERT, _KEY, _SELF_SIGNED, _CLIENT_CA, _REQUIRE)
_TARGET_SIDE: Final[tuple[Option[Any], ...]] = (_CACERT, _INSECURE, _PIN, _SERVER_NAME)

_SERVER_NAMES: Final = ("cert", "key", "self_signed", "client_ca", "require_client_cert")
_TARGET_NAMES: Final = ("ca", "verify", "pin", "server_name")
_NAMES: Final = (*_SERVER_NAMES, *_TARGET_NAMES, "alpn")


def client(function: F) -> F:
    """The options of a client. The function gets them by the names of `Options`, None where they were not given."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        _is_secure(options)
        return function(*args, **options)

    decorated: F = _with(_CLIENT, checked)
    return decorated


def server(function: F) -> F:
    """The options of a server. Its pin is printed, and each reload of certificates."""

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        if _is_secure(options):
            options["observer"] = combine(options["observer"], _tell)
        return function(*args, ca=options.pop("client_ca"), **options)

    decorated: F = _with(_SERVER, checked)
    return decorated


def relay(function: F) -> F:
    """Both sides, for a verb with an `address` for clients and `targets` to dial: our own certificate is for clients,
    trust is for targets. The function gets the latter as `trust`."""

    @functools.wraps(function)
    def checked(*args: Any, address: Address, targets: tuple[Address, ...], **options: Any) -> Any:
        trust = {name: options.pop(name) for name in _TARGET_NAMES}
        if not any(map(_speaks_tls, targets)):
            _refuse(trust, "without TLS on the way to a target: say tls://…")
        if _speaks_tls(address):
            options["observer"] = combine(options["observer"], _tell)
        else:
            _refuse(options, "without TLS for clients: listen at tls://…")
        ca = options.pop("client_ca")
        return function(*args, address=address, targets=targets, trust=trust, ca=ca, **options)

    decorated: F = _with(_CLIENT_SIDE + _TARGET_SIDE, checked)
    return decorated


def _with(several: Iterable[Option[Any]], function: Any) -> Any:
    for each in reversed(tuple(several)):
        function = each(function)
    return function


def _is_secure(options: dict[str, Any]) -> bool:
    """Whether TLS is spoken at all.

    Raises:
        UsageError: it is not, and an option was given that would do nothing then.
    """
    addresses: tuple[Address | None, ...] = options.get("addresses") or (options.get("address"),)
    if options["tls"] or options.get("starttls") or any(map(_speaks_tls, addresses)):
        return True
    _refuse(options, "without TLS: say tls://… or --tls")
    return False


def _refuse(options: dict[str, Any], where: str) -> None:
    unused = next((name for name in _NAMES if options.get(name) is not None), None)
    if unused is not None:
        parameters = click.get_current_context().command.params
        name = next(parameter.opts[0] for parameter in parameters if parameter.name == unused)
        raise click.UsageError(f"{name} does nothing {where}")


def _speaks_tls(address: Address | None) -> bool:
    if address is None:
        return False
    return address.transport.is_secure or dict(address.options).get("tls") == "yes"


def _tell(event: Event) -> None:
    if isinstance(event, SelfSigned):
        print_line(f"pin {event.pin}")
    elif isinstance(event, CertificatesReloaded):
        kept = "certificates read anew" if event.error is None else f"the old certificates stay: {event.error}"
        print_line(f"socketkit: {kept}")
