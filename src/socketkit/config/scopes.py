"""Where an option acts: which verbs read it, and at which addresses. What cannot act is refused, and never ignored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from socketkit.config.schemes import Scheme
from socketkit.errors import OptionError
from socketkit.values import Value

__all__ = [
    "ALL",
    "CLIENT",
    "CONNECTION_LISTENER",
    "DATAGRAM",
    "DATAGRAM_SERVER",
    "EVERYWHERE",
    "INTERNET",
    "INTERNET_BOUND",
    "INTERNET_CLIENT",
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
    "Scope",
]

_MEDIA: Final = {
    "stream": "streams, as tcp:// and unix://",
    "TCP": "TCP, as tcp:// and tls://",
    "datagram": "datagrams and raw sockets, as udp://, unixgram:// and ip://",
    "internet": "internet addresses, as tcp:// and udp://",
    "internet datagram": "UDP and raw sockets, as udp:// and ip://",
    "raw": "raw and ping sockets, as ip://host",
    "IPv6": "TCP over IPv6, as tcp:// and tcp6://",
    "connection": "connections, as tcp:// and unixpacket://",
    "UNIX": "UNIX sockets, as unix:///path",
    "WebSocket": "WebSocket, as ws:// and wss://",
}


class Scope(Value):
    """Where an option acts.

    Attributes:
        name: in a word or two, for tables.
        verbs: the public functions that read it.
        medium: the addresses at which it acts: a key of the table above; empty: all.
    """

    name: str
    verbs: tuple[str, ...]
    medium: str = ""

    def check_verb(self, option: str, verb: str) -> None:
        """Refuses an option that the verb never reads.

        Raises:
            OptionError: it says which verbs do.
        """
        if verb not in self.verbs:
            raise OptionError(f"{option}: it has no effect on {verb}; it acts on {_joined(self.verbs)}")

    def check_schemes(self, option: str, schemes: Iterable[Scheme]) -> None:
        """Refuses an option that acts at none of the addresses.

        Raises:
            OptionError: it says at which addresses it does.
        """
        if self.medium and not any(_fits(scheme, self.medium) for scheme in schemes):
            names = _joined(sorted({f"{scheme.name}:" for scheme in schemes}))
            raise OptionError(f"{option}: it has no effect at {names}; it acts at {_MEDIA[self.medium]}")


def _joined(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _fits(scheme: Scheme, medium: str) -> bool:
    if not scheme.kind:  # a descriptor, standard input and output, a child: only the system knows what they are
        return True
    if medium == "datagram":
        return scheme.is_datagram
    if medium == "UNIX":
        return "AF_UNIX" in scheme.families
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
SOCKET: Final = Scope("client, listener", _SOCKETS)
CLIENT: Final = Scope("client", ("connect",))
LISTENER: Final = Scope("listener", ("serve", "listen"))
SERVER: Final = Scope("server", ("serve",))
INTERNET: Final = Scope("internet", _SOCKETS, "internet")
INTERNET_CLIENT: Final = Scope("internet client", ("connect",), "internet")
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
