"""The metrics endpoint: one HTTP response a connection, served by our own server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from socketkit.config.time_limits import METRICS_REQUEST_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.errors import DeadlineError, EndOfStream, FramingError
from socketkit.server.server import Handler

__all__ = ["HEAD", "scraper"]

HEAD = "delimited:\r\n\r\n,max_size=8KiB"
"""The framing of a request's head (RFC 9112, 2.1); a longer head resets the connection."""


def scraper(registry: CollectorRegistry) -> Handler:
    """A handler that answers `GET /metrics` with the samples of this registry; for connections framed by `HEAD`."""

    async def answer(connection: Connection) -> None:
        try:
            head = (await connection.receive(timeout=METRICS_REQUEST_TIMEOUT)).decode("latin-1")
        except (DeadlineError, EndOfStream, FramingError):
            connection.abort()
            return
        request, *fields = head.split("\r\n")
        connection.reframe("chunks")
        await connection.send(_answer(registry, request.split(" "), fields))

    return answer


def _answer(registry: CollectorRegistry, words: list[str], fields: list[str]) -> bytes:
    method, target = words[0], words[1] if len(words) == 3 else ""
    if not target:
        return _message("400 Bad Request", b"no request of HTTP\n")
    if target.partition("?")[0] != "/metrics":
        return _message("404 Not Found", b"there is /metrics\n")
    if method not in ("GET", "HEAD"):
        return _message("405 Method Not Allowed", b"there is GET\n", more="Allow: GET, HEAD\r\n")
    accepted = [value for name, _, value in (field.partition(":") for field in fields) if name.lower() == "accept"]
    encoder, kind = _encoder(",".join(accepted))
    return _message("200 OK", encoder(registry), kind, has_body=method == "GET")


def _encoder(accepted: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The encoder for an Accept field. prometheus_client raises for one that it cannot parse, and a server may then
    send its default (RFC 9110, 12.5.1)."""
    try:
        return choose_encoder(accepted)
    except Exception:
        return choose_encoder("")


def _message(
    status: str, body: bytes, kind: str = "text/plain; charset=utf-8", more: str = "", *, has_body: bool = True
) -> bytes:
    fields = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n"
    head = f"HTTP/1.1 {status}\r\n{fields}\r\n"
    return head.encode("latin-1") + (body if has_body else b"")
