"""The verbs of `Datagrams` without `await`, for plain code."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from socket import socket as Socket  # noqa: N812 - a property has its name
from types import TracebackType
from typing import Generic

from socketkit.config.address import Address
from socketkit.datagrams.datagrams import Datagrams, DatagramsStatistics
from socketkit.engines.engine import run_to_end
from socketkit.framing.codec import M

__all__ = ["BlockingDatagrams"]


class BlockingDatagrams(Generic[M]):
    """Bound datagram sockets, without sessions: every verb returns when it is done, and raises as in `Datagrams`.

    Concurrency: many threads may send, one at a time receives; one may send while another receives.
    """

    def __init__(self, datagrams: Datagrams[M]) -> None:
        self._datagrams = datagrams
        self._lock = threading.Lock()  # one thread at a time waits for space

    def receive_from(self, *, timeout: float | str | None = None) -> tuple[M, Address]:
        """Return the next message and the address of its sender, as `Datagrams.receive_from`."""
        return run_to_end(self._datagrams.receive_from(timeout=timeout))

    def receive_many_from(self, *, timeout: float | str | None = None) -> list[tuple[M, Address]]:
        """Return every message that is there, with its sender, as `Datagrams.receive_many_from`."""
        return run_to_end(self._datagrams.receive_many_from(timeout=timeout))

    def __iter__(self) -> Iterator[tuple[M, Address]]:
        """The pairs as they come; an iteration has no end, since datagrams have none."""
        while True:
            yield self.receive_from()

    def send_to(self, message: M, address: str | Address, *, timeout: float | str | None = None) -> None:
        """Send one message as one datagram, as `Datagrams.send_to`; when this returns, the system has it."""
        with self._lock:
            run_to_end(self._datagrams.send_to(message, address, timeout=timeout))

    def send_many_to(self, messages: Iterable[tuple[M, str | Address]], *, timeout: float | str | None = None) -> None:
        """Send many messages, each as one datagram to its address, as `Datagrams.send_many_to`."""
        with self._lock:
            run_to_end(self._datagrams.send_many_to(messages, timeout=timeout))

    @property
    def local(self) -> Address:
        """Our address, with the port that the system has chosen; the first, where a name stands for several."""
        return self._datagrams.local

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every address that is open: `udp://` and a name may stand for one of each family, on one port."""
        return self._datagrams.addresses

    @property
    def socket(self) -> Socket:
        """The real socket at `local`, for its options."""
        return self._datagrams.socket

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """The real sockets, in the order of `addresses`."""
        return self._datagrams.sockets

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._datagrams.is_closed

    def statistics(self) -> DatagramsStatistics:
        """The counts now."""
        return self._datagrams.statistics()

    def close(self) -> None:
        """Close the sockets; a thread that waits here gets `ClosedError`. Harmless twice, and from any thread."""
        run_to_end(self._datagrams.close())

    def __enter__(self) -> BlockingDatagrams[M]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Blocking{repr(self._datagrams)[1:]}"
