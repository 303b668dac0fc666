"""Observers for a program that runs for long: the standard library's logging, and metrics for Prometheus.

Both take events and nothing else, show no data, and escape what a peer or a name could have smuggled into a line.
`combine` makes one observer of several.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import socketkit.events as events
from socketkit.events import Event, combine

__all__ = ["LEVELS", "LoggingObserver", "combine"]

LEVELS: Final[Mapping[type[Event], int]] = {
    events.Listening: logging.INFO,
    events.StoppedListening: logging.INFO,
    events.Accepted: logging.INFO,
    events.Connected: logging.INFO,
    events.Proxied: logging.INFO,
    events.Closed: logging.INFO,
    events.WorkerStarted: logging.INFO,
    events.Refused: logging.WARNING,
    events.FrameSkipped: logging.WARNING,
    events.AcceptPaused: logging.WARNING,
    events.AcceptResumed: logging.WARNING,
    events.WorkerEnded: logging.WARNING,
    events.HandlerFailed: logging.ERROR,
}
"""The level of each kind of event; of all others DEBUG. A `Closed` with an error is a WARNING."""

_SIZES: Final = ("data",)
"""Fields that hold what peers say: their size is told, for no secret belongs in a log."""


class LoggingObserver:
    """Tells events to a logger, a record each; the event itself is the record's attribute `event`.

    Args:
        logger: a logger or its name; None: `socketkit`.
        levels: of kinds of events, where they are to be other than `LEVELS`.
    """

    wants_data = False

    def __init__(
        self, logger: logging.Logger | str | None = None, *, levels: Mapping[type[Event], int] | None = None
    ) -> None:
        self._logger = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger or "socketkit")
        self._levels = {**LEVELS, **(levels or {})}
        self._own = set(levels or ())

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        kind = type(event)
        level = self._levels.get(kind, logging.DEBUG)
        if isinstance(event, events.Closed) and event.error is not None and kind not in self._own:
            level = logging.WARNING
        if not self._logger.isEnabledFor(level):
            return
        error = event.error if isinstance(event, events.HandlerFailed) else None
        self._logger.log(level, "%s", _line(event), exc_info=error, extra={"event": event})


def _line(event: Event) -> str:
    """`Accepted connection=3 local=tcp://127.0.0.1:5000 peer=tcp://127.0.0.1:40022`."""
    parts = [type(event).__name__]
    for name in type(event).fields:
        value = getattr(event, name)
        if name in _SIZES:
            parts.append(f"size={len(value)}")
        elif isinstance(value, BaseException):
            parts.append(f"{name}={_safe(f'{type(value).__name__}: {value}')!r}")
        elif value is not None:
            parts.append(f"{name}={_safe(str(value))}")
    return " ".join(parts)


def _safe(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
