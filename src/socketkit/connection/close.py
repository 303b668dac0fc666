"""Say goodbye: what is unsent goes first, then our direction ends, then the socket, all within a time.

A peer that reads no more cannot hold us: when the time is over the stream is aborted. Whatever was left unsent then is
an error, never a secret.
"""

from __future__ import annotations

from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import DeadlineError, closed_error
from socketkit.streams.stream import Stream

__all__ = ["close_gracefully"]


async def close_gracefully(session: Session, outgoing: Sender, stream: Stream, *, timeout: float) -> None:
    """End a conversation in good order. The stream is closed when this returns, and also when it raises.

    Args:
        session: refuses to send from now on.
        outgoing: is emptied first.
        stream: is closed, or aborted when the time is over.
        timeout: seconds that all of it may take.

    Raises:
        DeadlineError: the time was over with bytes unsent.
        BrokenError: bytes were lost, and no sender has met the error yet.

    Cancellation: what the system does not take at once is lost, the stream is aborted.
    """
    told = session.refusal is not None
    session.refuse(closed_error(stream.peer))
    deadline = stream.engine.deadline(timeout)
    try:
        await outgoing.wait_empty(deadline=deadline)
    except DeadlineError:
        stream.abort()
        raise DeadlineError(
            f"closing the connection with {stream.peer}: {session.outgoing_size} bytes were left unsent, because it "
            f"did not take them within {timeout:g} s (close_timeout)"
        ) from None
    except BaseException:
        stream.abort()
        raise
    await stream.finish(deadline=deadline)
    if not told:
        outgoing.check()
