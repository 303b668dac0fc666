"""Who may call: lists of networks. What is denied is denied, whatever else is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from socketkit.address import Address
from socketkit.errors import OptionError
from socketkit.kinds import quote

__all__ = ["Callers", "Network", "parse_network"]

Network = IPv4Network | IPv6Network


def parse_network(text: str) -> Network:
    """Reads a network (`10.0.0.0/8`, `fd00::/8`) or a single address.

    Raises:
        OptionError: it is neither, or has bits beside its mask.
    """
    try:
        return ip_network(text)
    except ValueError as error:
        raise OptionError(
            f"{quote(text)} is no network ({error}); allowed is one as 10.0.0.0/8, fd00::/8 or 127.0.0.1"
        ) from None


class Callers:
    """Whether a caller may come in. Without any list everybody may."""

    def __init__(self, allow: Iterable[Network] = (), deny: Iterable[Network] = ()) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)

    def __bool__(self) -> bool:
        return bool(self._allow or self._deny)

    def is_welcome(self, peer: Address) -> bool:
        """Whether this caller may come in: no list denies it, and one allows it where there are such lists. Whoever has
        no address in any network is denied by none, and allowed by none."""
        try:
            place = ip_address(peer.host.partition("%")[0])
        except ValueError:
            return not self._allow
        if any(place in network for network in self._deny):
            return False
        return not self._allow or any(place in network for network in self._allow)
