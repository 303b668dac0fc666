"""Who is let in: networks, counts and rates. Decides, and does nothing else: time is an argument, peers are addresses.

What is denied is denied, whatever else is allowed. A peer counts by its address; of IPv6 by its /64, of which one
machine has as many addresses as it likes (RFC 4291, 2.5.1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from socketkit.config.address import Address
from socketkit.config.options import Options

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["Admission", "is_proxy"]

UNIX: Final = "unix"
"""Stands in a list of networks for callers of UNIX sockets, who are in none."""


class Admission:
    """The book of one server: how many are in, from where, and how fast they came.

    Attributes:
        count: who is in now.

    Concurrency: the caller sees to it that one thread at a time is in here.
    """

    def __init__(self, *, max_connections: int, accept_rate: int | None = None) -> None:
        self._max_connections = max_connections
        self._rate = accept_rate
        self._next = float("-inf")  # the moment of the next caller, if they came evenly (GCRA: a bucket in one number)
        self._peers: dict[str, int] = {}
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody more may come in before somebody goes."""
        return self.count >= self._max_connections

    def delay(self, now: float) -> float:
        """Seconds until the rate lets one more in; 0 when it does now."""
        return 0.0 if self._rate is None else max(0.0, self._next - (self._rate - 1) / self._rate - now)

    def overload(self, now: float) -> str | None:
        """Why nobody may come in now, whoever it is; None when somebody may."""
        if self.is_full:
            return f"{self.count} conversations, and max_connections is {self._max_connections}"
        if self.delay(now) > 0:
            return f"more than {self._rate} callers in a second (accept_rate)"
        return None

    def enter(self, now: float) -> None:
        """Somebody comes in."""
        self.count += 1
        if self._rate is not None:
            self._next = max(self._next, now) + 1 / self._rate

    def leave(self, key: str) -> None:
        """Somebody has gone, of this key (what `admit` has given; empty where it was not asked)."""
        self.count -= 1
        if key:
            left = self._peers[key] - 1
            if left:
                self._peers[key] = left
            else:
                del self._peers[key]

    def admit(self, peer: str, options: Options) -> tuple[str, str | None]:
        """Whether this peer may come in, by its own address.

        Args:
            peer: its address, as text.
            options: `allow`, `deny`, `max_per_peer`.

        Returns:
            A key, to `leave` with, and why he may not come in, or None. Who may not has no place to leave.
        """
        if options.allow is None and options.deny is None and options.max_per_peer is None:
            return "", None
        place = _place_of(peer)
        if options.deny is not None and _is_in(place, options.deny):
            return "", "its network is denied (deny)"
        if options.allow is not None and not _is_in(place, options.allow):
            return "", "its network is not allowed (allow)"
        key = _key_of(place)
        if options.max_per_peer is None or not key:
            return "", None
        count = self._peers.get(key, 0)
        if count >= options.max_per_peer:
            return "", f"{count} conversations of {key}, and max_per_peer is {options.max_per_peer}"
        self._peers[key] = count + 1
        return key, None


if TYPE_CHECKING:
    Place = IPv4Address | IPv6Address | str


def _place_of(peer: str) -> Place:
    """The number of a peer; `unix` where it has none. An IPv4 peer of a socket for both families is an IPv4 peer."""
    from ipaddress import ip_address

    address = Address.parse(peer)
    if not address.host:
        return UNIX if address.transport.families == ("AF_UNIX",) else ""
    try:
        number = ip_address(address.host.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(number, "ipv4_mapped", None)
    return number if mapped is None else mapped


def _key_of(place: Place) -> str:
    if isinstance(place, str):
        return ""
    if place.version == 4:
        return str(place)
    from ipaddress import IPv6Network

    return str(IPv6Network((int(place) >> 64 << 64, 64)))


@lru_cache(maxsize=64)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    from ipaddress import ip_network

    return tuple(ip_network(text) for text in texts if text != UNIX)


def _is_in(place: Place, networks: tuple[str, ...]) -> bool:
    """Whether a place is in one of these networks; who has no number is in none, but `unix` stands for UNIX sockets."""
    if isinstance(place, str):
        return place == UNIX and UNIX in networks
    return any(place in network for network in _networks(networks))


def is_proxy(peer: str, networks: tuple[str, ...]) -> bool:
    """Whether this peer, an address as text, is one of the proxies of these networks."""
    return _is_in(_place_of(peer), networks)
