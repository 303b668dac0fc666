"""Events: what happens to sockets, as frozen values. The library calls an observer with them, and logs nothing itself.

An observer is any callable that takes one event. It is called at once, in the same thread, and must neither block nor
raise. Without an observer events cost nothing. Logging, metrics, `-v` and `--explain` are observers. Each connection
has exactly one start event (`Connected` or `Accepted`) and one end event (`Closed`). Events carry no time: an observer
reads a clock where it needs one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from socketkit.errors import FrameTooLongError
from socketkit.values import Value

__all__ = [
    "AcceptFailed",
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
    "DatagramsOverflowed",
    "EndReceived",
    "EndSent",
    "Episodes",
    "Event",
    "Failed",
    "FrameSkipped",
    "HandlerFailed",
    "Listening",
    "Observer",
    "Proxied",
    "ReachableAgain",
    "Received",
    "Refused",
    "Resolved",
    "Retrying",
    "Secured",
    "SelfSigned",
    "Sent",
    "StoppedListening",
    "TlsFacts",
    "Unreachable",
    "Upgraded",
    "WorkerEnded",
    "WorkerStarted",
    "combine",
    "guarded",
    "wants_calls",
    "wants_data",
]


class Event(Value):
    """The base class of all events."""


class Resolved(Event):
    """An address was resolved to socket addresses, in the order in which they will be tried."""

    address: str
    candidates: tuple[str, ...]


class Connecting(Event):
    """One candidate is being tried."""

    address: str
    candidate: str


class Failed(Event):
    """A connection to one candidate could not be made."""

    address: str
    candidate: str
    error: BaseException


class Retrying(Event):
    """Connecting failed, or a connection was lost or has ended: it is tried again after a pause.

    Attributes:
        address: the address to connect to.
        error: the reason; None where a connection has ended without an error.
        count: the attempts in a row that have failed so far.
        seconds: the length of the pause.
    """

    address: str
    error: BaseException | None
    count: int
    seconds: float


class Unreachable(Event):
    """A loop over connections cannot connect. One event an episode: until `ReachableAgain`, or the end of the loop."""

    address: str
    error: BaseException


class ReachableAgain(Event):
    """A loop over connections has connected after an `Unreachable`: so many attempts had failed, in so many seconds."""

    address: str
    count: int
    seconds: float


class Connected(Event):
    """The start of a connection that was opened here. `connection` is a number, unique in this process."""

    connection: int
    local: str
    peer: str


class Secured(Event):
    """The TLS handshake is complete, and the peer verified as far as was asked for; the connection is encrypted now."""

    connection: int
    facts: TlsFacts


class Upgraded(Event):
    """A WebSocket was agreed on; the bytes of the connection are frames now.

    Attributes:
        path, query: which the client asked for.
        subprotocol: which was agreed on; None: none.
        compression: whether messages may be compressed.
        seconds: the handshake took so long, from the request on.
    """

    connection: int
    path: str
    query: str
    subprotocol: str | None
    compression: bool
    seconds: float


class SelfSigned(Event):
    """A server has made its own certificate; clients can trust it by the pin."""

    pin: str


class CertificatesReloaded(Event):
    """A server has read its certificates again. With an `error` it could not, and the old ones stay in use."""

    error: BaseException | None


class Bound(Event):
    """A socket has its address."""

    local: str


class Listening(Event):
    """Clients can connect. `local` is the real address, with the real port."""

    local: str
    backlog: int


class StoppedListening(Event):
    """Clients can no longer connect."""

    local: str


class Accepted(Event):
    """The start of a connection that was accepted."""

    connection: int
    local: str
    peer: str


class Refused(Event):
    """An accepted connection was reset before its handler began; it has neither a start nor an end event.

    `reason` names the limit, the list, or the failure.
    """

    local: str
    peer: str
    reason: str


class Proxied(Event):
    """The PROXY header of an accepted connection named this peer, which is connected through the proxy."""

    connection: int
    peer: str
    proxy: str


class AcceptFailed(Event):
    """Accepting at this address has failed for good. `Server.wait_closed` and `run` raise the error."""

    local: str
    error: BaseException


class AcceptPaused(Event):
    """A resource shortage (descriptors, memory) pauses accepting. One event an episode."""

    local: str
    error: BaseException


class AcceptResumed(Event):
    """The shortage is over; `seconds` is the time of all its pauses."""

    local: str
    seconds: float


class Received(Event):
    """Bytes were received, by one system call."""

    connection: int
    data: bytes


class Sent(Event):
    """Bytes were given to the system, by one call."""

    connection: int
    data: bytes


class FrameSkipped(Event):
    """A frame that was too long was skipped or cut, by the framing's `oversize`. The frames behind it are whole."""

    connection: int
    error: FrameTooLongError


class DatagramDropped(Event):
    """A datagram was received and dropped. `count` is the number of dropped ones at this address so far."""

    local: str
    peer: str
    size: int
    reason: str
    count: int


class DatagramsOverflowed(Event):
    """The kernel has dropped datagrams, because the receive buffer of a socket was full (`receive_buffer`).

    One event for each ten seconds in which it did. `count` is the number since the last such event, `total` all of this
    socket.
    """

    local: str
    count: int
    total: int


class EndReceived(Event):
    """The peer has sent the end of the stream. UDP and other datagrams without connections have none."""

    connection: int


class EndSent(Event):
    """The end of the stream was sent; the peer may go on sending."""

    connection: int


class HandlerFailed(Event):
    """A server's handler raised; its connection is being closed, the server goes on."""

    connection: int
    error: BaseException


class Closed(Event):
    """The end of a connection, with all that a line of an access log needs.

    Attributes:
        connection: its number, as in its start event.
        received_size, sent_size: its bytes.
        error: what ended it; None: a clean end.
        local, peer: its addresses; behind a proxy that sends PROXY headers, `peer` is the client.
        seconds: how long it was open.
        received_count, sent_count: its messages; 0 in a relay, which moves bytes.
        reason: how it ended, in a word: `peer` (the peer had ended its direction), `closed` (this end closed first),
            `aborted` (this end reset it), `lost` (a reset, a time-out of the network), `timeout` (a deadline, the idle
            timeout), `framing`, `handshake`, `stopped` (the server's grace was over), `failed` (the handler raised).
        close_code, close_reason: of a WebSocket, the peer's, else ours; None and empty without a close frame.
    """

    connection: int
    received_size: int
    sent_size: int
    error: BaseException | None
    local: str = ""
    peer: str = ""
    seconds: float = 0.0
    received_count: int = 0
    sent_count: int = 0
    reason: str = ""
    close_code: int | None = None
    close_reason: str = ""


class WorkerStarted(Event):
    """A worker process has begun; `worker` is its number, which its successor takes over."""

    worker: int
    pid: int


class WorkerEnded(Event):
    """A worker process has ended. `status` is negative after a signal. Another one follows, unless all have to stop."""

    worker: int
    pid: int
    status: int


class Called(Event):
    """A socket call with its real arguments and its real result; only for observers with `wants_calls = True`.

    Attributes:
        descriptor: of the socket; -1 where there was none yet.
        name: the call, by the name of its manual page.
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
    """Whether this observer gets `Received` and `Sent` where that costs a copy (in a relay); False with
    `wants_data = False`."""
    return observer is not None and bool(getattr(observer, "wants_data", True))


def combine(*observers: Observer | None) -> Observer | None:
    """One observer that calls each of `observers`, in order; None: there is none. One that raises stops no other."""
    present = [observer for observer in observers if observer is not None]
    if len(present) <= 1:
        return present[0] if present else None
    return _Several([_Guarded(observer) for observer in present])


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
    def __init__(self, observers: list[_Guarded]) -> None:
        self._observers = observers
        self.wants_calls = any(map(wants_calls, observers))
        self.wants_data = any(map(wants_data, observers))

    def __call__(self, event: Event) -> None:
        for observer in self._observers:
            if observer.wants_calls or not isinstance(event, Called):
                observer(event)


EPISODE_SECONDS: Final = 10.0
"""`Refused` and `DatagramDropped` are shown once an episode of this length at one address, then counted."""


class EpisodeEnd(Value):
    """The end of an episode: how many more events than the first there were, in how many seconds, and the last."""

    last: Event
    local: str
    count: int
    seconds: float


class Episodes:
    """Keeps a crowd that is refused, or a flood of dropped datagrams, from filling a log: counts events by kind and
    address. An observer calls `ended` with each event, then `is_new` with a `Refused` or `DatagramDropped`.

    Args:
        clock: seconds, of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[tuple[type[Event], str], _Episode] = {}

    def is_new(self, event: Event) -> bool:
        """Whether this event begins an episode, and is to be shown; else it is counted."""
        if not isinstance(event, Refused | DatagramDropped):
            return True
        episode = self._open.get((type(event), event.local))
        if episode is None:
            self._open[type(event), event.local] = _Episode(self._clock())
            return True
        episode.count += 1
        episode.last = event
        return False

    def ended(self, event: Event) -> list[EpisodeEnd]:
        """The episodes that are over at this event, with more than one event: after their time, or because their
        address stops listening."""
        if not self._open:
            return []
        now = self._clock()
        stopped = event.local if isinstance(event, StoppedListening) else None
        ends = []
        for key, episode in list(self._open.items()):
            if now - episode.began < EPISODE_SECONDS and key[1] != stopped:
                continue
            # Another thread may have ended it meanwhile.
            if self._open.pop(key, None) is not None and episode.last is not None:
                ends.append(EpisodeEnd(episode.last, key[1], episode.count, now - episode.began))
        return ends


class _Episode:
    """Events of one kind at one address: since when, how many were not shown, and the last of them."""

    __slots__ = ("began", "count", "last")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.last: Event | None = None


class TlsFacts(Value):
    """The result of a TLS handshake, and the certificate of the peer. Text of the peer is not escaped here.

    Attributes:
        version: `TLSv1.3`.
        cipher: by OpenSSL's name.
        alpn: the application protocol; None: none was negotiated.
        server_name: the name that the client asked for (SNI); None: it sent none.
        is_resumed: whether an earlier session was resumed, without certificates on the wire.
        peer_subject, peer_issuer: of the peer's certificate, as `CN=example.com, O=...`.
        peer_expiry: the end of its validity, as `2027-01-31 12:00:00Z`.
        peer_fingerprint: SHA-256 of the whole certificate, 64 hexadecimal digits.
        peer_pin: the value of `pin` that trusts this key.
        peer_alternative_names: its subjectAltName, as pairs that `ssl` makes too: `("DNS", "example.com")`, `("IP
            Address", "::1")`, `("email", ...)`, `("URI", ...)`.
        peer_certificate: the whole certificate in DER, for `ssl.DER_cert_to_PEM_cert` or `cryptography`.
            All fields of the peer are None where it sent no certificate; the alternative names are empty.
        peer_chain: the certificates that the peer sent, in DER, its own first, then its issuers. None is
            verified where the peer's certificate was not. Empty where it sent none.
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
    peer_alternative_names: tuple[tuple[str, str], ...] = ()
    peer_certificate: bytes | None = None
    peer_chain: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        whole = ("peer_certificate", "peer_chain")
        shown = [f"{name}={getattr(self, name)!r}" for name in type(self).fields if name not in whole]
        size = "None" if self.peer_certificate is None else f"<{len(self.peer_certificate)} bytes>"
        chain = f"<{len(self.peer_chain)} certificates>"
        return f"TlsFacts({', '.join(shown)}, peer_certificate={size}, peer_chain={chain})"
