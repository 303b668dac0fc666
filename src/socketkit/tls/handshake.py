"""Go on encrypted: which addresses and options ask for TLS, and how a conversation under way changes over to it.

Written once for a dialled `tls://`, for a caller whom a server lets in, and for what is begun in plain text (STARTTLS).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.schemes import secure_name
from socketkit.config.tls_settings import TLS
from socketkit.connection.sender import Outgoing
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, ClosedError, HandshakeError, OptionError, StreamError
from socketkit.framing.codec import Framing
from socketkit.streams.stream import DatagramStream, Stream
from socketkit.values import replace

if TYPE_CHECKING:
    from socketkit.tls.context import ClientSide, Side
    from socketkit.tls.stream import TlsStream

__all__ = [
    "call_securely",
    "chosen",
    "client_for",
    "is_secure",
    "secure_address",
    "settled",
    "side_for",
    "tls_for",
    "upgrade",
]

_OWN = ("ca", "cert", "key", "verify", "server_name", "alpn", "require_client_cert", "pin", "self_signed")


def is_secure(address: Address, options: Options) -> bool:
    """Whether TLS is spoken from the first byte."""
    return options.tls is not False or address.transport.is_secure


def secure_address(address: Address) -> Address:
    """The same place, named as one where TLS is spoken."""
    return address.replace(scheme=secure_name(address.scheme))


def chosen(options: Options) -> TLS:
    """The settings that the options give: a `TLS`, and over it what they say one by one.

    Raises:
        OptionError: they contradict each other.
    """
    base = options.tls if isinstance(options.tls, TLS) else TLS()
    given: dict[str, Any] = {name: getattr(options, name) for name in _OWN}
    unsaid = Options.fields
    return replace(base, **{name: value for name, value in given.items() if value != unsaid[name].default})


def tls_for(address: Address, options: Options) -> TLS | None:
    """The settings for an address; None where plain bytes are spoken there.

    Raises:
        OptionError: the options contradict each other.
    """
    if not is_secure(address, options):
        return None
    if address.transport.kind not in ("", "SOCK_STREAM"):
        raise OptionError(f"tls: it is spoken over streams, and {address.scheme} is none")
    return chosen(options)


def settled(address: Address, options: Options) -> Options:
    """The options with all that concerns TLS at this address gathered in `tls`: a `TLS`, or no.

    Raises:
        OptionError: they contradict each other.
    """
    tls = tls_for(address, options)
    return options if tls is None else replace(options, tls=tls)


# --- a client --------------------------------------------------------------------------------------------------------


def client_for(tls: TLS, address: Address | None) -> tuple[ClientSide, str | None]:
    """A client's side, and the name that the server must have.

    Raises:
        OptionError: a file cannot be used, or there is no name to check.
    """
    from socketkit.tls.context import client_side, name_to_check  # only who speaks TLS pays for it

    host = ""
    if address is not None and address.port is not None:  # the others have a path
        host = socket.gethostname() if address.is_placeholder_host else address.host or "localhost"
    return client_side(tls), name_to_check(tls, host, place=str(address or "this connection"))


async def call_securely(
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


async def upgrade(
    session: Session,
    outgoing: Outgoing,
    stream: Stream,
    framing: Framing,
    side: Side,
    server_name: str | None,
    options: Options,
) -> TlsStream:
    """Change over to TLS: what was sent goes first, in plain text; what came and was not received goes to TLS.

    A client refuses bytes that came already: a server speaks only when TLS stands, so that somebody on the way has put
    them there, to be taken for the server's encrypted words (CVE-2011-0411 and its kin).

    Returns:
        The stream from now on. `outgoing` uses it already.

    Raises:
        HandshakeError, BrokenError, DeadlineError: as for `secure`; nothing can be sent any more.
        EndOfStream, ClosedError: there is nobody to agree with.

    Cancellation: nothing can be sent any more.
    """
    from socketkit.tls.stream import secure

    timeout = options.handshake_timeout
    if isinstance(stream, DatagramStream):
        raise OptionError("tls: it is spoken over streams, and not over datagrams")
    await outgoing.wait_empty(deadline=stream.engine.deadline(timeout))
    outgoing.check()
    outgoing.hold()
    try:
        unread = session.take_unread(framing.codec())
        if unread and not side.is_server:
            raise HandshakeError(
                f"TLS handshake with {stream.peer}: {len(unread)} bytes came in plain text before it, and would pass "
                "for encrypted ones: refused as an injection",
                address=stream.peer,
            )
        secured = await secure(stream, side, server_name=server_name, timeout=timeout, unread=unread)
    except BaseException as error:
        reason = error if isinstance(error, (BrokenError, ClosedError)) else None
        outgoing.cut(reason or BrokenError(f"sending to {stream.peer}: the change to TLS has failed"))
        raise
    outgoing.release(secured)
    return secured
