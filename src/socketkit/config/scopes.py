"""Where an option acts: which verbs read it, and at which addresses. What cannot act is refused, and never ignored."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, Protocol

from socketkit.config.schemes import Scheme
from socketkit.errors import OptionError
from socketkit.values import Value

__all__ = [
    "ACCEPTING",
    "ALL",
    "CLIENT",
    "CONNECTION_LISTENER",
    "DATAGRAM",
    "DATAGRAM_SERVER",
    "ENDPOINT",
    "EVERYWHERE",
    "INTERNET",
    "INTERNET_BOUND",
    "INTERNET_CLIENT",
    "INTERNET_PEERS",
    "IPV6_LISTENER",
    "LISTENER",
    "RAW",
    "SERVER",
    "SOCKET",
    "STREAM",
    "STREAM_CLIENT",
    "STREAM_LISTENER",
    "TCP",
    "TCP_CLIENT",
    "TLS_LISTENER",
    "TLS_STREAM",
    "UNIX_LISTENER",
    "WEBSOCKET",
    "WEBSOCKET_CLIENT",
    "WEBSOCKET_LISTENER",
    "Located",
    "Scope",
]

_MEDIA: Final = {
    "stream": "streams, as tcp:// and unix://",
    "socket": "sockets, as tcp:// and unix://",
    "TCP": "TCP, as tcp:// and tls://",
    "datagram": "datagrams and raw sockets, as udp://, unixgram:// and ip://",
    "internet": "internet addresses, as tcp:// and udp://",
    "internet datagram": "UDP and raw sockets, as udp:// and ip://",
    "raw": "raw and ping sockets, as ip://host",
    "IPv6": "TCP over IPv6, as tcp:// and tcp6://",
    "connection": "connections, as tcp:// and unixpacket://",
    "accepting": "addresses that many connect to, as tcp:// and unix://",
    "UNIX": "UNIX sockets that are files, as unix:///path",
    "WebSocket": "WebSocket, as ws:// and wss://",
}


class Located(Protocol):
    """What is asked of an address."""

    @property
    def transport(self) -> Scheme:
        """Its scheme."""

    @property
    def is_abstract(self) -> bool:
        """Whether it is a UNIX socket that is no file."""


class Scope(Value):
    """Where an option acts.

    Attributes:
        name: in a word or two, for tables.
        verbs: the public functions that read it.
        medium: the addresses at which it acts: a key of the table above; empty: all.
        unless: another option beside which it acts at all addresses; empty: none does.
    """

    name: str
    verbs: tuple[str, ...]
    medium: str = ""
    unless: str = ""

    def check_verb(self, option: str, verb: str) -> None:
        """Refuses an option that the verb never reads.

        Raises:
            OptionError: it says which verbs do.
        """
        if verb not in self.verbs:
            raise OptionError(f"{option}: it has no effect on {verb}; it acts on {_joined(self.verbs)}")

    def check_addresses(self, option: str, addresses: Iterable[Located], beside: Container[str] = ()) -> None:
        """Refuses an option that acts at none of the addresses.

        Args:
            option: its name.
            addresses: the addresses.
            beside: the options that are given with it and are not at their defaults.

        Raises:
            OptionError: it says at which addresses it does.
        """
        if not self.medium or (self.unless and self.unless in beside):
            return
        if not any(_fits(address, self.medium) for address in addresses):
            names = _joined(sorted({_name_of(address, self.medium) for address in addresses}))
            where = _MEDIA[self.medium] + (f", or beside {self.unless}" if self.unless else "")
            raise OptionError(f"{option}: it has no effect at {names}; it acts at {where}")


def _name_of(address: Located, medium: str) -> str:
    return f"{address.transport.name}:" + ("//@" if medium == "UNIX" and address.is_abstract else "")


def _joined(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _fits(address: Located, medium: str) -> bool:
    scheme = address.transport
    if scheme.name in ("exec", "stdio") and medium in ("connection", "accepting"):
        return False  # the only connection is open already
    if scheme.name == "exec":  # the pipes of a child
        return medium == "stream"
    if not scheme.kind:  # a descriptor, standard input and output: only the system knows what they are
        return True
    if medium in ("socket", "accepting"):
        return True
    if medium == "datagram":
        return scheme.is_datagram
    if medium == "UNIX":
        return "AF_UNIX" in scheme.families and not address.is_abstract
    if medium == "WebSocket":
        return scheme.is_websocket
    if medium == "connection":
        return not scheme.is_datagram
    if medium == "raw":
        return scheme.kind == "SOCK_RAW"
    if medium == "IPv6":
        return scheme.kind == "SOCK_STREAM" and "AF_INET6" in scheme.families
    is_internet = "AF_INET" in scheme.families or "AF_INET6" in scheme.families
    if medium == "internet datagram":
        return is_internet and scheme.is_datagram
    if medium == "internet":
        return is_internet
    return scheme.kind == "SOCK_STREAM" and (medium == "stream" or is_internet)


_CONNECTED: Final = ("connect", "serve", "listen")
_SOCKETS: Final = (*_CONNECTED, "open_datagrams")
_EVERY: Final = (*_CONNECTED, "pair")

ALL: Final = Scope("all", _EVERY)
EVERYWHERE: Final = Scope("all", (*_EVERY, "open_datagrams"))
ENDPOINT: Final = Scope("client, listener", _SOCKETS)
SOCKET: Final = Scope("client, listener", _SOCKETS, "socket")
CLIENT: Final = Scope("client", ("connect",))
LISTENER: Final = Scope("listener", ("serve", "listen"))
ACCEPTING: Final = Scope("listener", ("serve", "listen"), "accepting")
SERVER: Final = Scope("server", ("serve",))
INTERNET: Final = Scope("internet", _SOCKETS, "internet")
INTERNET_CLIENT: Final = Scope("internet client", ("connect",), "internet")
INTERNET_PEERS: Final = Scope("listener", ("serve", "listen"), "internet", "accept_proxy")
INTERNET_BOUND: Final = Scope("internet listener", ("serve", "listen", "open_datagrams"), "internet")
IPV6_LISTENER: Final = Scope("TCP listener", ("serve", "listen"), "IPv6")
CONNECTION_LISTENER: Final = Scope("connection listener", ("serve", "listen"), "connection")
STREAM_CLIENT: Final = Scope("stream client", ("connect",), "stream")
STREAM_LISTENER: Final = Scope("stream listener", ("serve", "listen"), "stream")
STREAM: Final = Scope("stream", _EVERY, "stream")
TCP: Final = Scope("TCP", _CONNECTED, "TCP")
TCP_CLIENT: Final = Scope("TCP client", ("connect",), "TCP")
DATAGRAM: Final = Scope("UDP, raw", _SOCKETS, "internet datagram")
RAW: Final = Scope("raw", _SOCKETS, "raw")
DATAGRAM_SERVER: Final = Scope("datagram listener", ("serve", "listen"), "datagram")
TLS_STREAM: Final = Scope("TLS", _EVERY, "stream")
TLS_LISTENER: Final = Scope("TLS listener", ("serve", "listen", "pair"), "stream")
UNIX_LISTENER: Final = Scope("UNIX listener", ("serve", "listen", "open_datagrams"), "UNIX")
WEBSOCKET: Final = Scope("WebSocket", _CONNECTED, "WebSocket")
WEBSOCKET_CLIENT: Final = Scope("WebSocket client", ("connect",), "WebSocket")
WEBSOCKET_LISTENER: Final = Scope("WebSocket listener", ("serve", "listen"), "WebSocket")
