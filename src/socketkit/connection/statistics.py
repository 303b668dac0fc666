"""The counters of a connection, as a frozen value."""

from __future__ import annotations

from socketkit.values import Value

__all__ = ["ConnectionStatistics"]


class ConnectionStatistics(Value):
    """The counters of a connection.

    Attributes:
        received_size, sent_size: bytes that were received, and that the system has taken.
        received_count, sent_count: messages that were decoded, and that were sent.
        waiting_count: messages that were decoded and not received yet.
        unsent_size: bytes that were sent and that the system has not taken yet.
    """

    received_size: int
    sent_size: int
    received_count: int
    sent_count: int
    waiting_count: int
    unsent_size: int
