"""Which destinations a dynamic relay connects to. Judged after resolution, so no name leads to a denied address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from socketkit.config.host import host_family, normal_host
from socketkit.config.option_types import parse_networks
from socketkit.config.quoting import quote
from socketkit.errors import AddressError, OptionError
from socketkit.server.admission import is_in_networks
from socketkit.values import Value

__all__ = ["Access", "Places", "parse_places"]

LOCAL: Final = (
    *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
    *("::/128", "::1/128", "fe80::/10", "ff00::/8", "64:ff9b::/96", "2002::/16"),
)
"""What only this machine and its link should reach (RFC 6890): loopback, link-local (in clouds: the metadata service),
multicast, and the prefixes that hide an IPv4 address in an IPv6 one (NAT64, 6to4)."""


class Places(Value):
    """Networks and names.

    Attributes:
        networks: as `parse_networks` gives them.
        names: each stands for itself and its subdomains.
    """

    networks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def has_name(self, host: str) -> bool:
        """Whether a requested name is among the names."""
        plain = host.removesuffix(".")
        return any(plain == name or plain.endswith(f".{name}") for name in self.names)

    def has_number(self, number: str) -> bool:
        """Whether a resolved address is in one of the networks."""
        return bool(self.networks) and is_in_networks(number, self.networks)


def parse_places(text: str | Sequence[str], *, name: str = "") -> Places:
    """Reads networks, addresses and names: `10.0.0.0/8,::1,example.com`.

    Raises:
        OptionError: a part is none of these.
    """
    networks, names = [], []
    for part in text.split(",") if isinstance(text, str) else text:
        part = part.strip()
        is_number = "/" in part or host_family(part) or part[:1].isdigit()
        if is_number:
            networks.append(part)
            continue
        try:
            host = normal_host(part.removeprefix("*.").lstrip(".")).removesuffix(".")
        except AddressError as error:
            raise OptionError(f"{name}: {error}") from None
        if not host:
            raise OptionError(f"{name}: {quote(part)} is no network, address or name")
        names.append(host)
    return Places(parse_networks(networks, name=name) if networks else (), tuple(names))


class Access(Value):
    """The rules for destinations.

    Attributes:
        allow: what may be connected to, by name or by resolved address; None: everything that is not denied.
        deny: wins over `allow`.
        denies_local: whether clients of other machines are denied the addresses of this machine and its link
            (loopback, link-local), unless a network of `allow` has them. Clients of this machine reach them anyway.
    """

    allow: Places | None = None
    deny: Places = Places()
    denies_local: bool = True

    def denies_name(self, host: str) -> bool:
        """Whether the requested name decides already, before it is resolved."""
        return self.deny.has_name(host)

    def permits(self, host: str, number: str, client: str) -> bool:
        """Whether one resolved address may be connected to.

        Args:
            host: as the client has requested it.
            number: one of its addresses.
            client: the client's numeric address, or `unix`.
        """
        if self.deny.has_name(host) or self.deny.has_number(number):
            return False
        is_listed = self.allow is not None and self.allow.has_number(number)
        if self.denies_local and not is_listed and not _is_local(client) and is_in_networks(number, LOCAL):
            return False
        return is_listed or self.allow is None or self.allow.has_name(host)


def _is_local(client: str) -> bool:
    return client == "unix" or is_in_networks(client, ("127.0.0.0/8", "::1/128"))
