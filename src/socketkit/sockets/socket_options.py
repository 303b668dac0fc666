"""Set the options of sockets, with errors that name the option, its value and what is missing.

What must be set before the first packet (buffers, mark, device, source address) is set before bind(2) and connect(2);
accepted sockets inherit it from the listening one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Final

from socketkit.config.bind_address import split_source
from socketkit.config.options import Options

__all__ = ["SettingError", "backlog_asked", "backlog_of", "bind_source", "prepare", "tune"]

_RIGHTS: Final = {"mark": "CAP_NET_ADMIN", "device": "CAP_NET_RAW"}
"""The capability that each option needs: socket(7), capabilities(7)."""

_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT, ip(7): connect(2) chooses the port, so that one source port can serve many peers."""

_NO_LIMIT_BACKLOG: Final = 65_535
"""As large as the system allows: the kernel cuts it to its limit (listen(2)); some systems keep 16 bits."""


_BIND_HINTS: Final[dict[int | None, str]] = {
    errno.EACCES: "ports below 1024 need the right CAP_NET_BIND_SERVICE: take one above, or none",
    errno.EADDRINUSE: "another socket has this port: take another, or none",
    errno.EADDRNOTAVAIL: "it is not an address of this machine",
}


class SettingError(OSError):
    """An option was refused by the system; the text names it.

    Attributes:
        hint: what to do; None where the text has it.
    """

    def __init__(self, number: int | None, text: str, hint: str | None = None) -> None:
        super().__init__(number, text)
        self.hint = hint


def prepare(sock: socket.socket, options: Options) -> None:
    """Set what must be set before bind(2) or connect(2).

    Raises:
        SettingError: the system refuses one; the message names it, its value, and a missing capability.
    """
    if options.send_buffer is not None:
        _set(sock, "send_buffer", options.send_buffer, "SOL_SOCKET", "SO_SNDBUF")
    if options.receive_buffer is not None:  # before the handshake, which sends the window scale (tcp(7))
        _set(sock, "receive_buffer", options.receive_buffer, "SOL_SOCKET", "SO_RCVBUF")
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if options.mark is not None:
        _set(sock, "mark", struct.pack("I", options.mark), "SOL_SOCKET", "SO_MARK", shown=options.mark)
    if options.device is not None:
        _set(sock, "device", os.fsencode(options.device), "SOL_SOCKET", "SO_BINDTODEVICE", shown=options.device)
    is_6 = sock.family == socket.AF_INET6
    if options.ttl is not None:
        _set(sock, "ttl", options.ttl, *(("IPPROTO_IPV6", "IPV6_UNICAST_HOPS") if is_6 else ("IPPROTO_IP", "IP_TTL")))
    if options.tos is not None:
        _set(sock, "tos", options.tos, *(("IPPROTO_IPV6", "IPV6_TCLASS") if is_6 else ("IPPROTO_IP", "IP_TOS")))


def bind_source(sock: socket.socket, options: Options) -> None:
    """bind(2) to the source address of the option `bind`, where it is set.

    Raises:
        SettingError: it is of the other family, not an address of this machine, in use, or not permitted.
    """
    if options.bind is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    family, host, port = split_source(options.bind)
    if family and sock.family != getattr(socket, family):
        raise SettingError(errno.EAFNOSUPPORT, f"bind={options.bind} is of the other family")
    if port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection from there may be in TIME_WAIT
    elif sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    name = socket.getaddrinfo(host or None, port, sock.family, sock.type, 0, socket.AI_NUMERICHOST | socket.AI_PASSIVE)
    try:
        sock.bind(name[0][4])
    except OSError as error:
        raise SettingError(
            error.errno, f"bind={options.bind}: {error.strerror}", _BIND_HINTS.get(error.errno)
        ) from None


def tune(sock: socket.socket, options: Options) -> None:
    """Set the options of a connected TCP socket.

    Raises:
        OSError: usually because the peer is gone already.
    """
    if options.nodelay:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", options.keepalive_idle),
            ("TCP_KEEPINTVL", options.keepalive_interval),
            ("TCP_KEEPCNT", options.keepalive_count),
        ):
            number = getattr(socket, name, None)  # macOS calls the first one TCP_KEEPALIVE
            if number is None and name == "TCP_KEEPIDLE":
                number = getattr(socket, "TCP_KEEPALIVE", None)
            if number is not None:
                sock.setsockopt(socket.IPPROTO_TCP, number, int(value))
    if options.user_timeout is not None:
        milliseconds = max(1, round(options.user_timeout * 1000))  # 0 would mean the system's default
        _set(sock, "user_timeout", milliseconds, "IPPROTO_TCP", "TCP_USER_TIMEOUT")


def backlog_asked(options: Options) -> int:
    """The backlog to pass to listen(2)."""
    return _NO_LIMIT_BACKLOG if options.backlog is None else options.backlog


def backlog_of(sock: socket.socket, asked: int | None = None) -> int:
    """The real limit of a listening socket's accept queue; 0 where the system does not report it.

    Linux cuts the backlog to net.core.somaxconn (listen(2)). For an inherited socket (`asked` is None) it reports the
    limit for TCP only: tcpi_sacked in a listener's TCP_INFO.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_INFO") and sys.platform == "linux":
        # Not traced: this call is made for the report only.
        info = socket.socket.getsockopt(sock, socket.IPPROTO_TCP, socket.TCP_INFO, 32)
        return int.from_bytes(info[28:32], sys.byteorder)
    if asked is None:
        return 0
    try:
        with open("/proc/sys/net/core/somaxconn") as limit:
            return min(asked, int(limit.read()))
    except OSError:
        return asked


def _set(
    sock: socket.socket, name: str, value: int | bytes, level: str, constant: str, *, shown: object = None
) -> None:
    text = f"{name}={value if shown is None else shown!s}"
    number = getattr(socket, constant, None)
    if number is None:
        raise SettingError(errno.ENOPROTOOPT, f"{text}: this system has no {constant}")
    try:
        sock.setsockopt(getattr(socket, level), number, value)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES) and name in _RIGHTS:
            raise SettingError(error.errno, f"{text} needs the right {_RIGHTS[name]}") from None
        if error.errno == errno.ENODEV:
            raise SettingError(error.errno, f"{text}: this machine has no such interface") from None
        raise SettingError(error.errno, f"{text}: {error.strerror}") from None
