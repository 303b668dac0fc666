"""The client's handshake, and the choice of our side: for `tls://`, for accepted connections, and for STARTTLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from socketkit.endpoint import tls_settings_of
from socketkit.errors import HandshakeError, StreamError
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from socketkit.tls.context import ClientSide, Side
    from socketkit.tls.stream import TlsStream

__all__ = ["client_for", "client_handshake", "side_for"]


def client_for(tls: TLS, address: Address | None) -> tuple[ClientSide, str | None]:
    """A client's side, and the name that the server's certificate must have.

    Raises:
        OptionError: a file cannot be used, or there is no name to check.
    """
    from socketkit.tls.context import client_side, server_name_for  # loads OpenSSL

    host = ""
    if address is not None and address.port is not None:  # other addresses have a path
        host = socket.gethostname() if address.is_placeholder_host else address.host or "localhost"
    return client_side(tls), server_name_for(tls, host, address=str(address or "this connection"))


async def client_handshake(
    stream: Stream, side: ClientSide, server_name: str | None, *, timeout: float | None
) -> TlsStream:
    """Do the client's handshake on a stream that was just opened; after an error the stream is closed.

    Raises:
        HandshakeError, BrokenError, DeadlineError: as for `secure`.
    """
    from socketkit.tls.stream import secure

    try:
        return await secure(stream, side, server_name=server_name, timeout=timeout)
    except StreamError:
        stream.close()
        raise
    except HandshakeError:
        stream.close()  # not by a reset: the alert with the reason is still in transit
        raise
    except BaseException:
        stream.abort()
        raise


def side_for(
    tls: TLS | Side | bool, options: Options, remote: Address | None, is_server: bool | None
) -> tuple[Side, str | None]:
    """Our side of an open connection, and the name that a server's certificate must have.

    Raises:
        OptionError: as for `client_for`.
    """
    from socketkit.tls.context import server_side

    if not isinstance(tls, (bool, TLS)):
        return tls, None
    settings = tls_settings_of(options) if isinstance(tls, bool) else tls
    if is_server is None:
        is_server = remote is None
    return (server_side(settings), None) if is_server else client_for(settings, remote)
