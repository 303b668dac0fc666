"""Observers for long-running programs: the standard library's logging here, metrics for Prometheus in `metrics`.

They log no data, and escape control characters of peers and names. `combine` makes one observer of several.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import socketkit.events as events
from socketkit.events import EPISODE_SECONDS, Episodes, Event, combine

__all__ = ["EPISODE_SECONDS", "LEVELS", "LoggingObserver", "combine"]

LEVELS: Final[Mapping[type[Event], int]] = {
    events.Listening: logging.INFO,
    events.StoppedListening: logging.INFO,
    events.Accepted: logging.INFO,
    events.Connected: logging.INFO,
    events.Proxied: logging.INFO,
    events.Closed: logging.INFO,
    events.WorkerStarted: logging.INFO,
    events.Unreachable: logging.WARNING,
    events.ReachableAgain: logging.WARNING,
    events.Refused: logging.WARNING,
    events.DatagramDropped: logging.WARNING,
    events.DatagramsOverflowed: logging.WARNING,
    events.FrameSkipped: logging.WARNING,
    events.AcceptPaused: logging.WARNING,
    events.AcceptResumed: logging.WARNING,
    events.WorkerEnded: logging.WARNING,
    events.HandlerFailed: logging.ERROR,
    events.AcceptFailed: logging.ERROR,
}
"""The level of each kind of event; DEBUG for all others. A `Closed` with an error is a WARNING."""

_SIZES: Final = ("data",)
"""Fields that hold data of peers: their size is logged, because no secret belongs in a log."""


class LoggingObserver:
    """Logs each event as a record; the event itself is the record's attribute `event`.

    A crowd that is refused, or a flood of dropped datagrams, cannot fill the log. The first `Refused` or
    `DatagramDropped` at an address is logged at its level. Those of the next ten seconds are logged at DEBUG and
    counted. One record then says how many there were; it is written at the first event after the ten seconds.

    Args:
        logger: a logger or its name; None: `socketkit`.
        levels: of kinds of events, where they differ from `LEVELS`.
        clock: seconds, of a clock that never goes back.
    """

    wants_data = False

    def __init__(
        self,
        logger: logging.Logger | str | None = None,
        *,
        levels: Mapping[type[Event], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger or "socketkit")
        self._levels = {**LEVELS, **(levels or {})}
        self._own = set(levels or ())
        self._episodes = Episodes(clock)

    def __call__(self, event: Event) -> None:
        """Log one event."""
        kind = type(event)
        for end in self._episodes.ended(event):
            ended = type(end.last)
            text = f"{ended.__name__} local={_safe(end.local)} more={end.count} seconds={end.seconds:.0f}"
            self._logger.log(self._levels.get(ended, logging.DEBUG), "%s", text, extra={"event": end.last})
        level = self._levels.get(kind, logging.DEBUG)
        if isinstance(event, events.Closed) and event.error is not None and kind not in self._own:
            level = logging.WARNING
        elif not self._episodes.is_new(event):
            level = min(level, logging.DEBUG)
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
