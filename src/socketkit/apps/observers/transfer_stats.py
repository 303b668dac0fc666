"""An observer that measures connections: seconds of each step, bytes in each direction, rates."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from socketkit.config.address import Address
from socketkit.events import (
    Accepted,
    Closed,
    Connected,
    Connecting,
    Event,
    Received,
    Resolved,
    Secured,
    Sent,
    TlsFacts,
    Upgraded,
)
from socketkit.values import Value, field

__all__ = ["Figures", "TransferStats", "WebSocketFigures"]


class WebSocketFigures(Value):
    """What a WebSocket's handshake agreed on, and how it was closed.

    Attributes:
        path: which the client asked for.
        subprotocol: which was agreed on; None: none.
        compression: whether messages may be compressed.
        handshake_seconds: from the request on.
        close_code, close_reason: the peer's, else ours; 1006 without a close frame, None while it is open.
    """

    path: str
    subprotocol: str | None
    compression: bool
    handshake_seconds: float
    close_code: int | None
    close_reason: str

    def as_text(self) -> str:
        """One line for a person."""
        parts = [f"WebSocket at {self.path}", f"{self.handshake_seconds * 1000:.1f} ms for the handshake"]
        parts += [f"subprotocol {self.subprotocol}" if self.subprotocol else "no subprotocol"]
        parts += ["compressed"] if self.compression else []
        parts += [] if self.close_code is None else [f"closed with {self.close_code} {self.close_reason}".rstrip()]
        return ", ".join(parts)


class Figures(Value):
    """One connection in figures. Seconds are None where there was no such step.

    Attributes:
        connection: its number.
        peer: its address.
        resolve_seconds: from the beginning to the addresses of the name; None for a number.
        connect_seconds: from there to the open connection, TLS included.
        first_byte_seconds: from there to the first byte of the peer.
        seconds: since the connection is open.
        received_size, sent_size: bytes.
        received_rate, sent_rate: bytes a second, over `seconds`.
        error: what ended it; None for a clean end, or none yet.
        tls: what the TLS handshake agreed on; None without TLS, and for a client of ours.
        websocket: what a WebSocket's handshake agreed on, and how it was closed; None where it is none.
    """

    connection: int
    peer: str
    resolve_seconds: float | None
    connect_seconds: float | None
    first_byte_seconds: float | None
    seconds: float
    received_size: int
    sent_size: int
    received_rate: float
    sent_rate: float
    error: str | None = field(None)
    tls: TlsFacts | None = field(None)
    websocket: WebSocketFigures | None = field(None)

    def as_facts(self) -> dict[str, Any]:
        """Name to value, for JSON, without `tls` and `websocket`; seconds to the microsecond, rates to the byte."""
        facts: dict[str, Any] = {}
        for name in type(self).fields:
            if name in ("tls", "websocket"):
                continue
            value = getattr(self, name)
            digits = 0 if name.endswith("rate") else 6
            facts[name] = round(value, digits) if isinstance(value, float) else value
        return facts

    def as_text(self) -> str:
        """One line for a person, without `tls` and `websocket`."""
        steps = ((self.resolve_seconds, "to resolve"), (self.connect_seconds, "to connect"))
        parts = [f"{seconds * 1000:.1f} ms {what}" for seconds, what in steps if seconds is not None]
        if self.first_byte_seconds is not None:
            parts.append(f"{self.first_byte_seconds * 1000:.1f} ms to the first byte")
        parts.append(f"{self.sent_size} bytes sent ({_rate(self.sent_rate)})")
        parts.append(f"{self.received_size} bytes received ({_rate(self.received_rate)})")
        parts.append(f"{self.seconds:.3f} s")
        return f"[{self.connection}] {self.peer}: {', '.join(parts)}" + (f": {self.error}" if self.error else "")


def _rate(rate: float) -> str:
    for factor, unit in ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "KB/s")):
        if rate >= factor:
            return f"{rate / factor:.1f} {unit}"
    return f"{rate:.0f} B/s"


class TransferStats:
    """An observer that keeps figures of open connections, and reports each at its end.

    Args:
        ended: called with the figures of a connection that has ended.
        clock: seconds, of a clock that never goes back.
    """

    def __init__(
        self, ended: Callable[[Figures], object] = lambda figures: None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ended = ended
        self._clock = clock
        self._began = clock()
        self._resolved: float | None = None
        self._tried: float | None = None
        self._transfers: dict[int, _Transfer] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Received | Sent):
            self._count(event)
        elif isinstance(event, Resolved):
            place = Address.parse(event.address)
            if place.host and not place.is_numeric_host:  # else there was nothing to look up
                self._resolved = self._clock()
        elif isinstance(event, Connecting):
            self._tried = self._tried or self._clock()
        elif isinstance(event, Connected | Accepted):
            self._begin(event)
        elif isinstance(event, Secured):
            if event.connection in self._transfers:
                self._transfers[event.connection].tls = event.facts
        elif isinstance(event, Upgraded):
            if event.connection in self._transfers:
                self._transfers[event.connection].upgrade = event
        elif isinstance(event, Closed):
            transfer = self._transfers.pop(event.connection, None)
            if transfer is not None:
                code = event.close_code
                transfer.close = 1006 if code is None else code, event.close_reason
                self._ended(transfer.figures(self._clock(), event.error))

    def figures(self) -> list[Figures]:
        """The figures of the open connections."""
        now = self._clock()
        return [transfer.figures(now, None) for transfer in self._transfers.values()]

    def _begin(self, event: Connected | Accepted) -> None:
        now = self._clock()
        resolve = connect = None
        if isinstance(event, Connected):
            resolve = None if self._resolved is None else self._resolved - self._began
            connect = None if self._tried is None else now - self._tried
        self._resolved = self._tried = None
        self._began = now  # of the next try, where connecting goes on after a loss
        self._transfers[event.connection] = _Transfer(event.connection, event.peer, now, resolve, connect)

    def _count(self, event: Received | Sent) -> None:
        transfer = self._transfers.get(event.connection)
        if transfer is None:
            return
        if isinstance(event, Sent):
            transfer.sent_size += len(event.data)
            return
        transfer.received_size += len(event.data)
        if transfer.first_byte is None:
            transfer.first_byte = self._clock() - transfer.began


class _Transfer:
    def __init__(self, number: int, peer: str, began: float, resolve: float | None, connect: float | None) -> None:
        self.number = number
        self.peer = peer
        self.began = began
        self.resolve = resolve
        self.connect = connect
        self.first_byte: float | None = None
        self.tls: TlsFacts | None = None
        self.upgrade: Upgraded | None = None
        self.close: tuple[int | None, str] = (None, "")
        self.received_size = self.sent_size = 0

    def figures(self, now: float, error: BaseException | None) -> Figures:
        seconds = now - self.began
        return Figures(
            connection=self.number,
            peer=self.peer,
            resolve_seconds=self.resolve,
            connect_seconds=self.connect,
            first_byte_seconds=self.first_byte,
            seconds=seconds,
            received_size=self.received_size,
            sent_size=self.sent_size,
            received_rate=self.received_size / seconds if seconds else 0.0,
            sent_rate=self.sent_size / seconds if seconds else 0.0,
            error=None if error is None else str(error),
            tls=self.tls,
            websocket=None if self.upgrade is None else _websocket_figures(self.upgrade, *self.close),
        )


def _websocket_figures(event: Upgraded, code: int | None, reason: str) -> WebSocketFigures:
    seconds = round(event.seconds, 6)
    return WebSocketFigures(event.path, event.subprotocol, event.compression, seconds, code, reason)
