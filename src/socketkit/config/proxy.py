"""The option `proxy`: through which proxies a connection is opened. Texts and errors never show a password.

`socks5://user:password@gateway:1080,http://second:3128` is a chain: each proxy is asked to connect to the next one, the
last to the address. `env` means: as the environment says when the connection is opened.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from socketkit.config.host import ascii_host, normal_host
from socketkit.config.option_types import OptionType
from socketkit.config.percent_encoding import decode_text, encode
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, OptionError
from socketkit.values import Value

__all__ = ["ENV", "PROXIES", "Proxies", "Proxy", "hide_passwords", "parse_proxies"]

ENV: Final = "env"
"""The value that means: as `ALL_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say."""

HIDDEN: Final = "***"
"""Stands for a password wherever one would be shown."""

DEFAULT_PORTS: Final = {"socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080, "http": 3128}
"""Each kind of proxy, and its port where none is given: those of ncat."""

MAX_PROXIES: Final = 8
"""Proxies in a chain; each adds a round trip, and a longer chain is a mistake."""

MAX_SECRET_SIZE: Final = 255
"""Bytes of a user name and of a password, each: RFC 1929 (2) has one byte for the length."""

_ALLOWED: Final = (
    "KIND://[USER:PASSWORD@]HOST[:PORT] with the kinds socks5, socks5h, socks4, socks4a and http, several joined by "
    "commas, or env"
)
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORM: Final = r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(?:(.*)@)?(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([^:/]*))?/?"


class Proxy(Value):
    """One proxy. Its text and its `repr` hide the password; `text` has it.

    Attributes:
        scheme: `socks5`, `socks5h`, `socks4`, `socks4a` or `http`.
        host: a name or a number, in its normal spelling.
        port: 1 to 65535.
        user: empty: none.
        password: empty: none.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @property
    def text(self) -> str:
        """The proxy as `parse_proxies` reads it, with its password."""
        password = f":{encode(self.password, _UNRESERVED)}" if self.password else ""
        user = f"{encode(self.user, _UNRESERVED)}{password}@" if self.user or password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"

    def __str__(self) -> str:
        return hide_passwords(self.text)

    def __repr__(self) -> str:
        return f"Proxy({str(self)!r})"


Proxies = tuple[Proxy, ...] | str
"""The value of the option: a chain, or `env`."""


def hide_passwords(text: str) -> str:
    """The canonical text of proxies without passwords: `socks5://user:***@gateway:1080`.

    A user name without a password may be a token: it is hidden as well.
    """
    return re.sub(
        r"//([^:@/,]*)(:[^@/,]*)?@",
        lambda found: f"//{found[1]}:{HIDDEN}@" if found[2] else f"//{HIDDEN}@",
        text,
    )


def parse_proxies(value: object, *, name: str = "") -> Proxies:
    """Reads a chain of proxies: a text with commas, a `Proxy`, or texts and `Proxy` values in a list or tuple.

    `HOST:PORT` without a kind is an HTTP proxy, as curl has it. A comma, `@`, `:` or `/` in a user name or a
    password is percent-encoded.

    Returns:
        The chain, nearest proxy first; `env` for the word `env`.

    Raises:
        OptionError: one of them is no proxy, or the chain is empty or too long. The message quotes no password.
    """
    if isinstance(value, str) and value.lower() == ENV:
        return ENV
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else (value,)
    if not 1 <= len(parts) <= MAX_PROXIES:
        _refuse(name, f"{len(parts)} proxies are no chain of 1 to {MAX_PROXIES}")
    return tuple(part if isinstance(part, Proxy) else _parse(part, name) for part in parts)


def _refuse(name: str, problem: str) -> NoReturn:
    raise OptionError(f"{name}: {problem}; allowed is {_ALLOWED}" if name else f"{problem}; allowed is {_ALLOWED}")


def _parse(text: object, name: str) -> Proxy:
    match = re.fullmatch(_FORM, text.strip()) if isinstance(text, str) else None
    if match is None:
        _refuse(name, "a part of it is no proxy")  # not quoted: it may hold a password
    scheme, secret, inside, plain, port = match.groups()
    scheme = "http" if scheme is None else scheme.lower()
    if scheme == "https":
        _refuse(name, "a proxy that is reached by TLS (https://) is not spoken to; take its plain port by http://")
    if scheme not in DEFAULT_PORTS:
        _refuse(name, f"{quote(scheme)} is no kind of proxy")
    user, password = _credentials(secret or "", scheme, name)
    number = _port(port, scheme, name)
    try:
        host = normal_host(plain if inside is None else inside)
        ascii_host(host)
    except AddressError as error:
        _refuse(name, str(error))
    if not host or (inside is not None and ":" not in host):
        _refuse(name, "a proxy needs a host")
    return Proxy(scheme, host, number, user, password)


def _port(text: str | None, scheme: str, name: str) -> int:
    if text is None:
        return DEFAULT_PORTS[scheme]
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        _refuse(name, "the port of a proxy is a number from 1 to 65535")  # not quoted: it may be a password
    return int(text)


def _credentials(secret: str, scheme: str, name: str) -> tuple[str, str]:
    user, _, password = secret.partition(":")
    try:
        user, password = decode_text(user), decode_text(password)
        sizes = [len(part.encode()) for part in (user, password)]
    except (AddressError, UnicodeEncodeError):
        _refuse(name, "the user or the password of a proxy has a wrong percent-encoding")
    if HIDDEN in (user, password):
        _refuse(name, f"a password was hidden ({HIDDEN}) when this was printed: give the real one")
    if max(sizes) > MAX_SECRET_SIZE:
        _refuse(name, f"the user or the password of a proxy has more than {MAX_SECRET_SIZE} bytes")
    if any(character < " " or character == "\x7f" for character in user + password):
        _refuse(name, "the user or the password of a proxy contains a control character")
    if scheme == "http" and ":" in user:
        _refuse(name, "the user of an HTTP proxy contains a colon (RFC 7617, 2)")
    if scheme.startswith("socks4") and password:
        _refuse(name, "SOCKS4 has a user, and no password")
    if password and not user and scheme != "http":
        _refuse(name, "a password without a user is no use to SOCKS5 (RFC 1929, 2)")
    return user, password


def _format(proxies: Proxies) -> str:
    return proxies if isinstance(proxies, str) else ",".join(proxy.text for proxy in proxies)


PROXIES = OptionType("proxies", parse_proxies, _format)
