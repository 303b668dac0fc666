"""The end event of a connection: its counts, its duration, and how it ended, in a word."""

from __future__ import annotations

from typing import Final

from socketkit.connection.internals import Internals
from socketkit.errors import (
    BrokenError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FramingError,
    HandshakeError,
    StreamError,
)
from socketkit.events import Closed
from socketkit.streams.stream import MessageStream

__all__ = ["closed_event"]

_REASONS: Final = (
    (HandshakeError, "handshake"),  # before BrokenError: a rejection by the peer is both
    (BrokenError, "lost"),
    (DeadlineError, "timeout"),
    (FramingError, "framing"),
    (ClosedError, "stopped"),
    (EndOfStream, "peer"),
    (StreamError, "lost"),
)
"""By the class of the error that ended a connection; any other error is the handler's own."""


def closed_event(internals: Internals, *, is_aborted: bool) -> Closed:
    """Return the end event of a connection that was just closed."""
    session, error, stream = internals.session, internals.cause, internals.stream
    code, text = (stream.close_code, stream.close_reason) if isinstance(stream, MessageStream) else (None, "")
    return Closed(
        internals.number,
        session.received_size,
        session.sent_size,
        error,
        internals.stream.local,
        internals.peer,
        max(0.0, internals.stream.engine.now() - internals.began),
        session.received_count,
        session.sent_count,
        _reason(internals, error, is_aborted),
        code,
        text,
    )


def _reason(internals: Internals, error: BaseException | None, is_aborted: bool) -> str:
    if error is not None:
        return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "failed")
    if is_aborted:
        return "aborted"
    return "peer" if internals.session.has_ended else "closed"
