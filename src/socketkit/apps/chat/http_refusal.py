"""HTTP at the port of a chat: recognized by its first line, and refused.

A web page can make a browser post to any port of this machine. Its request would else be lines of a guest.
"""

from __future__ import annotations

import re
from typing import Final

from socketkit.connection.connection import Connection
from socketkit.errors import HandshakeError

__all__ = ["is_http_request", "refuse_http"]

_REQUEST_LINE: Final = re.compile(rb"[A-Z]{3,20} \S{1,8192} HTTP/[0-9](?:\.[0-9])?\r?(?:\n|\Z)")  # RFC 9112, 3

_BODY: Final = b"This is a chat of plain lines, and no web server: socketkit chat join, or nc.\n"

_REFUSAL: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def is_http_request(data: bytes) -> bool:
    """Whether the first bytes of a connection, or its first line without the end, are an HTTP request."""
    return _REQUEST_LINE.match(data) is not None


async def refuse_http(connection: Connection) -> None:
    """Answer 400, and name that as the cause of the end."""
    connection.internals.set_cause(
        HandshakeError(f"{connection.peer} speaks HTTP, which was answered by 400", address=str(connection.peer))
    )
    await connection.send(_REFUSAL)
