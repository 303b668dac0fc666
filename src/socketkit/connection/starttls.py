"""STARTTLS: change a connection that is under way from plain bytes to TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socketkit.config.options import Options
from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import BrokenError, ClosedError, HandshakeError, OptionError
from socketkit.framing.codec import Framing
from socketkit.streams.stream import DatagramStream, Stream

if TYPE_CHECKING:
    from socketkit.tls.context import Side
    from socketkit.tls.stream import TlsStream

__all__ = ["upgrade"]


async def upgrade(
    session: Session,
    outgoing: Sender,
    stream: Stream,
    framing: Framing,
    side: Side,
    server_name: str | None,
    options: Options,
    deadline: float | None = None,
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

    if isinstance(stream, DatagramStream):
        raise OptionError("tls: it is spoken over streams, and not over datagrams")
    timeout = options.handshake_timeout
    if deadline is None:
        deadline = stream.engine.deadline(timeout)
    await outgoing.wait_empty(deadline=deadline)
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
        secured = await secure(stream, side, server_name=server_name, timeout=timeout, deadline=deadline, unread=unread)
    except BaseException as error:
        reason = error if isinstance(error, (BrokenError, ClosedError)) else None
        outgoing.cut(reason or BrokenError(f"sending to {stream.peer}: the change to TLS has failed"))
        raise
    outgoing.release(secured)
    return secured
