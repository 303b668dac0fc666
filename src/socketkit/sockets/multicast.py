"""Multicast groups and broadcast: what a datagram socket is told before it is bound or dialled.

A group is joined on one interface, by name, number or address; what is sent to a group leaves by it. Without one the
system's table of routes decides.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from socketkit.config.options import Options
from socketkit.config.quoting import quote
from socketkit.errors import OptionError

__all__ = ["is_for_many", "is_group", "join", "scoped", "set_datagram_options"]

_IP_MULTICAST_ALL = 49  # ip(7); the name is not in Python's `socket`


def is_group(sock: socket.socket, name: Any) -> bool:
    """Whether this socket address is a multicast group's."""
    if sock.family == socket.AF_INET:
        return 224 <= socket.inet_aton(name[0])[0] < 240  # RFC 5771: 224.0.0.0/4
    return sock.family == socket.AF_INET6 and str(name[0]).lower().startswith("ff")  # RFC 4291, 2.7: ff00::/8


def is_for_many(sock: socket.socket, name: Any, options: Options) -> bool:
    """Whether what is sent there reaches several, who answer from addresses of their own: to be sent to, and not to be
    connected to, which would let only the group itself answer."""
    return is_group(sock, name) or (sock.family == socket.AF_INET and options.broadcast)


def set_datagram_options(sock: socket.socket, name: Any, options: Options) -> None:
    """Set what sending needs: broadcast; the hops, the interface and the loop of a group.

    Raises:
        OptionError: no such interface; or one where nothing is a group.
        OSError: the system's own error.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    is_4 = sock.family == socket.AF_INET
    if options.broadcast and is_4:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if is_group(sock, name):
        _set_group_options(sock, name, options, is_4)
    elif options.interface is not None:
        raise OptionError(f"interface={options.interface} goes with a multicast group, and {name[0]} is none")


def _set_group_options(sock: socket.socket, name: Any, options: Options, is_4: bool) -> None:
    loop = int(options.multicast_loop)
    if options.ttl is not None:  # a group has a count of its own
        level, hops = (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) if is_4 else (41, socket.IPV6_MULTICAST_HOPS)
        sock.setsockopt(level, hops, options.ttl)
    if is_4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, loop)
        if options.interface is not None:
            address, index = _interface(options.interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _request_4("0.0.0.0", address, index))
        return
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, loop)
    index = _index_6(name, options)
    if index:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)


def join(sock: socket.socket, name: Any, options: Options) -> None:
    """Join the group of this address, and no other's: a socket bound to any address would hear the groups that other
    sockets of the machine have joined (ip(7), IP_MULTICAST_ALL).

    Raises:
        OptionError: no such interface.
        OSError: the system's own error (ENODEV: no interface can be found for the group).
    """
    if sock.family == socket.AF_INET:
        address, index = _interface(options.interface) if options.interface is not None else ("0.0.0.0", 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _request_4(name[0], address, index))
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        return
    request = socket.inet_pton(socket.AF_INET6, name[0].partition("%")[0]) + struct.pack("@I", _index_6(name, options))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def scoped(sock: socket.socket, name: Any, options: Options) -> Any:
    """The name to bind to or send to: an IPv6 group of a link is one on each interface (RFC 4007), so it says which.

    Raises:
        OptionError: no such interface.
    """
    if sock.family != socket.AF_INET6 or not is_group(sock, name):
        return name
    return (*name[:3], _index_6(name, options))


def _request_4(group: str, address: str, index: int) -> bytes:
    """struct ip_mreqn, ip(7)."""
    return socket.inet_aton(group) + socket.inet_aton(address) + struct.pack("@i", index)


def _index_6(name: Any, options: Options) -> int:
    """The interface of an IPv6 group: of the option, else of the zone, which is the name's scope."""
    if options.interface is None:
        scope: int = name[3] if len(name) > 3 else 0
        return scope
    address, index = _interface(options.interface)
    if not index:
        raise OptionError(f"interface={quote(address)}: for IPv6 an interface goes by name or number")
    return index


def _interface(text: str) -> tuple[str, int]:
    """An interface as ip_mreqn wants it: an address of it, or its number."""
    try:
        socket.inet_pton(socket.AF_INET, text)
        return text, 0
    except OSError:
        pass
    known = socket.if_nameindex()
    for index, name in known:
        if text in (name, str(index)):
            return "0.0.0.0", index
    names = ", ".join(name for _, name in known)
    raise OptionError(f"interface: {quote(text)} is no interface of this machine; there are {names}, or an address")
