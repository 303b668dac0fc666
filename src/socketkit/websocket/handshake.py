"""The opening handshake of both sides (RFC 6455, section 4): one HTTP request and its answer, read and written by h11.

A head has 16 KiB at most. What the peer has sent together with it is kept. Nothing here decides when time is over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any, Final

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.websocket_settings import Request, Response, WebSocket
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, HandshakeError, OptionError, StreamError
from socketkit.streams.stream import Stream
from socketkit.websocket.deflate import OFFER, Deflate, DeflateParameters, accept_offer, agree_on
from socketkit.websocket.origins import is_allowed
from socketkit.websocket.protocol import Protocol
from socketkit.websocket.stream import WebSocketStream

if TYPE_CHECKING:
    import h11

__all__ = ["accept_handshake", "check_installed", "client_handshake", "server_handshake"]

MAX_HEAD_SIZE: Final = 16 * 1024
"""Bytes of a request's or an answer's head: as much as nginx and Node take."""

MAX_ERROR_BODY: Final = 200
"""Bytes of a refusal's body that are shown."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_handshake(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_installed() -> None:
    """Raise what to install where h11 is missing.

    Raises:
        OptionError: it is.
    """
    try:
        import h11  # noqa: F401
    except ImportError:
        raise OptionError("WebSocket needs h11: pip install 'socketkit[ws]'") from None


# Client.


async def client_handshake(stream: Stream, address: Address, options: Options) -> WebSocketStream:
    """Ask for a WebSocket, within `handshake_timeout`. After an error the stream is closed.

    Args:
        stream: was just opened, TLS included; the new stream owns it.
        address: whom we ask, and for what.
        options: subprotocols, header fields, limits.

    Raises:
        HandshakeError: the server has refused (`status` is its HTTP status), or does not speak WebSocket.
        BrokenError, DeadlineError: the connection was lost, or the time was over.

    Cancellation: the stream is aborted.
    """
    deadline = stream.engine.deadline(options.handshake_timeout)
    try:
        return await _ask(stream, address, options, deadline)
    except DeadlineError:
        stream.close()
        raise DeadlineError(
            f"WebSocket handshake with {address.without_options()}: not done within {options.handshake_timeout:g} s "
            "(handshake_timeout): does it speak WebSocket?"
        ) from None
    except EndOfStream:
        stream.close()
        raise _failed(address, "it has ended the connection without an answer") from None
    except (StreamError, HandshakeError):
        stream.close()
        raise
    except BaseException:
        stream.abort()
        raise


async def _ask(stream: Stream, address: Address, options: Options, deadline: float | None) -> WebSocketStream:
    import h11

    began = stream.engine.now()
    websocket = options.websocket if isinstance(options.websocket, WebSocket) else WebSocket(address.resource)
    target = websocket.resource or "/"
    key = base64.b64encode(os.urandom(16))
    headers = _request_headers(address, options, key)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_SIZE)
    head = http.send(h11.Request(method="GET", target=target, headers=headers)) or b""
    await stream.send(head + (http.send(h11.EndOfMessage()) or b""), deadline=deadline)
    answer = await _next_answer(stream, http, address, deadline)
    found = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    if answer.status_code != 101:
        raise await _refused(stream, http, address, answer, deadline)
    if "websocket" not in found.get("upgrade", "").lower() or "upgrade" not in _words(found.get("connection", "")):
        raise _failed(address, "its answer (101) does not upgrade to WebSocket", 101)
    if found.get("sec-websocket-accept", "").strip().encode() != accept_handshake(key):
        raise _failed(address, "its Sec-WebSocket-Accept does not answer our key", 101)
    subprotocol = found.get("sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in options.subprotocols:
        raise _failed(address, f"it has chosen the subprotocol {subprotocol!r}, which we did not ask for", 101)
    path, _, query = target.partition("?")
    sent = tuple((name.lower(), value) for name, value in options.headers)
    return _stream(
        stream,
        options,
        Request(path, query, sent, subprotocol),
        _agreed(address, options, found.get("sec-websocket-extensions")),
        is_server=False,
        early=http.trailing_data[0],
        began=began,
    )


def _request_headers(address: Address, options: Options, key: bytes) -> list[tuple[bytes, bytes]]:
    fields = [
        (b"Host", _host(address).encode()),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", key),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    if options.origin is not None:
        fields.append((b"Origin", options.origin.encode()))
    if options.subprotocols:
        fields.append((b"Sec-WebSocket-Protocol", ", ".join(options.subprotocols).encode()))
    if options.compression == "deflate":
        fields.append((b"Sec-WebSocket-Extensions", OFFER.encode()))
    return fields + [(name.encode(), value.encode()) for name, value in options.headers]


def _host(address: Address) -> str:
    """The value of Host: the port is left out where it is the usual one (RFC 9110, 7.2)."""
    if address.port is None:
        return "localhost"
    host = address.host or "localhost"
    if address.is_placeholder_host:
        import socket

        host = socket.gethostname()
    if not host.isascii():
        host = host.encode("idna").decode()
    host = f"[{host.partition('%')[0]}]" if ":" in host else host
    return host if address.port == (443 if address.transport.is_secure else 80) else f"{host}:{address.port}"


async def _next_answer(stream: Stream, http: h11.Connection, address: Address, deadline: float | None) -> Any:
    """Return the answer that is final, or 101."""
    import h11

    for _ in range(10):
        try:
            event = await _next_event(stream, http, deadline, f"WebSocket handshake with {address.without_options()}")
        except HandshakeError as error:
            error.status = None  # of servers
            raise
        if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
            return event
    raise _failed(address, "it sends provisional answers only (1xx)")


async def _next_event(
    stream: Stream, http: h11.Connection, deadline: float | None, doing: str, *, first: bytes | None = None
) -> Any:
    """Return the next event; a head of more than 16 KiB is refused, however it is cut.

    Args:
        first: bytes of a request that were received already. Its first line is refused as soon as it is whole, where it
            is none: a peer with another protocol waits for an answer. None: it is not the first event of a request.

    Raises:
        HandshakeError: it is no HTTP; `status` is what a server may answer.
    """
    import h11

    size = 0
    data = line = first or b""
    try:
        if data:
            http.receive_data(data)
        while True:
            event = http.next_event()
            if event is not h11.NEED_DATA:
                break
            if first is not None and b"\n" in data and not _REQUEST_LINE.match(line):
                raise h11.RemoteProtocolError("no request line", 400)
            data = await stream.receive(deadline=deadline)
            size += len(data)
            line += data if first is not None and b"\n" not in line else b""
            http.receive_data(data)
        if size - len(http.trailing_data[0]) > MAX_HEAD_SIZE and isinstance(event, (h11.Request, h11.Response)):
            raise h11.RemoteProtocolError("the head is too long", 431)
    except h11.RemoteProtocolError as error:
        why = f"a head of more than {MAX_HEAD_SIZE} bytes" if error.error_status_hint == 431 else error
        failed = HandshakeError(f"{doing}: no HTTP as it should be: {why}", address=stream.peer)
        failed.status = error.error_status_hint
        raise failed from None
    return event


_BAD_REQUESTS: Final[dict[int | None, str]] = {431: f"the head of a request has at most {MAX_HEAD_SIZE} bytes here\n"}

_REQUEST_LINE: Final = re.compile(rb"[!-~]+ [!-~]+ HTTP/")  # RFC 9112, 3


async def _refused(
    stream: Stream, http: h11.Connection, address: Address, answer: Any, deadline: float | None
) -> HandshakeError:
    """Return the error of another status than 101, with what the server says about it."""
    import h11

    text, reason = "", bytes(answer.reason).decode("latin-1")
    kind = next((value for name, value in answer.headers if name == b"content-type"), b"")
    try:
        while kind.startswith(b"text/plain") and len(text) < MAX_ERROR_BODY:
            event = await _next_event(stream, http, deadline, "")
            if not isinstance(event, h11.Data):
                break
            text += bytes(event.data).decode("utf-8", "replace")
    except (StreamError, HandshakeError, DeadlineError):
        pass  # the status says enough
    place = next((value.decode("latin-1") for name, value in answer.headers if name == b"location"), "")
    said = [f"the server refused the upgrade: {answer.status_code} {reason}".rstrip()]
    said += [f"it names {place!r} instead"] if place else []
    said += [" ".join(text[:MAX_ERROR_BODY].split())] if text.strip() else []
    return _failed(address, "; ".join(said), answer.status_code)


def _failed(address: Address, text: str, status: int | None = None) -> HandshakeError:
    error = HandshakeError(f"cannot open a WebSocket at {address.without_options()}: {text}", address=str(address))
    error.status = status
    return error


def _agreed(address: Address, options: Options, header: str | None) -> DeflateParameters | None:
    if header is None:
        return None
    try:
        if options.compression == "deflate":
            return agree_on(header)
    except ValueError:
        pass
    raise _failed(address, f"it has chosen extensions that we did not offer: {header!r}", 101)


# Server.


async def server_handshake(
    stream: Stream, options: Options, deadline: float | None, *, early: bytes = b""
) -> WebSocketStream | None:
    """Read a client's request, and answer it.

    Args:
        stream: was just accepted, TLS included; the new stream owns it.
        options: `websocket` says at which path, and what answers plain requests.
        deadline: of the engine's clock.
        early: the first bytes, where some were received already.

    Returns:
        The stream; None: a plain request was answered, and the connection is to be closed.

    Raises:
        HandshakeError: the request was refused; `status` is the HTTP status that was sent.
        EndOfStream, BrokenError, DeadlineError: the peer went away, or the time was over.
        Exception: what `http` has raised; 500 was sent.
    """
    try:
        return await _answer(stream, options, deadline, early)
    except DeadlineError:
        raise DeadlineError(
            f"WebSocket handshake with {stream.peer}: not done within {options.handshake_timeout:g} s "
            "(handshake_timeout)"
        ) from None


async def _answer(stream: Stream, options: Options, deadline: float | None, early: bytes) -> WebSocketStream | None:
    import h11

    began = stream.engine.now()
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_SIZE)
    try:
        event = await _next_event(stream, http, deadline, f"WebSocket handshake with {stream.peer}", first=early)
    except HandshakeError as error:
        await _reply(
            stream,
            http,
            Response(error.status or 400, _BAD_REQUESTS.get(error.status, "this is no request as it should be\n")),
            deadline,
        )
        raise
    if not isinstance(event, h11.Request):
        raise EndOfStream(f"{stream.peer} has ended the connection without a request")
    websocket = options.websocket
    assert isinstance(websocket, WebSocket)
    request = _request(event)
    is_upgrade = "websocket" in _words(request.header("upgrade") or "")
    if not is_upgrade and websocket.http is not None and request.method in ("GET", "HEAD"):
        await _reply(
            stream, http, await _plain_answer(websocket, request, stream, http, deadline), deadline, request.method
        )
        return None
    refusal = _refusal(request, websocket, options, is_secure=stream.tls is not None, is_upgrade=is_upgrade)
    if refusal is not None:
        await _reply(stream, http, refusal, deadline, request.method)
        raise _refused_client(stream, request, refusal)
    return await _accept(stream, http, request, options, deadline, began)


def _refused_client(stream: Stream, request: Request, refusal: Response) -> HandshakeError:
    text = refusal.body.strip() if isinstance(refusal.body, str) else ""
    error = HandshakeError(
        f"{stream.peer} asked for {request.method} {request.path[:200]}: refused with {refusal.status}: {text}",
        address=stream.peer,
    )
    error.status = refusal.status
    return error


def _request(event: Any) -> Request:
    target = bytes(event.target).decode("latin-1")
    if not target.startswith("/"):  # http://host/path (RFC 9112, 3.2.2)
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    headers = tuple((name.decode(), value.decode("latin-1")) for name, value in event.headers)
    return Request(path, query, headers, None, bytes(event.method).decode("latin-1"))


def _refusal(
    request: Request, websocket: WebSocket, options: Options, *, is_secure: bool, is_upgrade: bool
) -> Response | None:
    """Return why a request gets no WebSocket; None: it gets one (4.2.1, 4.2.2)."""
    if websocket.path and request.path != websocket.path:
        return Response(404, "there is no WebSocket at this path\n")
    if request.method != "GET":
        return Response(405, "a WebSocket is opened by GET\n", (("Allow", "GET"),))
    if not is_upgrade or "upgrade" not in _words(request.header("connection") or ""):
        return Response(426, "this is a WebSocket: ask for an upgrade\n", (("Upgrade", "websocket"),))
    if (request.header("sec-websocket-version") or "").strip() != "13":
        return Response(426, "the version of WebSocket is 13\n", _OTHER_VERSION)
    if not _is_key(request.header("sec-websocket-key") or ""):
        return Response(400, "Sec-WebSocket-Key is not 16 bytes in base64\n")
    if not is_allowed(request.header("origin"), request.header("host") or "", options.origins, is_secure=is_secure):
        return Response(403, "this origin may not connect (origins)\n")
    return None


_OTHER_VERSION: Final = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


async def _plain_answer(
    websocket: WebSocket, request: Request, stream: Stream, http: h11.Connection, deadline: float | None
) -> Response:
    assert websocket.http is not None
    try:
        answer = websocket.http(request)
        if hasattr(answer, "__await__"):
            answer = await answer
        if not isinstance(answer, Response):
            raise TypeError(f"http returned {type(answer).__name__}, not a Response")
    except Exception:
        await _reply(stream, http, Response(500, "the server has failed\n"), deadline)
        raise
    return answer


async def _accept(
    stream: Stream, http: h11.Connection, request: Request, options: Options, deadline: float | None, began: float
) -> WebSocketStream:
    import h11

    await _next_event(stream, http, deadline, "WebSocket handshake")  # the end of the request
    http.next_event()  # PAUSED: what follows is no HTTP
    asked = [word.strip() for word in (request.header("sec-websocket-protocol") or "").split(",")]
    subprotocol = next((name for name in options.subprotocols if name in asked), None)
    agreed = None
    if options.compression == "deflate":
        agreed = accept_offer(request.header("sec-websocket-extensions") or "")
    headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", accept_handshake((request.header("sec-websocket-key") or "").strip().encode())),
    ]
    if subprotocol is not None:
        headers.append((b"Sec-WebSocket-Protocol", subprotocol.encode()))
    if agreed is not None:
        headers.append((b"Sec-WebSocket-Extensions", agreed.header().encode()))
    answer = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
    await stream.send(http.send(answer) or b"", deadline=deadline)
    opened = Request(request.path, request.query, request.headers, subprotocol)
    return _stream(stream, options, opened, agreed, is_server=True, early=http.trailing_data[0], began=began)


async def _reply(
    stream: Stream, http: h11.Connection, response: Response, deadline: float | None, method: str = "GET"
) -> None:
    """Send a plain answer, after which the connection is to be closed."""
    import h11

    body = response.body.encode() if isinstance(response.body, str) else response.body
    names = {name.lower() for name, _ in response.headers}
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    if "content-type" not in names:
        kind = b"text/plain; charset=utf-8" if isinstance(response.body, str) else b"application/octet-stream"
        headers.append((b"Content-Type", kind))
    headers += [(b"Content-Length", str(len(body)).encode()), (b"Connection", b"close")]
    from http import HTTPStatus

    try:
        reason = HTTPStatus(response.status).phrase.encode()
    except ValueError:
        reason = b""
    try:
        data = http.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
        if method != "HEAD":
            data += body
        await stream.send(data, deadline=deadline)
    except (BrokenError, h11.LocalProtocolError):
        pass  # nobody is there to be told


def _words(header: str) -> list[str]:
    return [word.strip().lower() for word in header.split(",")]


def _stream(
    inner: Stream,
    options: Options,
    request: Request,
    agreed: DeflateParameters | None,
    *,
    is_server: bool,
    early: bytes,
    began: float,
) -> WebSocketStream:
    deflate = None if agreed is None else Deflate(agreed, is_server=is_server)
    protocol = Protocol(inner.peer, is_server=is_server, max_size=options.max_size, deflate=deflate)
    made = WebSocketStream(
        inner,
        protocol,
        request,
        early=early,
        ping_interval=options.ping_interval,
        ping_timeout=options.ping_timeout,
        handshake_seconds=inner.engine.now() - began,
    )
    protocol.peer = made.peer
    return made
