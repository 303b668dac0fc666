"""socketkit: connect to any socket, and serve one.

What everybody writes by hand around `socket`, done once and done right. Four doors: `connect`, `serve`, `listen`,
`pair`; each opens by `with` in plain code and by `async with` in async code, with the same verbs behind it.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socketkit import framing
    from socketkit.address import Address
    from socketkit.blocking import BlockingConnection, BlockingListener, BlockingServer
    from socketkit.connection import Connection, ConnectionStatistics
    from socketkit.doors import connect, listen, pair, serve
    from socketkit.errors import (
        AddressError,
        Attempt,
        BrokenError,
        BusyError,
        ClosedError,
        ConnectError,
        DeadlineError,
        EndOfStream,
        FrameTooLongError,
        FramingError,
        HandshakeError,
        ListenError,
        OpenError,
        OptionError,
        RejectedError,
        ResolveError,
        SocketkitError,
        StreamError,
        TruncatedFrameError,
        WouldBlock,
    )
    from socketkit.listener import Listener
    from socketkit.options import Options
    from socketkit.retry import Retry
    from socketkit.server import Server, ServerStatistics
    from socketkit.tls import TLS, TlsFacts

__version__ = "0.1.0.dev0"

__all__ = [  # noqa: RUF022 - as `sorted` has it, which a test asks for
    "Address",
    "AddressError",
    "Attempt",
    "BlockingConnection",
    "BlockingListener",
    "BlockingServer",
    "BrokenError",
    "BusyError",
    "ClosedError",
    "ConnectError",
    "Connection",
    "ConnectionStatistics",
    "DeadlineError",
    "EndOfStream",
    "FrameTooLongError",
    "FramingError",
    "HandshakeError",
    "ListenError",
    "Listener",
    "OpenError",
    "OptionError",
    "Options",
    "RejectedError",
    "ResolveError",
    "Retry",
    "Server",
    "ServerStatistics",
    "SocketkitError",
    "StreamError",
    "TLS",
    "TlsFacts",
    "TruncatedFrameError",
    "WouldBlock",
    "connect",
    "framing",
    "listen",
    "pair",
    "serve",
]

_ROOMS = {
    "address": ("Address",),
    "blocking": ("BlockingConnection", "BlockingListener", "BlockingServer"),
    "connection": ("Connection", "ConnectionStatistics"),
    "doors": ("connect", "listen", "pair", "serve"),
    "errors": (
        "AddressError",
        "Attempt",
        "BrokenError",
        "BusyError",
        "ClosedError",
        "ConnectError",
        "DeadlineError",
        "EndOfStream",
        "FrameTooLongError",
        "FramingError",
        "HandshakeError",
        "ListenError",
        "OpenError",
        "OptionError",
        "RejectedError",
        "ResolveError",
        "SocketkitError",
        "StreamError",
        "TruncatedFrameError",
        "WouldBlock",
    ),
    "listener": ("Listener",),
    "options": ("Options",),
    "retry": ("Retry",),
    "server": ("Server", "ServerStatistics"),
    "tls": ("TLS", "TlsFacts"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


class _Door:
    """A name that the front door shares with a room behind it: the door keeps it, whoever imports the room."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, house: ModuleType, kind: type) -> object:
        return _found(self._name)

    def __set__(self, house: ModuleType, room: object) -> None:
        pass  # the import of the room


class _House(ModuleType):
    connect = _Door("connect")
    listen = _Door("listen")


def _found(name: str) -> object:
    room = f"{__name__}.{_ROOM_OF[name]}"
    __import__(room)
    return getattr(sys.modules[room], name)


if not TYPE_CHECKING:
    # Rooms are loaded when somebody asks for what is in them: `import socketkit` costs a millisecond.
    sys.modules[__name__].__class__ = _House

    def __getattr__(name: str) -> object:
        """What is behind a name of the front door."""
        if name == "framing":
            __import__("socketkit.framing")
            return sys.modules["socketkit.framing"]
        if name not in _ROOM_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = _found(name)
        return found

    def __dir__() -> list[str]:
        """What the front door offers."""
        return sorted({*globals(), *__all__})
