"""Observers for long-running programs: the standard library's logging here, metrics for Prometheus in `metrics`.

They log no data, and escape control characters of peers and names. `combine` makes one observer of several.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import socketkit.events as events
from socketkit.events import Event, combine

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

EPISODE_SECONDS: Final = 10.0
"""`Refused` and `DatagramDropped` are logged once an episode of this length at one address, then counted."""

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
        self._clock = clock
        self._episodes: dict[tuple[type[Event], str], _Episode] = {}

    def __call__(self, event: Event) -> None:
        """Log one event."""
        kind = type(event)
        if self._episodes:
            self._end_episodes(event)
        level = self._levels.get(kind, logging.DEBUG)
        if isinstance(event, events.Closed) and event.error is not None and kind not in self._own:
            level = logging.WARNING
        elif isinstance(event, events.Refused | events.DatagramDropped) and self._is_in_episode(event):
            level = min(level, logging.DEBUG)
        if not self._logger.isEnabledFor(level):
            return
        error = event.error if isinstance(event, events.HandlerFailed) else None
        self._logger.log(level, "%s", _line(event), exc_info=error, extra={"event": event})

    def _is_in_episode(self, event: events.Refused | events.DatagramDropped) -> bool:
        """Count an event; whether its episode has been logged."""
        episode = self._episodes.get((type(event), event.local))
        if episode is None:
            self._episodes[type(event), event.local] = _Episode(self._clock())
            return False
        episode.count += 1
        episode.last = event
        return True

    def _end_episodes(self, event: Event) -> None:
        """Log the counts of episodes that are over: after their time, or when their address stops listening."""
        now = self._clock()
        stopped = event.local if isinstance(event, events.StoppedListening) else None
        for key, episode in list(self._episodes.items()):
            if now - episode.began < EPISODE_SECONDS and key[1] != stopped:
                continue
            # Another thread may have ended it meanwhile.
            if self._episodes.pop(key, None) is not None and episode.last is not None:
                kind, local = key
                text = f"{kind.__name__} local={_safe(local)} more={episode.count} seconds={now - episode.began:.0f}"
                level = self._levels.get(kind, logging.DEBUG)
                self._logger.log(level, "%s", text, extra={"event": episode.last})


class _Episode:
    """Events of one kind at one address: since when, how many were not logged at their level, and the last of them."""

    __slots__ = ("began", "count", "last")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.last: Event | None = None


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
