"""A health endpoint for load balancers and orchestrators: `/ready` and `/live` over HTTP, served by our own server.

`serve(readiness(server), "tcp://:8081")` answers for a server that runs in the same program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from socketkit.config.time_limits import METRICS_REQUEST_TIMEOUT
from socketkit.errors import DeadlineError, EndOfStream, FramingError

if TYPE_CHECKING:
    from socketkit.connection.connection import Connection

__all__ = ["readiness"]

_HEAD: Final = "delimited:\r\n\r\n,max_size=8KiB"


class _Server(Protocol):
    @property
    def is_ready(self) -> bool: ...


def readiness(*servers: _Server) -> Callable[[Connection], Awaitable[None]]:
    """Return a handler that answers one HTTP request a connection about these servers.

    `GET /ready` is 200 while every server's `is_ready` is true, and 503 otherwise: from the signal on that
    `wait_signal` waits for, and while a server is suspended or closed. `GET /live` is always 200. HEAD works too; any
    other method is 405, any other path 404. A request that is not whole within five seconds resets the connection.
    """

    async def answer(connection: Connection) -> None:
        connection.reframe(_HEAD)
        try:
            head = (await connection.receive(timeout=METRICS_REQUEST_TIMEOUT)).decode("latin-1")
        except (DeadlineError, EndOfStream, FramingError):
            connection.abort()
            return
        connection.reframe("chunks")
        words = head.partition("\r\n")[0].split(" ")
        await connection.send(_answer(words, all(server.is_ready for server in servers)))

    return answer


def _answer(words: list[str], is_ready: bool) -> bytes:
    """The response to a request line of such words (RFC 9112, 3)."""
    if len(words) != 3:
        return _message("400 Bad Request", "no request of HTTP\n")
    method, path = words[0], words[1].partition("?")[0]
    if path not in ("/ready", "/live"):
        return _message("404 Not Found", "there are /ready and /live\n")
    if method not in ("GET", "HEAD"):
        return _message("405 Method Not Allowed", "there is GET\n", more="Allow: GET, HEAD\r\n")
    is_good = is_ready or path == "/live"
    text = "live\n" if path == "/live" else "ready\n" if is_ready else "not ready\n"
    return _message("200 OK" if is_good else "503 Service Unavailable", text, has_body=method == "GET")


def _message(status: str, body: str, *, more: str = "", has_body: bool = True) -> bytes:
    fields = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n{more}Cache-Control: no-store\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n{body if has_body else ''}".encode("latin-1")
