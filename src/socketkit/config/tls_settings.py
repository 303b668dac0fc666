"""How a conversation is to be kept secret, and what came of it: plain values. Nothing here opens a file or knows `ssl`.

The ideas and most names are curl's: certificates are checked unless one says otherwise, and a pin names a key exactly.
"""

from __future__ import annotations

import binascii
import os
import re
import sys
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from socketkit.config.host import ascii_host, normal_host
from socketkit.config.option_types import OptionType, format_switch, parse_name, parse_switch
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, OptionError
from socketkit.values import Value

if TYPE_CHECKING:
    import ssl

    Texts: TypeAlias = str | os.PathLike[str] | Collection[str | os.PathLike[str]]
    Switch: TypeAlias = bool | Literal["yes", "no", "true", "false", "on", "off", "1", "0", 1, 0]

__all__ = ["PIN_KIND", "TLS", "TLS_KIND", "parse_pins"]

_BESIDE_CONTEXT = ("context", "server_name", "pin")

_PIN = "sha256:HEX of the public key, or curl's sha256//BASE64"


class TLS(Value):
    """How to speak TLS, on either side. All fields have defaults; `TLS()` is a client that checks the server's name.

    Attributes:
        ca: file or folder of the certificates (PEM) that are trusted to vouch for the peer; None: a client trusts what
            the system trusts, a server asks for no certificate.
        cert: file of our certificate and its chain (PEM); a server may have several: the client's SNI chooses.
        key: file of its private key, one for each `cert`; None: it is in the file of the certificate.
        key_password: opens the key's file; never shown.
        verify: whether the peer's certificate is checked against `ca`, and on a client its name. None: yes, unless
            there is a `pin` and no `ca`: then the pin alone decides.
        server_name: the name that the server's certificate is to have, and that is sent as SNI; None: the host.
        alpn: application protocols, best first. A client that names some refuses a server that takes none of them.
        require_client_cert: a server refuses clients without a certificate signed by `ca`.
        pin: the peer's public key must be one of these (SHA-256 of its SubjectPublicKeyInfo, RFC 7469).
        self_signed: a server makes a key and a certificate of its own when it opens, and reports the pin.
        minimum_version: `1.2` or `1.3`; older ones are broken (RFC 8996).
        ciphers: for TLS 1.2, in OpenSSL's words; None: OpenSSL's own choice.
        context: an `ssl.SSLContext` of your own, which decides all that is not said here. Beside it only `server_name`
            and `pin` are allowed. It is used as it is, and shared by all connections of these settings.

    `cert`, `key`, `alpn` and `pin` take a text (several joined by commas) or several texts.

    Raises:
        OptionError: a field is wrong, or two of them contradict each other.
    """

    ca: str | os.PathLike[str] | None = None
    cert: Any = ()
    key: Any = ()
    key_password: str | None = None
    verify: bool | None = None
    server_name: str | None = None
    alpn: Any = ()
    require_client_cert: bool = False
    pin: Any = ()
    self_signed: bool = False
    minimum_version: str = "1.2"
    ciphers: str | None = None
    context: ssl.SSLContext | None = None

    if TYPE_CHECKING:  # what is accepted; the fields are what it becomes

        def __init__(
            self,
            ca: str | os.PathLike[str] | None = None,
            cert: Texts = (),
            key: Texts = (),
            key_password: str | None = None,
            verify: Switch | None = None,
            server_name: str | None = None,
            alpn: str | Collection[str] = (),
            require_client_cert: Switch = False,
            pin: str | Collection[str] = (),
            self_signed: Switch = False,
            minimum_version: Literal["1.2", "1.3"] = "1.2",
            ciphers: str | None = None,
            context: ssl.SSLContext | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if self.ca is not None:
            set_field(self, "ca", _text(self.ca, "ca"))
        for name in ("cert", "key", "alpn"):
            set_field(self, name, _texts(getattr(self, name), name))
        set_field(self, "pin", parse_pins(",".join(_texts(self.pin, "pin"))) if self.pin else ())
        for name in ("verify", "require_client_cert", "self_signed"):
            value = getattr(self, name)
            if value is not None or name != "verify":
                set_field(self, name, parse_switch(value, name=name))
        if self.ciphers is not None:
            parse_name(self.ciphers, name="ciphers")
        if self.server_name is not None:
            _check_server_name(self.server_name)
        if self.minimum_version not in ("1.2", "1.3"):
            raise OptionError(f"minimum_version: {quote(self.minimum_version)} is not allowed; allowed are 1.2 and 1.3")
        for protocol in self.alpn:
            if not 0 < len(protocol) < 256 or not protocol.isascii():  # RFC 7301, 3.1; `ssl` takes ASCII alone
                raise OptionError(
                    f"alpn: {quote(protocol)} is not a protocol's name; allowed are 1 to 255 characters of ASCII"
                )
        self._check_files()
        if self.context is not None:
            self._check_context()

    def _check_files(self) -> None:
        if self.key and len(self.key) != len(self.cert):
            raise OptionError(
                f"key: {len(self.key)} keys for {len(self.cert)} certificates (cert); allowed is one each"
            )
        if self.self_signed and self.cert:
            raise OptionError("self_signed: there is a certificate already (cert); allowed is one of both")
        if self.require_client_cert and self.ca is None:
            raise OptionError("require_client_cert: no authority is trusted for clients; give ca=FILE too")
        if self.require_client_cert and self.verify is False:
            raise OptionError("require_client_cert: it contradicts verify=no, which checks no certificate")

    def _check_context(self) -> None:
        ssl = sys.modules.get("ssl")  # loaded, where a context exists
        if ssl is None or not isinstance(self.context, ssl.SSLContext):
            raise OptionError(f"context: {quote(self.context)} is no ssl.SSLContext")
        for name, entry in type(self).fields.items():
            if name not in _BESIDE_CONTEXT and getattr(self, name) != entry.default:
                raise OptionError(
                    f"{name}: the context decides that; beside context only {' and '.join(_BESIDE_CONTEXT[1:])} are "
                    "allowed"
                )

    @property
    def is_verified(self) -> bool:
        """Whether the peer's certificate is checked against `ca` (and on a client its name)."""
        if self.context is not None:
            return bool(self.context.verify_mode)
        return self.verify if self.verify is not None else not self.pin or self.ca is not None

    @property
    def is_name_checked(self) -> bool:
        """Whether a client checks the name in the server's certificate."""
        return self.is_verified if self.context is None else self.context.check_hostname

    def __repr__(self) -> str:
        told = [
            f"{name}={'...' if name == 'key_password' else repr(getattr(self, name))}"
            for name, entry in type(self).fields.items()
            if getattr(self, name) != entry.default
        ]
        return f"TLS({', '.join(told)})"


def _text(value: Any, name: str) -> str:
    """A name, or a path of any kind, as text."""
    return parse_name(os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else value, name=name)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        parts: Iterable[Any] = [part for part in value.split(",") if part]
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = value
    else:
        parts = [value]
    return tuple([_text(part, name) for part in parts])


def _check_server_name(name: str) -> None:
    try:
        ascii_host(normal_host(parse_name(name, name="server_name")))
    except AddressError as error:
        raise OptionError(f"server_name: {error}") from None


def parse_pins(value: object, *, name: str = "pin") -> tuple[str, ...]:
    """Reads pins, joined by commas or (as curl has it) semicolons; gives each as `sha256:` and 64 hexadecimal digits.

    Raises:
        OptionError: one of them is not a pin.
    """
    texts = [text for text in re.split("[,;]", str(value)) if text]
    if not texts:
        raise OptionError(f"{name}: {quote(value)} is not a pin; allowed is {_PIN}")
    return tuple(_parse_pin(text, name) for text in texts)


def _parse_pin(text: str, name: str) -> str:
    body = text.removeprefix("sha256//" if text.startswith("sha256//") else "sha256:")
    if body != text:
        if re.fullmatch("[0-9A-Fa-f]{64}", body):
            return f"sha256:{body.lower()}"
        try:
            digest = binascii.a2b_base64(body + "=" * (-len(body) % 4), strict_mode=True)
        except binascii.Error:
            digest = b""
        if len(digest) == 32:
            return f"sha256:{digest.hex()}"
    raise OptionError(f"{name}: {quote(text)} is not a pin; allowed is {_PIN}")


def _format_pins(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


PIN_KIND = OptionType("pin", parse_pins, _format_pins, optional=True)
"""One pin or several, as an option takes them."""


def _parse_tls(value: object, *, name: str = "") -> bool | TLS:
    return value if isinstance(value, TLS) else parse_switch(value, name=name)


def _format_tls(value: bool | TLS) -> str:
    if isinstance(value, TLS):
        raise OptionError("tls: a TLS(...) cannot stand in an address; allowed there are yes, and ca=, cert=, pin= ...")
    return format_switch(value)


TLS_KIND = OptionType("yes/no", _parse_tls, _format_tls)
"""A switch, or in a program a `TLS`."""
