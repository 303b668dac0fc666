"""`-v`: one line for each event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import socketkit.events as events
from socketkit.apps.relay.relay_events import RelayEnded, RelayStarted
from socketkit.cli.option_words import in_options
from socketkit.cli.output import excerpt, print_line
from socketkit.config.durations import format_duration
from socketkit.events import EpisodeEnd, Episodes, Event, TlsFacts

__all__ = ["Watch", "text_of"]


class Watch:
    """An observer that prints connections, data, ends and losses; with `-vv` also the steps before them.

    A crowd that is refused, or a flood of dropped datagrams, is one line, and a second one says after ten seconds how
    many more there were; with `-vv` each has its line.
    """

    def __init__(self, level: int, *, shows_data: bool = True) -> None:
        self.wants_data = shows_data
        tellers = _ALWAYS | _MORE if level > 1 else _ALWAYS
        hidden = () if shows_data else (events.Received, events.Sent)
        self._episodes = Episodes(time.monotonic) if level == 1 else None
        self._tellers = {kind: teller for kind, teller in tellers.items() if kind not in hidden}

    def __call__(self, event: Event) -> None:
        teller = self._tellers.get(type(event))
        if self._episodes is not None:
            for end in self._episodes.ended(event):
                print_line(in_options(_episode_ended(end)))
            if not self._episodes.is_new(event):
                return
        if teller is not None:
            line = teller(event)
            print_line(line if isinstance(event, (events.Received, events.Sent)) else in_options(line))


def _size(count: int) -> str:
    return f"{count} byte" + ("" if count == 1 else "s")


def _retrying(event: events.Retrying) -> str:
    why = f"{event.address} has ended" if event.error is None else str(event.error)
    return f"{why}; trying again in {format_duration(round(event.seconds, 3))}"


def _ended(status: int) -> str:
    return f"status {status}" if status >= 0 else f"signal {-status}"


def _closed(event: events.Closed) -> str:
    why = "" if event.error is None else f": {event.error}"
    counts = f"{_size(event.received_size)} received, {_size(event.sent_size)} sent"
    return f"[{event.connection}] closed, {counts}{why}"


def _client(event: events.Accepted | events.Refused) -> str:
    """The client's address; most clients of a UNIX socket have none, and the event has the listener's."""
    return event.peer if event.peer != event.local else "an unnamed client"


def _relay_ended(event: RelayEnded) -> str:
    way = f"{event.client} to {event.target}" if event.target is not None else event.client
    counts = f"{_size(event.received_size)} there, {_size(event.sent_size)} back"
    why = event.end if event.error is None else f"{event.end}: {event.error}"
    return f"[{event.connection}] relayed {way}, {counts}, {format_duration(round(event.seconds, 3))}, {why}"


def _episode_ended(end: EpisodeEnd) -> str:
    what = "client" if isinstance(end.last, events.Refused) else "datagram"
    done = "reset" if what == "client" else "dropped"
    noun = f"{what} was" if end.count == 1 else f"{what}s were"
    last = _ALWAYS[type(end.last)](end.last).removeprefix(f"{end.local}: ")
    return f"{end.local}: {end.count} more {noun} {done} in {end.seconds:.0f} s; the last: {last}"


def _upgrade(event: events.Upgraded) -> str:
    parts = [f"WebSocket at {event.path}{'?' if event.query else ''}{event.query}"]
    parts += [] if event.subprotocol is None else [f"subprotocol {event.subprotocol}"]
    parts += ["compressed"] if event.compression else []
    return f"{', '.join(parts)}, after {event.seconds * 1000:.1f} ms"


def _agreement(facts: TlsFacts) -> str:
    parts = [facts.version, facts.cipher]
    if facts.alpn is not None:
        parts.append(f"ALPN {facts.alpn}")
    if facts.is_resumed:
        parts.append("resumed")
    if facts.peer_pin is not None:
        parts.append(f"peer {facts.peer_subject or '(no name)'}, until {facts.peer_expiry}, pin {facts.peer_pin}")
    return ", ".join(parts)


_ALWAYS: Final[dict[type[Event], Callable[[Any], str]]] = {
    events.Retrying: _retrying,
    events.Connected: lambda event: f"[{event.connection}] connected to {event.peer} from {event.local}",
    events.Accepted: lambda event: f"[{event.connection}] connection from {_client(event)} at {event.local}",
    events.Secured: lambda event: f"[{event.connection}] {_agreement(event.facts)}",
    events.Upgraded: lambda event: f"[{event.connection}] {_upgrade(event)}",
    events.Received: lambda event: f"[{event.connection}] received {_size(len(event.data))} {excerpt(event.data)}",
    events.Sent: lambda event: f"[{event.connection}] sent {_size(len(event.data))} {excerpt(event.data)}",
    events.FrameSkipped: lambda event: f"[{event.connection}] {event.error}",
    events.EndReceived: lambda event: f"[{event.connection}] the peer has ended",
    events.EndSent: lambda event: f"[{event.connection}] we have ended",
    events.DatagramDropped: lambda event: f"dropped {_size(event.size)} from {event.peer}: {event.reason}",
    events.DatagramsOverflowed: lambda event: (
        f"{event.local}: the kernel dropped {event.count} datagrams, as the receive buffer was full (receive_buffer)"
    ),
    events.HandlerFailed: lambda event: f"[{event.connection}] its handler failed: {event.error!r}",
    events.Closed: _closed,
    RelayStarted: lambda event: (
        f"[{event.connection}] relaying {event.client} to {event.target}, which is [{event.upstream}]"
    ),
    RelayEnded: _relay_ended,
    events.Refused: lambda event: f"{event.local}: {_client(event)} was reset: {event.reason}",
    events.Proxied: lambda event: f"[{event.connection}] {event.proxy} speaks for {event.peer}",
    events.ReachableAgain: lambda event: f"{event.address} is reachable again, after {event.seconds:.1f} s",
    events.WorkerEnded: lambda event: f"worker {event.worker} (process {event.pid}) has ended: {_ended(event.status)}",
    events.AcceptFailed: lambda event: f"{event.local}: accepting has failed: {event.error}",
    events.AcceptPaused: lambda event: f"{event.local}: accepting is paused: {event.error}",
    events.AcceptResumed: lambda event: f"{event.local}: accepting again, after {event.seconds:.1f} s",
}

_MORE: Final[dict[type[Event], Callable[[Any], str]]] = {
    events.Resolved: lambda event: f"{event.address} stands for {', '.join(event.candidates)}",
    events.Connecting: lambda event: f"trying {event.candidate}",
    events.Failed: lambda event: f"{event.candidate}: {event.error}",
    events.Bound: lambda event: f"bound to {event.local}",
    events.WorkerStarted: lambda event: f"worker {event.worker} is process {event.pid}",
    events.StoppedListening: lambda event: f"no longer listening {event.local}",
}


def text_of(event: Event) -> str:
    """The line for an event that `-v` shows."""
    return _ALWAYS[type(event)](event)
