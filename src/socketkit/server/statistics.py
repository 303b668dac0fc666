"""The counts of a server, as one frozen value."""

from __future__ import annotations

from socketkit.values import Value

__all__ = ["ServerStatistics"]


class ServerStatistics(Value):
    """The counts of a server.

    Attributes:
        active_count: connections now.
        accepted_count: connections so far.
        refused_count: peers that were reset by a limit or a list, before they were admitted.
        handshake_failed_count: connections that failed before the first message (a PROXY header, TLS), or in STARTTLS.
        failed_count: handlers that raised an error that neither the peer nor the network had caused.
        received_size, sent_size: bytes of all connections so far.
        is_paused: whether a resource shortage pauses accepting now.
        dropped_count: datagrams that were received and dropped so far.
        kernel_dropped_count: datagrams that the kernel dropped so far, because a receive buffer was full (Linux).
    """

    active_count: int
    accepted_count: int
    refused_count: int
    handshake_failed_count: int
    failed_count: int
    received_size: int
    sent_size: int
    is_paused: bool
    dropped_count: int = 0
    kernel_dropped_count: int = 0

    @property
    def unwelcome_count(self) -> int:
        """The former name of `handshake_failed_count`."""
        return self.handshake_failed_count
