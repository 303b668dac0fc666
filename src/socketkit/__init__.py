"""socketkit: connect to any socket, and serve one.

`connect`, `serve`, `listen` and `pair` each open by `with` in plain code and by `async with` in async code, with the
same verbs. Public names are loaded when they are first used.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socketkit import framing
    from socketkit.api import connect, copy_both, listen, pair, serve
    from socketkit.blocking import BlockingConnection, BlockingListener, BlockingServer
    from socketkit.config.address import Address
    from socketkit.config.options import Options
    from socketkit.config.retry import Retry
    from socketkit.config.tls_settings import TLS
    from socketkit.config.websocket_settings import Request, Response
    from socketkit.connection.broadcast import broadcast
    from socketkit.connection.connection import Connection, ConnectionStatistics
    from socketkit.datagrams.blocking import BlockingDatagrams
    from socketkit.datagrams.datagrams import Datagrams, DatagramsStatistics
    from socketkit.datagrams.open import open_datagrams
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
    from socketkit.events import TlsFacts
    from socketkit.server.listener import Listener
    from socketkit.server.server import Server, ServerStatistics

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - as `sorted` has it, which a test asks for
    "Address",
    "AddressError",
    "Attempt",
    "BlockingConnection",
    "BlockingDatagrams",
    "BlockingListener",
    "BlockingServer",
    "BrokenError",
    "BusyError",
    "ClosedError",
    "ConnectError",
    "Connection",
    "ConnectionStatistics",
    "Datagrams",
    "DatagramsStatistics",
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
    "Request",
    "ResolveError",
    "Response",
    "Retry",
    "Server",
    "ServerStatistics",
    "SocketkitError",
    "StreamError",
    "TLS",
    "TlsFacts",
    "TruncatedFrameError",
    "WouldBlock",
    "broadcast",
    "connect",
    "copy_both",
    "framing",
    "listen",
    "open_datagrams",
    "pair",
    "serve",
]

_MODULES = {
    "connection.broadcast": ("broadcast",),
    "api": ("connect", "copy_both", "listen", "pair", "serve"),
    "blocking": ("BlockingConnection", "BlockingListener", "BlockingServer"),
    "config.address": ("Address",),
    "config.options": ("Options",),
    "config.retry": ("Retry",),
    "config.tls_settings": ("TLS",),
    "config.websocket_settings": ("Request", "Response"),
    "connection.connection": ("Connection", "ConnectionStatistics"),
    "datagrams.blocking": ("BlockingDatagrams",),
    "datagrams.datagrams": ("Datagrams", "DatagramsStatistics"),
    "datagrams.open": ("open_datagrams",),
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
    "events": ("TlsFacts",),
    "framing": ("framing",),
    "server.listener": ("Listener",),
    "server.server": ("Server", "ServerStatistics"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:
    # Modules are loaded when a name of theirs is first used: `import socketkit` takes a millisecond.

    def __getattr__(name: str) -> object:
        """The public name, from the module that defines it."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module_name = f"{__name__}.{_MODULE_OF[name]}"
        __import__(module_name)
        module = sys.modules[module_name]
        globals()[name] = found = module if name == "framing" else getattr(module, name)
        return found

    def __dir__() -> list[str]:
        """The public names."""
        return sorted({*globals(), *__all__})
