"""Count the datagrams that a socket loses, and report each episode once.

A flood may drop a million datagrams a second. Each drop of ours is an event, because observers count them. The log gets
one warning for each ten seconds in which datagrams were lost, and so do drops by the kernel, which come as a number.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from socketkit.config.time_limits import DROP_REPORT_INTERVAL
from socketkit.events import DatagramDropped, DatagramsOverflowed, Observer
from socketkit.sockets.kernel_drops import kernel_drops

__all__ = ["DropCounter"]


class DropCounter:
    """The drops at one socket.

    Args:
        sock: whose receive buffer may overflow.
        local: its address, as text.
        clock: the engine's.
        observer: receives the events; None: warnings go to the logger `socketkit`.

    Attributes:
        count: datagrams that were received and dropped.
    """

    def __init__(
        self, sock: socket.socket, local: str, clock: Callable[[], float], *, observer: Observer | None
    ) -> None:
        self.count = 0
        self._socket = sock
        self._local = local
        self._clock = clock
        self._observer = observer
        self._logged_at = float("-inf")
        self._kernel_count = 0  # the last that was read
        self._reported_count = 0
        self._reported_at = float("-inf")

    def add(self, peer: str, size: int, reason: str) -> None:
        """Count a datagram that was received and is dropped."""
        self.count += 1
        if self._observer is not None:
            self._observer(DatagramDropped(self._local, peer, size, reason, self.count))
        elif self._clock() - self._logged_at >= DROP_REPORT_INTERVAL:
            self._logged_at = self._clock()
            _warn(f"dropping datagrams at {self._local}: {reason} ({peer}); {self.count} so far")

    @property
    def kernel_count(self) -> int:
        """Datagrams that the kernel dropped because the receive buffer was full; 0 where it does not say."""
        self._kernel_count = max(self._kernel_count, kernel_drops(self._socket) or 0)
        return self._kernel_count

    def check_kernel(self, *, is_end: bool = False) -> None:
        """Report drops by the kernel, once an episode.

        Args:
            is_end: whether the socket is about to be closed, so that no later report can have the rest.
        """
        total = self.kernel_count
        now = self._clock()
        if total == self._reported_count or (now - self._reported_at < DROP_REPORT_INTERVAL and not is_end):
            return
        count, self._reported_count, self._reported_at = total - self._reported_count, total, now
        if self._observer is not None:
            self._observer(DatagramsOverflowed(self._local, count, total))
        else:
            _warn(
                f"the kernel dropped {count} datagrams at {self._local}, {total} in all: the receive buffer was full; "
                "receive_buffer makes it larger"
            )


def _warn(text: str) -> None:
    import logging

    logging.getLogger("socketkit").warning("%s", text)
