"""Welcome a caller: what comes before the first message, in the conversation's own task and within its own time.

A proxy says for whom it speaks; only those who are listed may, and each of them has to. Nobody else waits meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, HandshakeError
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from socketkit.connection.proxy_protocol import ProxyHeader

__all__ = ["welcome"]


async def welcome(connection: Connection, options: Options) -> None:
    """Come to the point where messages begin, within `handshake_timeout` in all.

    Raises:
        HandshakeError: the caller did not say what he had to, or not in time.
        BrokenError, ClosedError: the conversation was lost.
    """
    if options.accept_proxy is None:
        return
    deadline = connection.engine.deadline(options.handshake_timeout)
    peer = connection.stream.peer
    try:
        header = await _receive_header(connection.stream, deadline)
    except DeadlineError:
        raise HandshakeError(
            f"no whole PROXY header from {peer} within {options.handshake_timeout:g} s (handshake_timeout)",
            address=peer,
        ) from None
    except HandshakeError as error:
        raise HandshakeError(f"the PROXY header from {peer} is wrong: {error}", address=peer) from None
    connection.apply_proxy_header(header)


async def _receive_header(stream: Stream, deadline: float | None) -> ProxyHeader:
    """Receive the header and not one byte more: what follows belongs to whoever reads next."""
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
