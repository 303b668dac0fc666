"""Metrics for Prometheus: an observer that counts events, with Prometheus' names and units.

Labels are taken from short lists (a side, a limit, a kind of error), never from an address: the number of time series
does not grow with the peers. Needs `prometheus_client` (the extra `metrics`).

With PROMETHEUS_MULTIPROC_DIR set to an empty folder before this module is imported, each process counts in a file of
its own there, and `scrape_registry` sums over all of them: the workers of `run(workers=)`.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

import socketkit.events as events
from socketkit.errors import SocketkitError
from socketkit.events import Event

__all__ = ["FOLDER_VARIABLE", "REGISTRY", "PrometheusObserver", "scrape_registry"]

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads it when it is imported, and counts in files of that folder."""

LIMITS: Final = ("max_connections", "accept_rate", "max_per_peer", "deny", "allow", "accept_proxy")
DURATIONS: Final = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
"""Buckets of a connection's duration, in seconds: from a health check to an hour."""


class PrometheusObserver:
    """Counts connections, bytes, refused connections, dropped datagrams, failures and pauses.

    Args:
        registry: of prometheus_client; None: its global registry.
        namespace: begins the name of each metric.
    """

    wants_data = False

    def __init__(self, registry: CollectorRegistry | None = None, *, namespace: str = "socketkit") -> None:
        self._common: dict[str, Any] = {"registry": REGISTRY if registry is None else registry, "namespace": namespace}
        count, side = self._count, ["side"]
        self._active = self._gauge("connections_active", "Connections that are open now.", *side)
        self._durations = Histogram(
            "connection_duration_seconds",
            "How long connections were open.",
            side,
            buckets=DURATIONS,
            **self._common,
        )
        self._opened = count("connections_total", "Connections opened so far.", *side)
        self._received = count("received_bytes_total", "Bytes received.")
        self._sent = count("sent_bytes_total", "Bytes sent.")
        self._errors = count("connection_errors_total", "Connections that ended by an error.", "error")
        self._refused = count("refused_total", "Connections that were reset before a handler began.", "limit")
        self._pauses = count("accept_pauses_total", "Episodes of a resource shortage (descriptors, memory).")
        self._paused = self._gauge("accept_paused", "Listeners that a resource shortage pauses now.")
        self._accept_failures = count("accept_failures_total", "Listeners at which accepting failed for good.")
        self._failures = count("handler_failures_total", "Handlers that raised an error that was not the peer's.")
        self._attempts = count("connect_failures_total", "Addresses that could not be connected to.", "error")
        self._skipped = count("frames_skipped_total", "Frames that were too long, and were skipped or cut.")
        self._dropped = count("datagrams_dropped_total", "Datagrams that were received and dropped.")
        self._overflowed = count("datagrams_overflowed_total", "Datagrams that the kernel dropped: a full buffer.")
        self._workers = count("workers_ended_total", "Worker processes that ended.")
        self._open: dict[int, _Open] = {}
        self._counters: dict[type[Event], Any] = {
            events.Accepted: lambda event: self._begin(event, "accepted"),
            events.Connected: lambda event: self._begin(event, "connected"),
            events.Received: self._receive,
            events.Sent: self._send,
            events.Closed: self._end,
            events.Refused: lambda event: self._refused.labels(_limit_of(event.reason)).inc(),
            events.AcceptFailed: lambda event: self._accept_failures.inc(),
            events.AcceptPaused: self._pause,
            events.AcceptResumed: lambda event: self._paused.dec(),
            events.HandlerFailed: lambda event: self._failures.inc(),
            events.Failed: lambda event: self._attempts.labels(_kind_of(event.error)).inc(),
            events.DatagramDropped: lambda event: self._dropped.inc(),
            events.DatagramsOverflowed: lambda event: self._overflowed.inc(event.count),
            events.FrameSkipped: lambda event: self._skipped.inc(),
            events.WorkerEnded: self._end_worker,
        }

    def _count(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, **self._common)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, multiprocess_mode="livesum", **self._common)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        counter = self._counters.get(type(event))
        if counter is not None:
            counter(event)

    def _begin(self, event: Any, side: str) -> None:
        self._open[event.connection] = _Open(side)
        self._active.labels(side).inc()
        self._opened.labels(side).inc()

    def _receive(self, event: events.Received) -> None:
        self._received.inc(len(event.data))
        entry = self._open.get(event.connection)
        if entry is not None:
            entry.received_size += len(event.data)

    def _send(self, event: events.Sent) -> None:
        self._sent.inc(len(event.data))
        entry = self._open.get(event.connection)
        if entry is not None:
            entry.sent_size += len(event.data)

    def _end(self, event: events.Closed) -> None:
        if event.error is not None:
            self._errors.labels(_kind_of(event.error)).inc()
        entry = self._open.pop(event.connection, None)
        if entry is None:
            return
        # A relay shows its bytes only to observers that want data: the rest is counted here, at the end.
        self._received.inc(max(0, event.received_size - entry.received_size))
        self._sent.inc(max(0, event.sent_size - entry.sent_size))
        self._active.labels(entry.side).dec()
        self._durations.labels(entry.side).observe(time.monotonic() - entry.began)

    def _pause(self, event: events.AcceptPaused) -> None:
        self._pauses.inc()
        self._paused.inc()

    def _end_worker(self, event: events.WorkerEnded) -> None:
        """Count it, and remove its gauges from the sum: its connections ended without their end events."""
        self._workers.inc()
        if FOLDER_VARIABLE in os.environ:
            mark_process_dead(event.pid)  # type: ignore[no-untyped-call]


def scrape_registry() -> CollectorRegistry:
    """The registry that a scrape is answered from: all processes of PROMETHEUS_MULTIPROC_DIR where that is set, else
    the global registry, which is this process.

    Raises:
        ValueError: the variable does not name a folder.
    """
    if FOLDER_VARIABLE not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class _Open:
    """An open connection: since when, and the bytes of it that were counted."""

    __slots__ = ("began", "received_size", "sent_size", "side")

    def __init__(self, side: str) -> None:
        self.side = side
        self.began = time.monotonic()
        self.received_size = self.sent_size = 0


def _limit_of(reason: str) -> str:
    return next((limit for limit in LIMITS if limit in reason), "other")


def _kind_of(error: BaseException) -> str:
    """The class of an error of socketkit or of the system; all other classes are one kind."""
    return type(error).__name__ if isinstance(error, (SocketkitError, OSError)) else "other"
