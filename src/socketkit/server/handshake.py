"""What an accepted connection does before its first message: the PROXY header, then TLS, within one deadline.

It runs in the connection's own task: a slow peer holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, HandshakeError, StreamError
from socketkit.server.stream_listener import host_of
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from socketkit.connection.proxy_protocol import ProxyHeader
    from socketkit.tls.context import ServerSide

__all__ = ["is_needed", "try_handshake"]


def is_needed(options: Options) -> bool:
    """Whether anything comes before the first message."""
    return options.accept_proxy is not None or options.tls is not False or options.websocket is not False


async def try_handshake(
    connection: Connection, options: Options, side: ServerSide | None, admit_client: Callable[[str], str | None]
) -> bool:
    """Receive the PROXY header, admit the client that it names, negotiate TLS, and answer a WebSocket's request, within
    `handshake_timeout` in all.

    Args:
        connection: was accepted, and has received nothing.
        options: `accept_proxy` and `handshake_timeout`.
        side: the server's side of TLS; None: plain bytes.
        admit_client: admits the host that a proxy has named; returns the reason of a refusal, or None.

    Returns:
        False where it failed: the reason is the cause in the connection's end event, and the connection is to be
        closed. It is aborted already, unless an alert of TLS is on its way, which a reset would take back.
    """
    deadline = connection.engine.deadline(options.handshake_timeout)
    try:
        if options.accept_proxy is not None:
            await _receive_proxy_header(connection, options, deadline)
            if (reason := admit_client(host_of(connection.peer))) is not None:
                raise HandshakeError(f"{connection.peer} may not come in: {reason}", address=str(connection.peer))
        if side is not None:
            await connection.internals.start_tls(side, None, deadline)
        if options.websocket is not False:
            return await _open_websocket(connection, options, deadline)
    except (HandshakeError, StreamError, DeadlineError) as error:
        connection.internals.set_cause(error)
        is_told = side is not None or getattr(error, "status", None) is not None
        if not is_told or isinstance(error, DeadlineError):
            connection.abort()
        return False
    return True


async def _open_websocket(connection: Connection, options: Options, deadline: float | None) -> bool:
    """Answer the request; False: a plain one was answered, and the connection is to be closed."""
    from socketkit.websocket.handshake import server_handshake

    return await connection.internals.upgrade(lambda stream: server_handshake(stream, options, deadline))


async def _receive_proxy_header(connection: Connection, options: Options, deadline: float | None) -> None:
    peer = str(connection.peer)
    try:
        header = await _receive_header(connection.internals.stream, deadline)
    except DeadlineError:
        raise HandshakeError(
            f"no whole PROXY header from {peer} within {options.handshake_timeout:g} s (handshake_timeout)",
            address=peer,
        ) from None
    except HandshakeError as error:
        raise HandshakeError(f"the PROXY header from {peer} is wrong: {error}", address=peer) from None
    connection.internals.apply_proxy_header(header)


async def _receive_header(stream: Stream, deadline: float | None) -> ProxyHeader:
    """Receive the header and not one byte more: what follows belongs to TLS or the framing."""
    from socketkit.connection.proxy_protocol import missing, parse

    if not isinstance(stream, SocketStream):
        raise HandshakeError(f"{stream!r} is no socket, and carries none")
    data = b""
    while count := missing(data):
        try:
            data += await stream.receive_up_to(count, deadline=deadline)
        except EndOfStream:
            raise HandshakeError(f"it ends after {len(data)} bytes") from None
        except BrokenError as error:
            raise BrokenError(f"the PROXY header: {error}", errno=error.errno) from None
    return parse(data)
