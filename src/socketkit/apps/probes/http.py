"""Ready when an HTTP request is answered as expected: `wait http://host/health`.

The standard library's `http.client` reads the response (RFC 9112), from bytes that were received within bounds.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urljoin, urlsplit

from socketkit import __version__
from socketkit.apps.probes.probe import Look, Probe, reason_of_failure
from socketkit.config.address import Address
from socketkit.errors import AddressError, DeadlineError, EndOfStream, OpenError, OptionError, StreamError
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["SCHEMES", "HttpProbe", "parse_statuses"]

SCHEMES: Final = ("http", "https")
_PORTS: Final = {"http": 80, "https": 443}

MAX_HEAD_SIZE: Final = 64 * 1024
"""Bytes of a response's head; `http.client` takes a line of as many."""

MAX_BODY_SIZE: Final = 1024 * 1024
"""Bytes of the body that are searched; a health page has hundreds."""

MAX_REDIRECTS: Final = 5
"""As RFC 2068 recommended; browsers take 20, and a health check that needs more is a loop."""

EXCERPT_SIZE: Final = 60

StatusTest = Callable[[int], bool]


def parse_statuses(text: str) -> tuple[tuple[int, int], ...]:
    """The ranges of `200`, `2xx`, `200-204`, or several separated by commas.

    Raises:
        OptionError: they are written otherwise.
    """
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"([1-5])[xX]{2}|([1-5]\d\d)(?:-([1-5]\d\d))?", part.strip())
        if match is None:
            raise OptionError(f"{part!r} is no HTTP status; allowed are 200, 2xx, 200-204, separated by commas")
        if match[1]:
            ranges.append((int(match[1]) * 100, int(match[1]) * 100 + 99))
        else:
            first, last = int(match[2]), int(match[3] or match[2])
            if last < first:
                raise OptionError(f"{part!r} ends before it begins; allowed are 200, 2xx, 200-204")
            ranges.append((first, last))
    return tuple(ranges)


class HttpProbe(Probe):
    """GET a URL. It is ready when the status is expected and the body matches.

    Attributes:
        address: `tcp://` or `tls://`, of the host and port.
    """

    def __init__(
        self,
        url: str,
        *,
        statuses: str = "2xx",
        body: re.Pattern[bytes] | None = None,
        follows: bool = False,
    ) -> None:
        """Args:
            url: http:// or https://.
            statuses: as `parse_statuses` reads them.
            body: is searched in the first MiB of the body.
            follows: whether redirects are followed, five at most; only the last response counts.

        Raises:
            AddressError: the URL cannot be read, or has a user name.
            OptionError: the statuses cannot be read.
        """
        self.url = url
        self.address, self._request = _read(url)
        self._statuses_text = statuses
        self._statuses = parse_statuses(statuses)
        self._body = body
        self._follows = follows

    def __str__(self) -> str:
        return self.url

    async def look(self, look: Look) -> str | None:
        deadline = look.engine.deadline(look.options.connect_timeout)
        url = self.url
        try:
            for _ in range(MAX_REDIRECTS + 1):
                address, request = _read(url)
                response, body = await self._get(look, address, request, deadline)
                target = response.getheader("Location") if 300 <= response.status <= 399 else None
                if target is None or not self._follows:
                    return self._judge(response, target, body)
                url = urljoin(url, target)
            return f"more than {MAX_REDIRECTS} redirects, the last to {url}"
        except _NoHttp as error:
            return str(error)
        except AddressError as error:
            return f"a redirect to {url}: {error}"
        except DeadlineError as error:
            return reason_of_failure(self.address, error) if error.attempts else f"no answer within {look.timeout_text}"
        except (OpenError, StreamError) as error:
            return reason_of_failure(self.address, error)

    async def _get(
        self, look: Look, address: Address, request: bytes, deadline: float | None
    ) -> tuple[HTTPResponse, bytes]:
        stream = await look.open(address)
        try:
            await stream.send(request, deadline=deadline)
            return await _receive(stream, deadline, wants_body=self._body is not None)
        finally:
            look.close(stream)

    def _judge(self, response: HTTPResponse, target: str | None, body: bytes) -> str | None:
        status = response.status
        if not any(first <= status <= last for first, last in self._statuses):
            line = f"HTTP {status} {response.reason}".rstrip()
            if target is not None:
                return f"{line} to {target}; expected {self._statuses_text} (--location follows redirects)"
            return f"{line}; expected {self._statuses_text}"
        if self._body is not None and not self._body.search(body):
            pattern = self._body.pattern.decode(errors="replace")
            return f"HTTP {status}, and no {pattern!r} in its {len(body)} bytes: {body[:EXCERPT_SIZE]!r}"
        return None


def _read(url: str) -> tuple[Address, bytes]:
    """The address and the request of a URL; raises AddressError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise AddressError(f"{url!r} is no URL; allowed is http://host:port/path, or https://")
    if "@" in parts.netloc:
        raise AddressError(f"{parts.scheme}://{parts.hostname}: a user name is not sent; leave it out")
    if not url.isprintable() or " " in url:
        raise AddressError(f"{url!r} has a space or a control character; allowed is %20")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = _PORTS[parts.scheme] if port is None else port
    address = Address.parse(f"{'tls' if parts.scheme == 'https' else 'tcp'}://{host}:{port}")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?[]')}" if parts.query else ""
    )
    named = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii").decode()
    head = (
        f"GET {target} HTTP/1.1\r\nHost: {named}\r\nUser-Agent: socketkit/{__version__}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    return address, head.encode()


class _NoHttp(Exception):
    """The peer's bytes are no response, or none that is taken; the message is the reason."""


async def _receive(stream: Stream, deadline: float | None, *, wants_body: bool) -> tuple[HTTPResponse, bytes]:
    """The final response, and its body up to the bound; empty where it is not wanted."""
    data = bytearray()
    while True:
        head_size = await _fill_head(stream, data, deadline)
        response = _parsed(data)
        if not 100 <= response.status <= 199:
            break
        del data[:head_size]  # an interim response (RFC 9110, 15.2): the final one follows
    if not wants_body:
        return response, b""
    tail_size = len(data) - head_size
    try:
        while tail_size < MAX_BODY_SIZE and not _is_whole(response, data, tail_size):
            more = await stream.receive(deadline=deadline)
            data += more
            tail_size += len(more)
    except EndOfStream:
        pass
    return response, _body_of(data)


async def _fill_head(stream: Stream, data: bytearray, deadline: float | None) -> int:
    """Receive until the head is complete; its size."""
    while True:
        match = re.search(rb"\r?\n\r?\n", data)
        if match is not None:
            return match.end()
        if len(data) > MAX_HEAD_SIZE:
            raise _NoHttp(f"the head of the response has more than {MAX_HEAD_SIZE} bytes")
        if len(data) >= 5 and not data.startswith(b"HTTP/"):
            raise _NoHttp(f"no HTTP: {bytes(data[:EXCERPT_SIZE])!r}")
        try:
            data += await stream.receive(deadline=deadline)
        except EndOfStream:
            shown = f"after {bytes(data[:EXCERPT_SIZE])!r}" if data else "without an answer"
            raise _NoHttp(f"closed {shown}") from None


class _Received:
    """What `http.client` reads from."""

    def __init__(self, data: bytearray) -> None:
        self._file = io.BytesIO(bytes(data))

    def makefile(self, mode: str) -> io.BytesIO:
        return self._file


def _parsed(data: bytearray) -> HTTPResponse:
    from http.client import HTTPException, HTTPResponse

    socket: Any = _Received(data)
    response = HTTPResponse(socket, method="GET")
    try:
        response.begin()
    except (HTTPException, ValueError) as error:
        raise _NoHttp(f"no HTTP: {str(error) or type(error).__name__}") from None
    return response


def _is_whole(response: HTTPResponse, data: bytearray, size: int) -> bool:
    """Whether the body has ended before the connection has: by its length, or by its last chunk."""
    if response.chunked:
        return data.endswith(b"0\r\n\r\n")
    return response.length is not None and size >= response.length


def _body_of(data: bytearray) -> bytes:
    from http.client import HTTPException, IncompleteRead

    response = _parsed(data)
    try:
        return response.read()
    except IncompleteRead as error:
        return error.partial
    except (HTTPException, ValueError) as error:
        raise _NoHttp(f"no HTTP: {error}") from None
