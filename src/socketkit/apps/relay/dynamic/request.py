"""What the protocols of a proxy's clients have in common: a dialogue as a generator without I/O, and its result.

A dialogue yields each `Request` (what to send, and how many bytes of the answer are missing) and is sent the whole
answer. It returns the `Destination` that the client asked for.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

from socketkit.client.proxies.exchange import Request
from socketkit.config.host import normal_host
from socketkit.errors import AddressError, HandshakeError, SocketkitError

__all__ = ["Destination", "Dialogue", "RequestError", "Users", "destination_host", "is_user"]

Users = Mapping[str, str]
"""Names and passwords of those who may use the proxy; empty: everyone."""


class Destination(NamedTuple):
    """Where a client wants to be connected to, and how its protocol answers.

    Attributes:
        host: a name or a number, in its normal spelling.
        port: 1 to 65535.
        granted: makes the reply for a connection; called with the numeric host and port of its local end.
        refused: makes the reply for an error.
    """

    host: str
    port: int
    granted: Callable[[str, int], bytes]
    refused: Callable[[SocketkitError], bytes]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Dialogue = Generator[Request, bytes, Destination]


class RequestError(HandshakeError):
    """A request that is refused, or is none; `reply` is sent before the connection is closed."""

    def __init__(self, message: str = "", *, address: str = "", errno: int | None = None, reply: bytes = b"") -> None:
        super().__init__(message, address=address, errno=errno)
        self.reply = reply


def destination_host(data: bytes, reply: bytes) -> str:
    """The host of a request, in its normal spelling.

    Raises:
        RequestError: no host can have this name.
    """
    try:
        host = normal_host(data.decode())
        if not host or "%" in host or "{" in host:
            raise AddressError("a host is a name or a number without a zone")
    except (UnicodeDecodeError, AddressError) as error:
        raise RequestError(f"its destination is wrong: {error}", reply=reply) from None
    return host


def is_user(users: Users, name: bytes, password: bytes) -> bool:
    """Whether this is one of the users; the time does not say how much of a password was right."""
    expected = users.get(name.decode("utf-8", "replace"))
    is_equal = hmac.compare_digest((expected or "").encode(), password)
    return expected is not None and is_equal
