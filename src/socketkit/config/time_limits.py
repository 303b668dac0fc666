"""Every fixed time-out in seconds, named by what ends when it has passed. What users may choose is in `options`."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BULK_IDLE_TIMEOUT",
    "CANCEL_TIMEOUT",
    "CLEANUP_TIMEOUT",
    "COMMIT_TIMEOUT",
    "DATAGRAM_SESSION_TIMEOUT",
    "DROP_REPORT_INTERVAL",
    "FAREWELL_TIMEOUT",
    "FIRST_BYTES_TIMEOUT",
    "IDLE_TIME",
    "KILL_TIMEOUT",
    "LOCK_TIMEOUT",
    "METRICS_REQUEST_TIMEOUT",
    "NAME_CACHE_TIMEOUT",
    "NO_BUFFERS_TIMEOUT",
    "PASSWORD_TIMEOUT",
    "PLAIN_SESSION_TIMEOUT",
    "PROBE_CLOSE_TIMEOUT",
    "RELAY_DELIVERY_TIMEOUT",
    "TAKEOVER_TIMEOUT",
    "TLS_CLOSE_TIMEOUT",
    "UNFINISHED_LINE_TIMEOUT",
    "WORKER_KILL_TIMEOUT",
]

CANCEL_TIMEOUT: Final = 0.25
"""For cancelled handlers, tasks and threads to end, after the grace and at the end of an engine."""

CLEANUP_TIMEOUT: Final = 0.1
"""For the same, once more, before an engine of ours ends without them."""

IDLE_TIME: Final = 1.0
"""Without a byte; then a connection between two messages counts as idle, when its server stops."""

DATAGRAM_SESSION_TIMEOUT: Final = 60.0
"""Without a datagram; then a peer's session ends, unless `idle_timeout` says otherwise, as UDP has no close."""

PLAIN_SESSION_TIMEOUT: Final = 5.0
"""The same where each session has a thread, which a silent peer should not keep."""

NAME_CACHE_TIMEOUT: Final = 60.0
"""For a name that datagrams are sent to; then the next send resolves it again. A usual time to live in the DNS."""

DROP_REPORT_INTERVAL: Final = 10.0
"""Between two warnings of lost datagrams at one address; those in between are counted."""

WORKER_KILL_TIMEOUT: Final = 1.0
"""For a worker to end beyond the grace, and after a second signal; then it is killed."""

TAKEOVER_TIMEOUT: Final = 30.0
"""For each step of the other process in a takeover: a program that starts may be slow."""

TLS_CLOSE_TIMEOUT: Final = 5.0
"""For a closed TLS stream to send what it has taken; the default of `close_timeout`."""

RELAY_DELIVERY_TIMEOUT: Final = 5.0
"""For what a relay received before a loss to reach the other side; the default of `close_timeout`."""

BULK_IDLE_TIMEOUT: Final = 1.0
"""Without bytes; then a bulk transfer (splice) is over, and its pipe is released."""

NO_BUFFERS_TIMEOUT: Final = 10.0
"""Of ENOBUFS; then a datagram counts as lost. The queue of a device drains in milliseconds."""

KILL_TIMEOUT: Final = 1.0
"""For a child to end after its input was closed, before SIGTERM; and after that, before SIGKILL."""

LOCK_TIMEOUT: Final = 1.0
"""For the lock of a UNIX socket's folder. Servers hold it for microseconds; a program that holds it longer uses it for
something else, and does not keep a server from starting."""

METRICS_REQUEST_TIMEOUT: Final = 5.0
"""For the head of a request at the metrics endpoint."""

FAREWELL_TIMEOUT: Final = 2.0
"""For a chat's host to close after a guest has left."""

FIRST_BYTES_TIMEOUT: Final = 0.05
"""For a client of a chat to send first, as HTTP does; then it is greeted. A person does not notice it."""

PASSWORD_TIMEOUT: Final = 30.0
"""For a guest to give a chat's password."""

COMMIT_TIMEOUT: Final = 1.0
"""For a commit of a chat's store; then lines are shown without it. A busy disk takes tenths of a second."""

UNFINISHED_LINE_TIMEOUT: Final = 0.5
"""Without a byte; then text without a line end is a line of a chat. A program's next piece comes in milliseconds."""

PROBE_CLOSE_TIMEOUT: Final = 0.1
"""For a peer that `wait` has found to take our end of stream: closing on unread bytes would be a reset."""
