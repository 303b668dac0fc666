"""A socket that reports each of its calls to an observer, with the real arguments and results.

It replaces `socket.socket` only where an observer asked for `Called` events; no other connection pays for it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.events import Called, Observer

__all__ = ["TracedSocket"]


class TracedSocket(socket.socket):
    """A socket that reports its calls as they return."""

    _observer: Observer | None = None
    _hides_data = False

    def hide_data(self, is_hidden: bool) -> None:
        """Report calls without their data from now on, or with it again: a proxy is told a password."""
        self._hides_data = is_hidden

    @classmethod
    def open(cls, family: int, kind: int, protocol: int, observer: Observer | None) -> TracedSocket:
        """socket(2), reported."""
        arguments = (_constant("AF_", family), _constant("SOCK_", kind), _protocol(family, protocol))
        try:
            made = cls(family, kind, protocol)
        except OSError as error:
            if observer is not None:
                observer(Called(-1, "socket", arguments, _failure(error)))
            raise
        made._observer = observer
        made._report("socket", arguments, str(made.fileno()), descriptor=-1)
        return made

    @classmethod
    def adopt(cls, descriptor: int, observer: Observer | None) -> TracedSocket:
        """A socket of an existing descriptor; its calls are reported from now on."""
        made = cls(fileno=descriptor)
        made._observer = observer
        return made

    def bind(self, address: Any, /) -> None:
        self._call("bind", (self._name(address),), lambda: super(TracedSocket, self).bind(address))

    def listen(self, backlog: int = 128, /) -> None:
        self._call("listen", (str(backlog),), lambda: super(TracedSocket, self).listen(backlog))

    def connect(self, address: Any, /) -> None:
        self._call("connect", (self._name(address),), lambda: super(TracedSocket, self).connect(address))

    def accept(self) -> tuple[socket.socket, Any]:
        descriptor = self.fileno()
        try:
            plain, name = super().accept()
        except OSError as error:
            self._report("accept", (), _failure(error))
            raise
        made = TracedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        made._observer = self._observer
        self._report("accept", (), f"{made.fileno()}, {made._name(name)}", descriptor=descriptor)
        return made, name

    def send(self, data: Any, flags: int = 0, /) -> int:
        view = memoryview(data)
        try:
            count = super().send(data, flags)
        except OSError as error:
            self._report("send", (_size(len(view)),), _failure(error))
            raise
        self._report("send", (_size(len(view)),), _size(count), data=bytes(view[:count]))
        return count

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            data = super().recv(size, flags)
        except OSError as error:
            self._report("recv", (_size(size),), _failure(error))
            raise
        self._report("recv", (_size(size),), _size(len(data)) if data else "0 (the peer has ended)", data=data)
        return data

    def sendto(self, data: Any, name: Any, /) -> int:  # type: ignore[override]  # the only form that is used here
        arguments = (_size(len(memoryview(data))), self._name(name))
        try:
            count = super().sendto(data, name)
        except OSError as error:
            self._report("sendto", arguments, _failure(error))
            raise
        self._report("sendto", arguments, _size(count), data=bytes(data))
        return count

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, name: Any = None, /) -> int:
        data = b"".join(buffers)
        arguments = (_size(len(data)), self._name(name), *_ancillary(ancillary))
        try:
            count = super().sendmsg([data], ancillary, flags, name)
        except OSError as error:
            self._report("sendmsg", arguments, _failure(error))
            raise
        self._report("sendmsg", arguments, _size(count), data=data)
        return count

    def recvmsg_into(self, buffers: Any, space: int = 0, flags: int = 0, /) -> Any:
        [buffer] = buffers
        arguments = (_size(len(buffer)),)
        try:
            size, ancillary, message_flags, name = super().recvmsg_into(buffers, space, flags)
        except OSError as error:
            self._report("recvmsg", arguments, _failure(error))
            raise
        came = min(size, len(buffer))
        cut = ("MSG_TRUNC",) if message_flags & socket.MSG_TRUNC else ()
        source = (f"from {self._name(name)}",) if name else ()
        result = ", ".join([_size(size), *source, *_ancillary(ancillary), *cut])
        self._report("recvmsg", arguments, result, data=bytes(buffer[:came]))
        return size, ancillary, message_flags, name

    def shutdown(self, how: int, /) -> None:
        self._call("shutdown", (_constant("SHUT_", how),), lambda: super(TracedSocket, self).shutdown(how))

    def setsockopt(self, level: int, option: int, value: Any, length: Any = None, /) -> None:
        arguments = (*_option_name(level, option), repr(value))
        if length is None:
            self._call("setsockopt", arguments, lambda: super(TracedSocket, self).setsockopt(level, option, value))
        else:
            self._call(
                "setsockopt", arguments, lambda: super(TracedSocket, self).setsockopt(level, option, value, length)
            )

    def getsockopt(self, level: int, option: int, size: int | None = None, /) -> Any:
        arguments = _option_name(level, option)
        try:
            value: Any = super().getsockopt(level, option) if size is None else super().getsockopt(level, option, size)
        except OSError as error:
            self._report("getsockopt", arguments, _failure(error))
            raise
        shown = str(value) if size is None else _size(len(value))
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR) and value:
            shown = f"{value} {_error(value, os.strerror(value))}"
        self._report("getsockopt", arguments, shown)
        return value

    def close(self) -> None:
        descriptor = self.fileno()
        super().close()
        if descriptor >= 0:
            self._report("close", (), "0", descriptor=descriptor)

    def _call(self, name: str, arguments: tuple[str, ...], call: Callable[[], None]) -> None:
        descriptor = self.fileno()
        try:
            call()
        except OSError as error:
            self._report(name, arguments, _failure(error))
            raise
        self._report(name, arguments, "0", descriptor=descriptor)

    def _report(
        self, name: str, arguments: tuple[str, ...], result: str, *, descriptor: int | None = None, data: bytes = b""
    ) -> None:
        if self._observer is not None:
            number = self.fileno() if descriptor is None else descriptor
            self._observer(Called(number, name, arguments, result, b"" if self._hides_data else data))

    def _name(self, name: Any) -> str:
        return str(Address.from_socket_name(self.family, self.type, name))


def _constant(prefix: str, number: int) -> str:
    for name in dir(socket):
        if name.startswith(prefix) and not name.startswith(_OTHER_LEVELS) and getattr(socket, name) == number:
            return name
    return str(int(number))


def _protocol(family: int, number: int) -> str:
    """The protocol's name for AF_INET and AF_INET6; 0 is the default, and other families number their own."""
    if number and family in (socket.AF_INET, getattr(socket, "AF_INET6", None)):
        return _constant("IPPROTO_", number)
    return str(number)


_UNNAMED = {("SOL_SOCKET", 55): "SO_MEMINFO"} if sys.platform == "linux" else {}  # Python has no name for it

_OTHER_LEVELS = ("SO_J1939_", "SO_VM_SOCKETS_")  # the same numbers as SOL_SOCKET's, with another meaning


_LEVELS = {socket.SOL_SOCKET: ("SOL_SOCKET", "SO_"), socket.IPPROTO_TCP: ("IPPROTO_TCP", "TCP_")}


def _option_name(level: int, option: int) -> tuple[str, str]:
    if level in _LEVELS:
        name, prefix = _LEVELS[level]
        return name, _UNNAMED.get((name, option)) or _constant(prefix, option)
    if level == socket.IPPROTO_IP:
        return "IPPROTO_IP", {8: "IP_PKTINFO", 49: "IP_MULTICAST_ALL"}.get(option) or _constant("IP_", option)
    if level == getattr(socket, "IPPROTO_IPV6", None):
        return "IPPROTO_IPV6", _constant("IPV6_", option)
    return str(level), str(option)


def _ancillary(messages: Any) -> list[str]:
    """The names of the ancillary messages (IP_PKTINFO, SCM_CREDENTIALS)."""
    return [_MESSAGES[level, kind] for level, kind, _ in messages if (level, kind) in _MESSAGES]


_MESSAGES = {
    (socket.IPPROTO_IP, 8): "IP_PKTINFO",  # Linux's numbers: the names are not in every Python's `socket`
    (41, 50): "IPV6_PKTINFO",
    (socket.SOL_SOCKET, 2): "SCM_CREDENTIALS",
}


def _failure(error: OSError) -> str:
    return f"-1 {_error(error.errno or 0, error.strerror)}"


def _error(number: int, meaning: str | None) -> str:
    return f"{errno.errorcode.get(number, number)} ({meaning})"


def _size(count: int) -> str:
    return f"{count} byte" + ("" if count == 1 else "s")
