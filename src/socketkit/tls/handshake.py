"""Go on encrypted: which addresses and options ask for TLS, and how a conversation under way changes over to it.

Written once for a dialled `tls://`, for a caller whom a server lets in, and for what is begun in plain text (STARTTLS).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.tls_settings import TLS
from socketkit.endpoint import chosen
from socketkit.errors import HandshakeError, StreamError
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from socketkit.tls.context import ClientSide, Side
    from socketkit.tls.stream import TlsStream

__all__ = ["client_for", "client_handshake", "side_for"]


# --- a client --------------------------------------------------------------------------------------------------------


def client_for(tls: TLS, address: Address | None) -> tuple[ClientSide, str | None]:
    """A client's side, and the name that the server must have.

    Raises:
        OptionError: a file cannot be used, or there is no name to check.
    """
    from socketkit.tls.context import client_side, server_name_for  # only who speaks TLS pays for it

    host = ""
    if address is not None and address.port is not None:  # the others have a path
        host = socket.gethostname() if address.is_placeholder_host else address.host or "localhost"
    return client_side(tls), server_name_for(tls, host, address=str(address or "this connection"))


async def client_handshake(
    stream: Stream, side: ClientSide, server_name: str | None, *, timeout: float | None
) -> TlsStream:
    """The client's handshake on a stream that was just opened; after an error it is closed.

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
        stream.close()  # not by a reset: the alert that tells the peer why is still on its way
        raise
    except BaseException:
        stream.abort()
        raise


def side_for(
    tls: TLS | Side | bool, options: Options, dialled: Address | None, is_server: bool | None
) -> tuple[Side, str | None]:
    """Our side of a conversation under way, and the name that a server must have.

    Raises:
        OptionError: as for `client_for`.
    """
    from socketkit.tls.context import server_side

    if not isinstance(tls, (bool, TLS)):
        return tls, None
    settings = chosen(options) if isinstance(tls, bool) else tls
    if is_server is None:
        is_server = dialled is None
    return (server_side(settings), None) if is_server else client_for(settings, dialled)


# --- a conversation under way ----------------------------------------------------------------------------------------
