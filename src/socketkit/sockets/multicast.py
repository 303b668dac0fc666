"""Multicast groups and broadcast: options of a datagram socket before it is bound or connected.

A group is joined on one interface, by name, number or address; datagrams to a group leave by it. Without one the
system's routes decide.
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
    """Whether datagrams to this name reach several peers, which answer from their own addresses. Such a socket must not
    be connected: it would receive only what comes from the group's address."""
    return is_group(sock, name) or (sock.family == socket.AF_INET and options.broadcast)


def set_datagram_options(sock: socket.socket, name: Any, options: Options) -> None:
    """Set the options of sending: broadcast; TTL, interface and loop of a group.

    Raises:
        OptionError: no such interface, or `interface` for an address that is no group.
        OSError: the system's error.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    is_4 = sock.family == socket.AF_INET
    if options.broadcast and is_4:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if is_group(sock, name):
        _set_group_options(sock, name, options, is_4)
    elif options.interface is not None:
        raise OptionError(f"interface={options.interface} is for multicast groups, and {name[0]} is none")


def _set_group_options(sock: socket.socket, name: Any, options: Options, is_4: bool) -> None:
    loop = int(options.multicast_loop)
    if options.ttl is not None:  # unicast and multicast have separate options
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
    """Join the group of this address only: by default a socket bound to any address also receives the groups that other
    sockets of the machine have joined (ip(7), IP_MULTICAST_ALL).

    Raises:
        OptionError: no such interface.
        OSError: the system's error (ENODEV: no interface for the group).
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
    """The name to bind or send to, with its interface: a link-local IPv6 group exists on each interface (RFC 4007).

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
    """The interface of an IPv6 group: that of the option, else of the zone."""
    if options.interface is None:
        scope: int = name[3] if len(name) > 3 else 0
        return scope
    address, index = _interface(options.interface)
    if not index:
        raise OptionError(f"interface={quote(address)}: for IPv6 give an interface by name or number")
    return index


def _interface(text: str) -> tuple[str, int]:
    """An interface for ip_mreqn: its address, or its number."""
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
