"""Admission control: which peers are admitted, by networks, counts and rates. Does no I/O: time is an argument.

`deny` wins over `allow`. A peer is counted by its address; in IPv6 by its /64, within which one machine has as many
addresses as it likes (RFC 4291, 2.5.1). An IPv4 peer of a dual-stack socket (`::ffff:192.0.2.1`) is an IPv4 peer, and
an IPv4-mapped network in a list is an IPv4 network.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from socketkit.config.options import Options
from socketkit.server.stream_listener import UNIX

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    Number = IPv4Address | IPv6Address | str
    Network = IPv4Network | IPv6Network

__all__ = ["UNCOUNTED", "Admission", "Entry", "is_in_networks", "is_proxy"]

MAPPED: Final = 96
"""Bits before the IPv4 address in an IPv4-mapped one (RFC 4291, 2.5.5.2)."""


class Entry:
    """One admitted connection; `key` is its peer in the counts of `max_per_peer`, empty where it is not counted."""

    __slots__ = ("key",)

    def __init__(self, key: str = "") -> None:
        self.key = key


UNCOUNTED: Final = Entry()
"""The one of all connections that are not counted by their peer, and will not be."""


class Admission:
    """The counts of one server: how many connections, from where, at which rate.

    Attributes:
        count: admitted connections that have not left.

    Concurrency: one thread at a time; the acceptor holds its lock.
    """

    def __init__(self, *, max_connections: int, accept_rate: int | None = None) -> None:
        self._max_connections = max_connections
        self._rate = accept_rate
        # The moment at which the next connection would come at an even rate (GCRA: a token bucket in one number).
        self._next = float("-inf")
        self._peers: dict[str, int] = {}
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether `max_connections` is reached."""
        return self.count >= self._max_connections

    def delay(self, now: float) -> float:
        """Seconds until `accept_rate` admits the next connection; 0 when it does now."""
        return 0.0 if self._rate is None else max(0.0, self._next - (self._rate - 1) / self._rate - now)

    def overload(self, now: float) -> str | None:
        """Why no connection at all can be admitted now; None when one can."""
        if self.is_full:
            return f"{self.count} conversations, and max_connections is {self._max_connections}"
        if self.delay(now) > 0:
            return f"more than {self._rate} connections in a second (accept_rate)"
        return None

    def enter(self, now: float) -> None:
        """Count a connection."""
        self.count += 1
        if self._rate is not None:
            self._next = max(self._next, now) + 1 / self._rate

    def leave(self, key: str) -> None:
        """Count a connection no more; `key` is what `admit` returned, or empty."""
        self.count -= 1
        if key:
            left = self._peers[key] - 1
            if left:
                self._peers[key] = left
            else:
                del self._peers[key]

    def admit(self, host: str, options: Options) -> tuple[str, str | None]:
        """Decide whether a peer is admitted.

        Args:
            host: its numeric address, `unix`, or empty.
            options: `allow`, `deny`, `max_per_peer`.

        Returns:
            A key for `leave`, and the reason of a refusal, or None. A refused peer has no key.
        """
        if options.allow is None and options.deny is None and options.max_per_peer is None:
            return "", None
        number = _number_of(host)
        if options.deny is not None and _is_in(number, options.deny):
            return "", "its network is denied (deny)"
        if options.allow is not None and not _is_in(number, options.allow):
            return "", "its network is not allowed (allow)"
        key = _key_of(number)
        if options.max_per_peer is None or not key:
            return "", None
        count = self._peers.get(key, 0)
        if count >= options.max_per_peer:
            return "", f"{key} has {count} open already, and max_per_peer is {options.max_per_peer}"
        self._peers[key] = count + 1
        return key, None


def _number_of(host: str) -> Number:
    """The number of a host; `unix`, or empty, where it has none."""
    from ipaddress import IPv6Address, ip_address

    if host == UNIX:
        return UNIX
    try:
        number = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(number, IPv6Address) and number.ipv4_mapped is not None:
        return number.ipv4_mapped
    return number


def _key_of(number: Number) -> str:
    if isinstance(number, str):
        return ""
    if number.version == 4:
        return str(number)
    from ipaddress import IPv6Network

    return str(IPv6Network((int(number) >> 64 << 64, 64)))


@lru_cache(maxsize=64)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    from ipaddress import ip_network

    return tuple(_unmapped(ip_network(text)) for text in texts if text != UNIX)


def _unmapped(network: Network) -> Network:
    """An IPv4-mapped network as the IPv4 network that it stands for."""
    mapped = network.network_address.ipv4_mapped if network.version == 6 else None
    if mapped is None or network.prefixlen < MAPPED:
        return network
    from ipaddress import IPv4Network

    return IPv4Network((int(mapped), network.prefixlen - MAPPED))


def _is_in(number: Number, networks: tuple[str, ...]) -> bool:
    """Whether a number is in one of these networks; `unix` in the list matches peers of UNIX sockets."""
    if isinstance(number, str):
        return number == UNIX and UNIX in networks
    return any(number in network for network in _networks(networks))


def is_proxy(host: str, networks: tuple[str, ...]) -> bool:
    """Whether this peer is one of the proxies of these networks."""
    return _is_in(_number_of(host), networks)


def is_in_networks(host: str, networks: tuple[str, ...]) -> bool:
    """Whether a numeric host, or `unix`, is in one of these networks; an IPv4-mapped address counts as IPv4."""
    return _is_in(_number_of(host), networks)
