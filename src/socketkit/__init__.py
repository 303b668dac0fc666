"""socketkit: connect to any socket, and serve one.

What everybody writes by hand around `socket`, done once and done right. Four doors: `connect`, `serve`, `listen`,
`pair`; each opens by `with` in plain code and by `async with` in async code, with the same verbs behind it.
"""

from __future__ import annotations

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

__version__ = "0.1.0.dev0"

__all__ = [
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
    "ResolveError",
    "Retry",
    "Server",
    "ServerStatistics",
    "SocketkitError",
    "StreamError",
    "TruncatedFrameError",
    "WouldBlock",
    "connect",
    "framing",
    "listen",
    "pair",
    "serve",
]
