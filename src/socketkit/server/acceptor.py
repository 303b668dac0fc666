"""Accept connections: one task at each listener, limits over all listeners, and what happens to refused peers.

An error of one peer is ignored, a resource shortage pauses accepting, any other error ends it. Accepting yields to the
conversations after a bounded number of connections.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from socketkit.config.backoff import Backoff
from socketkit.config.options import Options
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError
from socketkit.events import AcceptPaused, AcceptResumed, Observer, Refused
from socketkit.framing.codec import Framing
from socketkit.server.admission import UNCOUNTED, Admission, Entry, is_proxy
from socketkit.server.stream_listener import Incoming, StreamListener
from socketkit.sockets.accept_errors import is_peer_error, is_resource_shortage, shortage_backoff
from socketkit.streams.stream import Stream

__all__ = ["Acceptor", "Begin"]

TURN_CONNECTIONS: Final = 8
"""Connections that a listener accepts before the conversations have their turn."""

BURST_INTERVAL: Final = 0.1
"""Seconds between two connections that make a burst. Only in a burst a second accept(2) is tried without a wait; else
it would be a call that fails with EAGAIN. Longer than the turns of a busy loop: at a millisecond, a chat with turns of
30 ms accepted one connection a turn of the thousands that waited."""

LONGEST_PAUSE: Final = 15
"""Turns of a listener after which a second accept(2) is tried again, where the last ones have failed."""

Begin = Callable[[Stream, Options, Framing, Entry], bool]
"""Begins the conversation of an admitted connection; False where it cannot begin any more (a stop is under way)."""


class Acceptor:
    """Accepts at all listeners of one server.

    Args:
        engine: where it waits.
        options: `max_connections`, `overload` and `accept_rate`, which hold over all listeners.
        begin: begins the conversation of an admitted connection.
        observer: receives pauses and refusals.

    Attributes:
        changed: notified when a connection was admitted or has left, or a listener was closed.
        refused_count: connections that were reset before they were admitted.
    """

    def __init__(self, engine: Engine, options: Options, begin: Begin, *, observer: Observer | None = None) -> None:
        self._engine = engine
        self._admission = Admission(max_connections=options.max_connections, accept_rate=options.accept_rate)
        self._rejects = options.overload == "reject"
        self._begin = begin
        self._observer = observer
        self._lock = threading.Lock()  # where the engine blocks each listener has a thread
        self._paused_count = 0
        # Accepted connections whose conversation could not begin for a resource shortage: begun when it is over.
        self._deferred: dict[StreamListener, Incoming] = {}
        self.changed = Condition(engine)
        self.refused_count = 0

    @property
    def is_paused(self) -> bool:
        """Whether a resource shortage pauses accepting at a listener."""
        return self._paused_count > 0

    async def run(self, listener: StreamListener, options: Options, framing: Framing) -> None:
        """Accept one connection after the other, until the listener is closed or exhausted.

        Raises:
            OSError: the listener cannot be used any more, although it was not closed.
        """
        shortage = _Shortage(self, listener)
        burst = _Burst()
        try:
            while not listener.is_closed:
                await self.wait_admissible(listener)
                if not listener.is_closed and not self.has_deferred(listener):
                    await listener.wait_incoming()
                if listener.is_closed:
                    return  # closing it woke this task
                limit = burst.next_limit(self._engine.now())
                try:
                    self._accept_burst(listener, options, framing, limit)
                except BlockingIOError:
                    burst.found_no_more()  # or another process was faster
                except OSError as error:
                    if listener.is_closed or is_peer_error(error):
                        continue
                    if not is_resource_shortage(error):
                        raise
                    await self._pause(listener, shortage.next_pause(error))
                    continue
                burst.accepted(self._engine.now())
                shortage.end()
                if listener.is_exhausted:
                    return
        except Exception:
            if not listener.is_closed:  # else the error comes from the closed descriptor
                raise
        finally:
            shortage.end()
            self.abort_deferred(listener)

    def accept_pending(self, listener: StreamListener, options: Options, framing: Framing) -> None:
        """Accept what waits in the backlog, before the listener is closed: these peers have connected already."""
        with suppress(OSError):
            for _ in range(listener.pending()):
                self.accept_one(listener, options, framing)

    def _accept_burst(self, listener: StreamListener, options: Options, framing: Framing, limit: int) -> None:
        for _ in range(limit):
            if not self.accept_one(listener, options, framing):
                return

    def accept_one(self, listener: StreamListener, options: Options, framing: Framing) -> bool:
        """Accept one connection, and begin its conversation or refuse it. False: a limit forbids it now; the
        connection stays in the backlog.

        Raises:
            OSError: as `StreamListener.accept_nowait`; or the conversation could not begin for a resource shortage:
                the connection is kept, and the next call begins with it.
        """
        with self._lock:
            now = self._engine.now()
            overload = self._admission.overload(now)
            if overload is not None and not self._rejects:
                return False
            incoming = self._deferred.pop(listener, None) or listener.accept_nowait()
            key, reason = "", overload
            if reason is None:
                key, reason = self._judge(incoming, options)
            if reason is None:
                self._admission.enter(now)
        if reason is None:
            entry = UNCOUNTED if not key and options.accept_proxy is None else Entry(key)
            reason = self._try_to_begin(listener, incoming, options, framing, entry)
        if reason is not None:
            self._refuse(listener, incoming, reason)
        return True

    def has_deferred(self, listener: StreamListener) -> bool:
        """Whether an accepted connection waits for the end of a resource shortage."""
        return listener in self._deferred

    def abort_deferred(self, listener: StreamListener) -> None:
        """Reset the accepted connection that waits for the end of a resource shortage, if there is one."""
        incoming = self._deferred.pop(listener, None)
        if incoming is not None:
            incoming.abort()

    def _judge(self, incoming: Incoming, options: Options) -> tuple[str, str | None]:
        """Admit by the address that accept(2) returned. A proxy is admitted by its own address, its client by the
        address in the header, later."""
        if options.accept_proxy is not None:
            if is_proxy(incoming.host, options.accept_proxy):
                return "", None
            return "", "it is none of the proxies that may call (accept_proxy)"
        if options.allow is None and options.deny is None and options.max_per_peer is None:
            return "", None
        return self._admission.admit(incoming.host, options)

    def _try_to_begin(
        self, listener: StreamListener, incoming: Incoming, options: Options, framing: Framing, entry: Entry
    ) -> str | None:
        begun = False
        try:
            stream = incoming.open()
            begun = self._begin(stream, options, framing, entry)
        except RuntimeError as error:  # no thread could be started
            self._deferred[listener] = incoming
            raise OSError(errno.ENOMEM, str(error)) from None
        except OSError as error:
            if is_resource_shortage(error):
                self._deferred[listener] = incoming
            else:
                incoming.abort()
            raise
        except Exception as error:  # of a codec of the user's own, say
            return f"its conversation could not begin: {error!r}"
        finally:
            if not begun:
                self.leave(entry)
        if not begun:
            stream.close()
        return None

    def _refuse(self, listener: StreamListener, incoming: Incoming, reason: str) -> None:
        self.refused_count += 1
        event = None
        if self._observer is not None:  # before the socket is closed: it formats the name
            event = Refused(str(listener.address), incoming.peer, reason)
        incoming.abort()
        if event is not None and self._observer is not None:
            self._observer(event)

    # Admitted connections

    def admit_client(self, entry: Entry, host: str, options: Options) -> str | None:
        """Admit the client that a proxy has named; return the reason of a refusal, or None."""
        with self._lock:
            entry.key, reason = self._admission.admit(host, options)
        return reason

    def leave(self, entry: Entry) -> None:
        """An admitted connection has ended."""
        with self._lock:
            self._admission.leave(entry.key)
        self.changed.notify()

    # Waiting

    async def wait_admissible(
        self, listener: StreamListener, *, deadline: float | None = None, unless: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until the limits admit a connection, or the listener is closed: peers above a limit wait in the backlog.
        Returns at once with `overload=reject`.

        Args:
            deadline: DeadlineError then.
            unless: returns early when this is true; asked anew at each `changed`.
        """
        if self._rejects:
            return
        admission = self._admission
        if admission.is_full:
            await self.changed.wait_until(
                lambda: not admission.is_full or listener.is_closed or unless(), deadline=deadline
            )
        while (delay := admission.delay(self._engine.now())) > 0 and not listener.is_closed and not unless():
            if deadline is not None and self._engine.now() >= deadline:
                raise DeadlineError("no connection was admitted in time (accept_rate)")
            until = self._engine.now() + delay
            with suppress(DeadlineError):
                await self.changed.wait_until(
                    lambda: listener.is_closed or unless(), deadline=until if deadline is None else min(until, deadline)
                )

    async def _pause(self, listener: StreamListener, seconds: float) -> None:
        with suppress(DeadlineError):
            await self.changed.wait_until(lambda: listener.is_closed, deadline=self._engine.now() + seconds)

    def begin_shortage(self, listener: StreamListener, error: OSError) -> float:
        """Report the beginning of a shortage; return its moment."""
        self._paused_count += 1
        if self._observer is not None:
            self._observer(AcceptPaused(str(listener.address), error))
        return self._engine.now()

    def end_shortage(self, listener: StreamListener, began: float) -> None:
        """Report the end of a shortage."""
        self._paused_count -= 1
        if self._observer is not None:
            self._observer(AcceptResumed(str(listener.address), self._engine.now() - began))


class _Burst:
    """How many connections a listener tries to accept in one turn: twice as many as before, while they come close
    together. Where a second one was seldom there, it is seldom tried."""

    def __init__(self) -> None:
        self._limit = 1
        self._last = -BURST_INTERVAL
        self._pause = 0  # turns that take one connection, after a try that found no second one
        self._left = 0  # of them

    def next_limit(self, now: float) -> int:
        if now - self._last >= BURST_INTERVAL:
            self._limit = 1
        elif self._left > 0:
            self._left -= 1
        else:
            self._limit = min(2 * self._limit, TURN_CONNECTIONS)
        return self._limit

    def found_no_more(self) -> None:
        if self._limit > 1:
            self._pause = 2 * self._pause + 1 if self._limit == 2 else 0
            self._left = self._pause = min(self._pause, LONGEST_PAUSE)
        self._limit = 1

    def accepted(self, now: float) -> None:
        self._last = now


class _Shortage:
    """A resource shortage at one listener: each episode has one beginning and one end."""

    def __init__(self, acceptor: Acceptor, listener: StreamListener) -> None:
        self._acceptor = acceptor
        self._listener = listener
        self._backoff: Backoff | None = None
        self._began = 0.0

    def next_pause(self, error: OSError) -> float:
        """Seconds to wait before the next try."""
        if self._backoff is None:
            self._backoff = shortage_backoff()
            self._began = self._acceptor.begin_shortage(self._listener, error)
        return self._backoff.next()

    def end(self) -> None:
        """A connection was accepted again, or the listener was closed. Harmless where there was no shortage."""
        if self._backoff is not None:
            self._backoff = None
            self._acceptor.end_shortage(self._listener, self._began)
