"""STARTTLS: change an open connection from plain bytes to TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketkit.config.options import Options
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, ClosedError, HandshakeError, OptionError
from socketkit.framing.codec import Framing
from socketkit.streams.socket_stream import SocketStream
from socketkit.streams.stream import DatagramStream, Stream

if TYPE_CHECKING:
    from socketkit.tls.context import Side
    from socketkit.tls.stream import TlsStream

__all__ = ["upgrade"]


async def upgrade(
    session: Session,
    sender: Sender,
    stream: Stream,
    framing: Framing,
    side: Side,
    server_name: str | None,
    options: Options,
    deadline: float | None = None,
) -> TlsStream:
    """Change to TLS: what was sent leaves first, in plain text; bytes that were read and not received go to TLS.

    A client refuses such bytes: a server sends nothing before the handshake, so an attacker on the way has injected
    them, to be taken for the server's encrypted messages (CVE-2011-0411 and its relatives).

    Returns:
        The stream from now on. `sender` uses it already.

    Raises:
        HandshakeError, BrokenError, DeadlineError: as for `secure`; nothing can be sent any more.
        EndOfStream, ClosedError: the connection has ended before.

    Cancellation: nothing can be sent any more.
    """
    from socketkit.tls.stream import secure

    if isinstance(stream, DatagramStream):
        raise OptionError("tls: it works over streams, not over datagrams")
    timeout = options.handshake_timeout
    if deadline is None:
        deadline = stream.engine.deadline(timeout)
    await sender.wait_empty(deadline=deadline)
    sender.check()
    sender.hold()
    if isinstance(stream, SocketStream):
        stream.give_up_plain()
    try:
        unread = session.take_unread(framing)
        if unread and not side.is_server:
            raise HandshakeError(
                f"TLS handshake with {stream.peer}: {len(unread)} bytes came in plain text before it, and would pass "
                "for encrypted ones: refused as an injection",
                address=stream.peer,
            )
        secured = await secure(stream, side, server_name=server_name, timeout=timeout, deadline=deadline, unread=unread)
    except BaseException as error:
        reason = error if isinstance(error, (BrokenError, ClosedError)) else None
        sender.cut(reason or BrokenError(f"sending to {stream.peer}: the change to TLS has failed"))
        raise
    sender.release(secured)
    return secured
