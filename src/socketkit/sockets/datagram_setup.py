"""Make datagram sockets: connected, bound, in a multicast group, raw, or with a private UNIX name.

connect(2) on UDP only fixes the peer: no packet is sent, so there is nothing to wait for. A raw socket needs a
capability; echo requests need none where the system has ping sockets.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from socketkit.config.options import Options
from socketkit.config.quoting import quote
from socketkit.errors import ConnectError, OptionError
from socketkit.events import Observer
from socketkit.sockets.calls import new_socket
from socketkit.sockets.multicast import is_group, join, scoped, set_datagram_options
from socketkit.sockets.resolver import Candidate
from socketkit.sockets.socket_options import prepare

__all__ = ["IP_PKTINFO", "adopt_datagrams", "bind_datagrams", "bind_private_name", "make_socket"]


AF_UNIX: Final = getattr(socket, "AF_UNIX", None)

_PROTOCOLS: Final = {"icmp": socket.IPPROTO_ICMP, "ipv6-icmp": 58, "icmpv6": 58, "udp": 17, "tcp": 6}


def make_socket(candidate: Candidate, options: Options, observer: Observer | None) -> socket.socket:
    """A socket of the candidate's kind; for `protocol=icmp` the unprivileged ping socket where a raw one is refused.

    Raises:
        OptionError: a raw socket needs `protocol`, and it is missing or unknown.
        ConnectError: a capability is missing; the message names it.
        OSError: the system's error.
    """
    if candidate.kind != socket.SOCK_RAW:
        return new_socket(candidate.family, candidate.kind, candidate.protocol, observer=observer)
    protocol = _protocol(options.protocol, candidate.family)
    try:
        return new_socket(candidate.family, candidate.kind, protocol, observer=observer)
    except PermissionError:
        pass
    is_icmp = protocol in (socket.IPPROTO_ICMP, 58)
    if is_icmp:
        try:
            return new_socket(candidate.family, socket.SOCK_DGRAM, protocol, observer=observer)
        except OSError:
            pass  # icmp(7): the group is not in ping_group_range, or this system has no such sockets
    also = ", or for icmp a group within net.ipv4.ping_group_range" if is_icmp else ""
    raise ConnectError(
        f"a raw socket needs the right CAP_NET_RAW{also}: run as root, or give it to the interpreter by setcap(8)",
        address=str(candidate),
        errno=errno.EPERM,
    )


def _protocol(name: str | None, family: int) -> int:
    """The number of a protocol; `icmp` means that of the family."""
    if name is None:
        raise OptionError("protocol: a raw socket needs one; give it by name or number, as ip://host?protocol=icmp")
    if name.isdecimal():
        number = int(name)
        if not 0 < number < 256:
            raise OptionError(f"protocol: {name} is out of range; allowed is a number from 1 to 255, or a name")
        return number
    known = _PROTOCOLS.get(name.lower())
    if known is None:
        try:
            known = socket.getprotobyname(name)
        except OSError:
            allowed = ", ".join(_PROTOCOLS)
            raise OptionError(
                f"protocol: {quote(name)} is unknown; allowed is a number, or {allowed}, or a name of /etc/protocols"
            ) from None
    return 58 if known == socket.IPPROTO_ICMP and family == socket.AF_INET6 else known


def bind_private_name(
    sock: socket.socket, *, abstract: bool = os.path.exists("/proc/net/unix")
) -> Callable[[], None] | None:
    """Bind a UNIX datagram client to a name that cannot be guessed, so that the server can answer.

    On Linux the system chooses one in the abstract namespace (unix(7), autobind): no file. Elsewhere it is a file in a
    temporary folder with mode 700.

    Returns:
        A function that removes the file; None where there is none.
    """
    if abstract:
        sock.bind("")
        return None
    import tempfile

    folder = tempfile.mkdtemp(prefix="socketkit-")  # with mode 700
    path = os.path.join(folder, "client")

    def remove() -> None:
        for gone, what in ((os.unlink, path), (os.rmdir, folder)):
            try:
                gone(what)
            except OSError:
                pass  # it was removed before

    try:
        sock.bind(path)
    except BaseException:
        remove()
        raise
    return remove


def bind_datagrams(sock: socket.socket, name: Any, options: Options) -> None:
    """bind(2) with its options; a multicast group is joined.

    Raises:
        OptionError: `interface` is wrong.
        OSError: the system's error, without the address.
    """
    prepare(sock, options)
    if sock.family == AF_UNIX:
        sock.bind(name)
        return
    set_datagram_options(sock, name, options)
    has_group = is_group(sock, name)
    # Several programs may receive one group, so they share its port. Elsewhere SO_REUSEADDR would let a second server
    # take all datagrams of the first without an error: it is set only where `reuse_address` asks for it.
    if options.reuse_address or (has_group and options.reuse_address is None):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(scoped(sock, name, options))
    if has_group:
        join(sock, name, options)
    elif _is_any(sock):
        _enable_packet_info(sock)


def adopt_datagrams(sock: socket.socket, options: Options) -> None:
    """Set the options of a socket that was bound by another process."""
    prepare(sock, options)
    if sock.family != AF_UNIX and _is_any(sock):
        _enable_packet_info(sock)


def _is_any(sock: socket.socket) -> bool:
    return sock.getsockname()[0] in ("0.0.0.0", "::")


IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8 if os.path.exists("/proc/self") else None)
"""ip(7): the address that a datagram was sent to, and from which to answer. Linux's number, where Python lacks the
name."""


def _enable_packet_info(sock: socket.socket) -> None:
    """Get our address with each datagram: a client takes an answer only from the address that it has sent to."""
    if sock.family == socket.AF_INET6 and hasattr(socket, "IPV6_RECVPKTINFO"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif sock.family == socket.AF_INET and IP_PKTINFO is not None:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
