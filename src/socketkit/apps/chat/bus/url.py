"""The address of a bus: `nats://…` and `redis://…`. It may hold a password, which nothing here shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from socketkit.config.quoting import quote
from socketkit.errors import OptionError
from socketkit.values import Value

if TYPE_CHECKING:
    from socketkit.apps.chat.bus.bus import Bus

__all__ = ["BusAddress"]

SCHEMES: Final = ("nats", "nats+tls", "redis", "rediss")
DEFAULT_CHAT: Final = "main"

_FORM: Final = "nats://HOST:PORT or redis://HOST:PORT, perhaps with USER:PASSWORD@ before and ?chat=NAME behind"
_CHAT: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class BusAddress(Value):
    """Where a bus is.

    Attributes:
        scheme: one of `SCHEMES`.
        url: for the client's package: with the password, without the name of the chat.
        name: to be shown: without user and password.
        chat: the name of the chat; a broker serves many.
    """

    scheme: str
    url: str
    name: str
    chat: str

    def __repr__(self) -> str:
        return f"BusAddress({self.name!r})"

    @classmethod
    def parse(cls, text: str) -> BusAddress:
        """Read an address.

        Raises:
            OptionError: it is none; the text shows neither user nor password.
        """
        scheme, mark, rest = text.partition("://")
        scheme = scheme.casefold()
        shown = _without_user(text)
        if not mark or scheme not in SCHEMES:
            raise OptionError(f"--bus {quote(shown)}: allowed is {_FORM}")
        rest, _, query = rest.partition("?")
        user, at, where = rest.rpartition("@")
        host, _, path = where.partition("/")
        if not _is_host(host):
            raise OptionError(f"--bus {quote(shown)}: {quote(host)} is no host and port; allowed is {_FORM}")
        if path and (not scheme.startswith("redis") or not path.isdecimal()):
            raise OptionError(f"--bus {quote(shown)}: /{path} is no number of a database of Redis; allowed is {_FORM}")
        key, _, chat = query.partition("=")
        if query and (key != "chat" or not _CHAT.fullmatch(chat)):
            raise OptionError(
                f"--bus {quote(shown)}: ?{query} is not known; allowed is ?chat=NAME of letters, digits, _ and -"
            )
        behind = f"/{path}" if path else ""
        client_scheme = "tls" if scheme == "nats+tls" else scheme
        url = f"{client_scheme}://{user}{at}{host}{behind}"
        return cls(scheme, url, f"{scheme}://{host}{behind}", chat or DEFAULT_CHAT)

    def make(self) -> Bus:
        """The bus at this address, which is not open yet.

        Raises:
            OptionError: the package that speaks with it is not installed.
        """
        if self.scheme.startswith("redis"):
            from socketkit.apps.chat.bus.redis_bus import RedisBus

            return RedisBus(self.url, self.chat, self.name)
        from socketkit.apps.chat.bus.nats_bus import NatsBus

        return NatsBus(self.url, self.chat, self.name)


def _without_user(text: str) -> str:
    return re.sub(r"//[^/]*@", "//", text) if "//" in text else text.rpartition("@")[2]


def _is_host(text: str) -> bool:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::(\d{1,5}))?", text)
    return found is not None and (found[2] is None or 0 < int(found[2]) < 65536)
