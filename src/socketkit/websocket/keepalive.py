"""Pings of a WebSocket by the engine's timer: a peer that is silent while we wait for it is pinged, then is lost.

Nothing is recorded for a message: a timer compares how many bytes came. So a ping may be half of its interval late.
Where an engine has no timers, the stream's own receiver measures the silence (`stream`).
"""

from __future__ import annotations

import weakref
from typing import Protocol

from socketkit.engines.engine import Engine, Timer

__all__ = ["Keepalive", "Watched"]


class Watched(Protocol):
    """What is watched: `stream.WebSocketStream`."""

    engine: Engine

    @property
    def awaited_size(self) -> int | None:
        """Bytes that were received; None: no task waits for more."""

    def ping(self) -> bool:
        """Send a ping; False: none is sent any more."""

    def lose_silent(self, limit: float, /) -> None:
        """End receiving: the peer was silent for so many seconds after a ping."""


class Keepalive:
    """Watches one stream, and keeps it from being collected no longer than others do.

    Args:
        stream: is asked what came, pinged, and told that the peer is lost.
        interval: seconds of silence before a ping.
        timeout: seconds of silence after it; None: no limit.
    """

    __slots__ = ("__weakref__", "_interval", "_is_pinged", "_quiet", "_seen", "_since", "_stream", "_timeout", "_timer")

    def __init__(self, stream: Watched, interval: float, timeout: float | None) -> None:
        self._stream = weakref.ref(stream)
        self._interval = interval
        self._timeout = timeout
        self._seen: int | None = 0
        self._quiet = 0.0  # seconds in which nothing came, as far as that is certain
        self._since = stream.engine.now()
        self._is_pinged = False
        self._timer: Timer | None = stream.engine.call_at(self._since + interval, self._due)

    @property
    def is_active(self) -> bool:
        """Whether the engine has a timer for it."""
        return self._timer is not None

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        stream = self._stream()
        if stream is None or self._timer is None:
            return
        now = stream.engine.now()
        pause = self._look(stream, now - self._since)
        self._since = now
        self._timer = None if pause is None else stream.engine.call_at(now + pause, self._due)

    def _look(self, stream: Watched, elapsed: float) -> float | None:
        """Return the seconds until the next look; None: the peer is lost."""
        count = stream.awaited_size
        if count is None or count != self._seen:  # nothing is awaited, or something came
            self._seen, self._quiet, self._is_pinged = count, 0.0, False
            return self._interval / 2
        self._quiet += elapsed
        if self._is_pinged:
            limit = self._timeout
            if limit is not None and self._quiet >= limit:
                stream.lose_silent(limit)
                return None
        elif self._quiet >= self._interval:
            self._quiet, limit = 0.0, self._timeout
            self._is_pinged = stream.ping()
        else:
            limit = self._interval
        pause = self._interval / 2
        return pause if limit is None else min(pause, limit - self._quiet)
