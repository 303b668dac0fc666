"""Close gracefully: send what is unsent, end our direction, close the stream, all within `close_timeout`.

A peer that reads no more cannot hold up a close: at the deadline the stream is aborted, and the loss is an error.
"""

from __future__ import annotations

from socketkit.connection.sender import Sender
from socketkit.connection.session import Session
from socketkit.errors import DeadlineError, closed_error
from socketkit.streams.stream import Stream

__all__ = ["close_gracefully", "unsent_error"]


async def close_gracefully(
    session: Session, sender: Sender | None, stream: Stream, *, peer: str, timeout: float
) -> None:
    """Close a connection in good order. The stream is closed when this returns, and also when it raises.

    Args:
        session: refuses to send from now on.
        sender: is emptied first; None: everything was sent.
        stream: is closed, or aborted at the deadline.
        peer: its address, for the errors.
        timeout: seconds that all of it may take.

    Raises:
        DeadlineError: bytes were left unsent at the deadline.
        BrokenError: bytes were lost, and no `send` has raised it yet.

    Cancellation: what the system does not take at once is lost; the stream is aborted.
    """
    was_raised = session.refusal is not None
    session.refuse(closed_error(peer), is_final=True)
    deadline = stream.engine.deadline(timeout)
    try:
        if sender is not None:
            await sender.wait_empty(deadline=deadline)
    except DeadlineError:
        stream.abort()
        raise unsent_error(peer, session.outgoing_size, timeout) from None
    except BaseException:
        stream.abort()
        raise
    await stream.finish(deadline=deadline)
    if sender is not None and not was_raised:
        sender.check()


def unsent_error(peer: object, size: int, timeout: float) -> DeadlineError:
    """Return the error of a close whose peer did not take everything in time."""
    return DeadlineError(
        f"closing the connection with {peer}: {size} bytes were left unsent, because it did not take them within "
        f"{timeout:g} s (close_timeout)"
    )
