"""`--explain`: every socket call as it returned, and what it means in plain words; in full the first time."""

from __future__ import annotations

from typing import Final

from socketkit.cli.output import excerpt, print_line
from socketkit.events import Called, Event

__all__ = ["Explain", "call_line", "explain"]

WIDTH: Final = 60
"""Columns of the call; what it means stands behind."""


class Explain:
    """An observer of calls."""

    wants_calls = True

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Called):
            return
        key = _key(event)
        print_line(f"{call_line(event):<{WIDTH}} {explain(event, in_full=key not in self._known)}".rstrip())
        self._known.add(key)


def explain(event: Called, *, in_full: bool = True) -> str:
    """What a call means, in one sentence; in a few words where it was explained before."""
    key = _key(event)
    full, short = _MEANINGS.get(key) or _MEANINGS.get(event.name) or ("", "")
    if event.result.startswith("-1 ") and key not in _MEANINGS:
        full = short = "it failed"
    sentence = full if in_full else short
    return sentence.format(descriptor=event.descriptor, result=event.result.partition(",")[0])


def call_line(event: Called) -> str:
    """The call as strace(1) would write it, with the data that went."""
    arguments = event.arguments if event.descriptor < 0 else (str(event.descriptor), *event.arguments)
    data = f" {excerpt(event.data)}" if event.data else ""
    return f"{event.name}({', '.join(arguments)}) = {event.result}{data}"


def _key(event: Called) -> str:
    """What decides the meaning: the call, and how it went, or what it sets."""
    if event.result.startswith("-1 "):
        return f"{event.name} {event.result.split()[1]}"
    if event.name in ("setsockopt", "getsockopt"):
        return f"{event.name} {event.arguments[1]}"
    if event.name == "bind" and event.arguments[0].endswith(":0"):
        return "bind port 0"
    if event.name == "recv" and event.result.startswith("0 "):
        return "recv 0"
    if event.name == "send" and event.result != event.arguments[0]:
        return "send short"
    if event.name == "shutdown":
        return f"shutdown {event.arguments[0]}"
    return event.name


_LATER: Final = ("under way: the answer comes when the socket can be written", "under way")
_NOTHING_YET: Final = ("nothing is there yet, and we do not block: wait until there is", "nothing yet")

_MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "socket": ("an endpoint, not connected to anything yet; {result} is its descriptor", "an endpoint: {result}"),
    "bind": ("gives the socket its own address", "its own address"),
    "bind port 0": ("gives the socket its own address; port 0: the system chooses a free port", "its own address"),
    "bind EADDRINUSE": ("another socket has this address", "taken"),
    "bind EACCES": ("binding this address needs a permission that we do not have", "no permission"),
    "bind EADDRNOTAVAIL": ("this machine has no such address", "not ours"),
    "listen": ("from now on clients can connect; so many may wait to be accepted", "clients can connect"),
    "accept": (
        "the next client: a new socket, {result}, for this connection alone; {descriptor} goes on listening",
        "a client: {result}",
    ),
    "accept EAGAIN": ("no client is waiting: wait", "no client"),
    "connect": ("connects to the peer; for TCP its SYN was answered, for UDP it fixes the destination", "connected"),
    "connect EINPROGRESS": _LATER,
    "connect EAGAIN": ("the listener's queue is full: try again in a moment", "the queue is full"),
    "connect ECONNREFUSED": ("nothing listens there", "nothing listens there"),
    "connect ENOENT": ("there is no such file", "no such file"),
    "send": ("the system has taken them; the peer has not read them yet", "taken by the system"),
    "send short": ("only a part was taken, the buffer is full: the rest follows when there is space", "a part"),
    "send EAGAIN": ("the buffer is full: wait until the peer has read", "full"),
    "send EPIPE": ("the peer reads no more", "not read"),
    "send ECONNRESET": ("the peer has reset the connection", "reset"),
    "sendto": ("one datagram, to this peer of the many that the socket serves; it may get lost", "a datagram"),
    "sendmsg": (
        "one datagram to this peer; with IP_PKTINFO it leaves from the address that was asked",
        "a datagram",
    ),
    "recvmsg": ("one datagram, as it was sent, and from whom; the next call gets the next one", "a datagram"),
    "recvmsg EAGAIN": _NOTHING_YET,
    "recvmsg ECONNREFUSED": ("an earlier datagram was refused: ICMP reported it", "nothing receives there"),
    "send ECONNREFUSED": ("an earlier datagram was refused; this one was not sent", "nothing receives there"),
    "send EMSGSIZE": ("so much does not go into one datagram", "too long"),
    "setsockopt IP_PKTINFO": ("each datagram comes with our address that it was sent to", "which address"),
    "setsockopt IPV6_RECVPKTINFO": ("each datagram comes with our address that it was sent to", "which address"),
    "setsockopt SO_PASSCRED": (
        "credentials come with each packet: so an empty one differs from the end",
        "credentials",
    ),
    "setsockopt IP_ADD_MEMBERSHIP": ("join the group: from now on its datagrams come here", "join the group"),
    "setsockopt SO_BROADCAST": ("allow sending to all hosts of the network", "allow broadcast"),
    "recv": ("what has arrived so far: perhaps less than a message, perhaps several", "what has arrived"),
    "recv 0": ("no bytes: the peer has ended its direction; we may still send", "end of stream"),
    "recv EAGAIN": _NOTHING_YET,
    "recv ECONNRESET": ("the peer has reset the connection", "reset"),
    "shutdown SHUT_WR": ("ends our direction: the peer sees the end, and may go on sending (half-close)", "half-close"),
    "shutdown SHUT_RD": ("ends the receiving direction; what has arrived can still be read", "no more receiving"),
    "shutdown SHUT_RDWR": ("ends both directions, and wakes the threads that wait there", "both directions"),
    "shutdown ENOTCONN": ("the connection is gone already", "gone already"),
    "close": (
        "releases the descriptor {descriptor}; a connection that is open is ended by the system",
        "{descriptor} is released",
    ),
    "setsockopt SO_REUSEADDR": ("a server may take its port again at once after its end", "reuse the port"),
    "setsockopt SO_REUSEPORT": ("several servers may share the port", "share the port"),
    "setsockopt TCP_NODELAY": ("send small pieces at once; do not wait to fill a packet (Nagle)", "no delay"),
    "setsockopt SO_KEEPALIVE": ("probe a silent peer, to see whether it is still there", "keepalive"),
    "setsockopt TCP_KEEPIDLE": ("seconds of silence before the first such probe", "first probe"),
    "setsockopt TCP_KEEPINTVL": ("seconds between such probes", "next probes"),
    "setsockopt TCP_KEEPCNT": ("after so many unanswered probes the peer counts as lost", "last probe"),
    "setsockopt IPV6_V6ONLY": ("this socket is for IPv6 alone; IPv4 has one of its own", "IPv6 alone"),
    "setsockopt SO_LINGER": ("close by a reset, without an end of stream", "close by a reset"),
    "getsockopt SO_ERROR": ("how connect went: 0 is well", "how it went"),
    "getsockopt SO_MEMINFO": ("the buffers of the socket; the last number counts dropped datagrams", "drops"),
    "getsockopt TCP_INFO": ("facts of the system about the connection", "facts"),
    "setsockopt": ("sets an option of the socket", "an option"),
    "getsockopt": ("reads an option of the socket", "an option"),
}
