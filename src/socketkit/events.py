"""What happens to a socket, as frozen values: the library tells an observer and logs nothing itself.

An observer is any callable that takes one event. It is called in the thread and the turn in which the thing happened,
costs nothing when there is none, and must neither block nor raise. Logging, counters, `-v` and `--explain` are
observers. For each connection there is exactly one start (`Connected` or `Accepted`) and one end (`Closed`).
Events carry no time: whoever wants one looks at a clock when it is called.
"""

from __future__ import annotations

from collections.abc import Callable

from socketkit.errors import FrameTooLongError
from socketkit.values import Value

__all__ = [
    "AcceptPaused",
    "AcceptResumed",
    "Accepted",
    "Bound",
    "Called",
    "CertificatesReloaded",
    "Closed",
    "Connected",
    "Connecting",
    "DatagramDropped",
    "EndReceived",
    "EndSent",
    "Event",
    "Failed",
    "FrameSkipped",
    "HandlerFailed",
    "Listening",
    "Observer",
    "Proxied",
    "Received",
    "Refused",
    "Resolved",
    "Retrying",
    "Secured",
    "SelfSigned",
    "Sent",
    "StoppedListening",
    "TlsFacts",
    "WorkerEnded",
    "WorkerStarted",
    "combine",
    "guarded",
    "wants_calls",
    "wants_data",
]


class Event(Value):
    """The root of all events."""


class Resolved(Event):
    """A name was turned into socket addresses, in the order in which they will be tried."""

    address: str
    candidates: tuple[str, ...]


class Connecting(Event):
    """One candidate is being tried."""

    address: str
    candidate: str


class Failed(Event):
    """One candidate was tried in vain."""

    address: str
    candidate: str
    error: BaseException


class Retrying(Event):
    """Nobody answered, or a connection was lost: it will be tried again, after a pause.

    Attributes:
        address: where.
        error: why; None where a conversation just ended.
        count: tries in a row that have failed so far.
        seconds: how long the pause is.
    """

    address: str
    error: BaseException | None
    count: int
    seconds: float


class Connected(Event):
    """The start of a connection that we opened. `connection` is a number, unique in this process."""

    connection: int
    local: str
    peer: str


class Secured(Event):
    """TLS was agreed on, and the peer is who it should be; what follows on this connection is encrypted."""

    connection: int
    facts: TlsFacts


class SelfSigned(Event):
    """A server has made its own certificate; clients that are given the pin can trust it."""

    pin: str


class CertificatesReloaded(Event):
    """A server has read its certificates anew; `error` says why not, and then the old ones stay."""

    error: BaseException | None


class Bound(Event):
    """A socket has its address."""

    local: str


class Listening(Event):
    """Callers can come. `local` is the real address, with the real port."""

    local: str
    backlog: int


class StoppedListening(Event):
    """Callers can come no more."""

    local: str


class Accepted(Event):
    """The start of a connection that came to us."""

    connection: int
    local: str
    peer: str


class Refused(Event):
    """A caller was reset at the door, before a conversation began: neither a start nor an end. `reason` is a limit, a
    list, or what failed when the conversation was to begin."""

    local: str
    peer: str
    reason: str


class Proxied(Event):
    """The peer of an accepted connection turned out to be a proxy, which speaks for this one (PROXY protocol)."""

    connection: int
    peer: str
    proxy: str


class AcceptPaused(Event):
    """The machine is out of something (descriptors, memory): accepting pauses. One event an episode."""

    local: str
    error: BaseException


class AcceptResumed(Event):
    """The episode is over; `seconds` is how long the pauses were in all."""

    local: str
    seconds: float


class Received(Event):
    """Bytes came: one system call's worth."""

    connection: int
    data: bytes


class Sent(Event):
    """Bytes were handed to the system: one call's worth."""

    connection: int
    data: bytes


class FrameSkipped(Event):
    """An over-long frame was skipped, or cut, as the framing was told to (`oversize`); what follows it is right."""

    connection: int
    error: FrameTooLongError


class DatagramDropped(Event):
    """A datagram came, and was dropped. `count` is how many that are at this address so far."""

    local: str
    peer: str
    size: int
    reason: str
    count: int


class EndReceived(Event):
    """The peer has said its last word."""

    connection: int


class EndSent(Event):
    """We have said our last word; the peer may go on."""

    connection: int


class HandlerFailed(Event):
    """A server's handler raised; its connection is being closed, the server goes on."""

    connection: int
    error: BaseException


class Closed(Event):
    """The end of a connection: bytes in and out, and what ended it (None: a clean end)."""

    connection: int
    received_size: int
    sent_size: int
    error: BaseException | None


class WorkerStarted(Event):
    """A worker process has begun, in the place of this number."""

    worker: int
    pid: int


class WorkerEnded(Event):
    """A worker process has ended: its status, negative after a signal. Unless all are to stop, another one follows."""

    worker: int
    pid: int
    status: int


class Called(Event):
    """A socket call with its real arguments and its real result; only for observers with `wants_calls = True`.

    Attributes:
        descriptor: the socket it was made on; -1 where there was none yet.
        name: the call, as its manual page is called.
        arguments: as text, in C's words where it has some (`AF_INET`).
        result: as text: a descriptor, a count of bytes, an address, or the name of the error.
        data: the bytes that were sent or received, else empty.
    """

    descriptor: int
    name: str
    arguments: tuple[str, ...]
    result: str
    data: bytes = b""


Observer = Callable[[Event], None]


def wants_calls(observer: Observer | None) -> bool:
    """Whether this observer asked for `Called` events, which cost a wrapper around each socket."""
    return bool(getattr(observer, "wants_calls", False))


def wants_data(observer: Observer | None) -> bool:
    """Whether this observer is told bytes as they pass. One with `wants_data = False` is not, where telling them would
    mean to copy them (in a relay)."""
    return observer is not None and bool(getattr(observer, "wants_data", True))


def combine(*observers: Observer | None) -> Observer | None:
    """One observer that tells each of these, in order; None when there is none."""
    present = [observer for observer in observers if observer is not None]
    if len(present) <= 1:
        return present[0] if present else None
    return _Several(present)


def guarded(observer: Observer | None) -> Observer | None:
    """An observer that never raises: what this one raises is logged, once, and hurts neither a connection nor a server.
    None when there is none: an observer costs nothing then."""
    return observer if observer is None or isinstance(observer, _Guarded) else _Guarded(observer)


class _Guarded:
    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._has_failed = False
        self.wants_calls = wants_calls(observer)
        self.wants_data = wants_data(observer)

    def __call__(self, event: Event) -> None:
        try:
            self._observer(event)
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                import logging

                text = "the observer %r failed at %s; its later failures are not logged"
                logging.getLogger("socketkit").error(text, self._observer, type(event).__name__, exc_info=error)


class _Several:
    def __init__(self, observers: list[Observer]) -> None:
        self._observers = observers
        self.wants_calls = any(map(wants_calls, observers))
        self.wants_data = any(map(wants_data, observers))

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            if not isinstance(event, Called) or wants_calls(observer):
                observer(event)


class TlsFacts(Value):
    """What the two sides have agreed on, and who the peer says it is. What a peer wrote is not escaped here.

    Attributes:
        version: `TLSv1.3`.
        cipher: as OpenSSL calls it.
        alpn: the application protocol; None: none was agreed on.
        server_name: the name that the client asked for (SNI); None: it named none.
        is_resumed: whether an earlier session went on, without certificates on the wire.
        peer_subject, peer_issuer: whom the peer's certificate names, and who vouches, as `CN=example.com, O=...`.
        peer_expiry: the moment until which it is valid, as `2027-01-31 12:00:00Z`.
        peer_fingerprint: SHA-256 of the whole certificate, 64 hexadecimal digits.
        peer_pin: what `pin` takes to trust this very key.
            All of the peer are None where it showed no certificate.
    """

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    is_resumed: bool
    peer_subject: str | None = None
    peer_issuer: str | None = None
    peer_expiry: str | None = None
    peer_fingerprint: str | None = None
    peer_pin: str | None = None
