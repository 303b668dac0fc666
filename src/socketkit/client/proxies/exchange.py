"""What the protocols of proxies have in common: an exchange of requests and replies, as a generator without I/O.

An exchange yields each `Request` and is sent the whole reply. `missing` says how many bytes surely belong to the reply,
so a reader takes no more: what the peer sent together with the proxy's reply stays in the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

__all__ = ["Exchange", "ProxyReplyError", "Request"]


class ProxyReplyError(Exception):
    """The proxy refused, or its reply is wrong. Internal: the dialler makes a `ConnectError` of it.

    Attributes:
        reason: what the proxy said, as a predicate of the proxy's name.
        errno: the system's number that says the same; None where none does.
    """

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errno = errno


class Request(NamedTuple):
    """One step of an exchange.

    Attributes:
        data: is sent first.
        missing: called with the bytes of the reply so far; returns how many more surely belong to it, 0 when it is
            whole. Raises `ProxyReplyError` as soon as the bytes are a refusal, or no reply of this protocol.
    """

    data: bytes
    missing: Callable[[bytes], int]


Exchange = Generator[Request, bytes, None]
"""Ends when the proxy has connected us; the bytes that follow are the peer's."""
