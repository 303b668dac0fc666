"""Let callers in: one task at each door, limits over all doors, and what becomes of those who may not come in.

A caller's misfortune goes by, a shortage of the machine pauses, a fault of our own ends it. A crowd at the door never
keeps those who are inside from their turn.
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
from socketkit.server.admission import Admission, is_proxy
from socketkit.server.stream_listener import StreamListener
from socketkit.sockets.accept_errors import is_peer_error, is_resource_shortage, shortage_backoff
from socketkit.streams.stream import Stream

__all__ = ["Acceptor", "Guest"]

TURN_CALLERS: Final = 16
"""Callers that a door lets in before those who are inside have their turn."""

CROWD: Final = 0.001
"""Seconds between two callers that make a crowd: only then is a second one looked for without a wait. Else that would
be a call that can only fail."""

Guest = Callable[[Stream, Options, Framing, str], bool]
"""Begins a conversation over a stream, under a key to leave with; False where there will be none."""


class Acceptor:
    """All the doors of one server.

    Args:
        engine: where it waits.
        options: `max_connections`, `overload` and `accept_rate`, which hold over all doors.
        begin: begins the conversation of one who was let in.
        observer: is told of pauses and refusals.

    Attributes:
        changed: is told when somebody has come or gone, or a door was closed.
        refused_count: callers that were reset.
        is_paused: whether a shortage keeps callers out now.
    """

    def __init__(self, engine: Engine, options: Options, begin: Guest, *, observer: Observer | None = None) -> None:
        self._engine = engine
        self._admission = Admission(max_connections=options.max_connections, accept_rate=options.accept_rate)
        self._rejects = options.overload == "reject"
        self._begin = begin
        self._observer = observer
        self._lock = threading.Lock()  # where the engine blocks each door has a thread: one lets in at a time
        self._paused_count = 0
        self._deferred: dict[
            StreamListener, Stream
        ] = {}  # accepted, but something lacked for the conversation: begun when it can be
        self.changed = Condition(engine)
        self.refused_count = 0

    @property
    def is_paused(self) -> bool:
        """Whether a shortage keeps callers out at a door."""
        return self._paused_count > 0

    async def watch(self, door: StreamListener, options: Options, framing: Framing) -> None:
        """Let in one caller after the other, until the door is closed or spent.

        Raises:
            OSError: the door cannot be used any more, though nobody has closed it.
        """
        shortage = _Shortage(self, door)
        limit, before = 1, -CROWD
        try:
            while not door.is_closed:
                if not self._rejects:
                    await self._wait_place(door)
                if not door.is_closed and door not in self._deferred:
                    await door.wait_incoming()
                if door.is_closed:
                    return  # that is what woke us
                limit = min(2 * limit, TURN_CALLERS) if self._engine.now() - before < CROWD else 1
                try:
                    self._let_in_several(door, options, framing, limit)
                except BlockingIOError:
                    limit = 1  # no more, or another process was faster
                except OSError as error:
                    if door.is_closed or is_peer_error(error):
                        continue
                    if not is_resource_shortage(error):
                        raise
                    await self._pause(door, shortage.next_pause(error))
                    continue
                before = self._engine.now()
                shortage.end()
                if door.is_exhausted:
                    return
        except Exception:
            if not door.is_closed:  # else it is only the door that was closed under our hands
                raise
        finally:
            shortage.end()
            if (kept := self._deferred.pop(door, None)) is not None:
                kept.abort()

    def let_in_pending(self, door: StreamListener, options: Options, framing: Framing) -> None:
        """Before a door is closed for good: whoever waits behind it has come in time."""
        with suppress(OSError):
            for _ in range(door.pending()):
                self._let_in(door, options, framing)

    def _let_in_several(self, door: StreamListener, options: Options, framing: Framing, limit: int) -> None:
        for _ in range(limit):
            if not self._let_in(door, options, framing):
                return

    def _let_in(self, door: StreamListener, options: Options, framing: Framing) -> bool:
        """One caller. False: not now, because of a limit; he waits in the backlog.

        Raises:
            OSError: as `StreamListener.accept_nowait`; or the conversation could not be begun for want of something.
        """
        with self._lock:
            now = self._engine.now()
            overload = self._admission.overload(now)
            if overload is not None and not self._rejects:
                return False
            stream = self._deferred.pop(door, None) or door.accept_nowait()
            key, reason = "", overload
            if reason is None:
                key, reason = self._judge(stream, options)
            if reason is None:
                self._admission.enter(now)
        if reason is None:
            reason = self._try_to_begin(door, stream, options, framing, key)
        if reason is not None:
            self._refuse(door, stream, reason)
        return True

    def _judge(self, stream: Stream, options: Options) -> tuple[str, str | None]:
        """Where proxies call, they are judged by who they are, and the peer later, by what they say of him."""
        if options.accept_proxy is None:
            return self._admission.admit(stream.peer, options)
        known = is_proxy(stream.peer, options.accept_proxy)
        return "", None if known else "it is none of the proxies that may call (accept_proxy)"

    def _try_to_begin(
        self, door: StreamListener, stream: Stream, options: Options, framing: Framing, key: str
    ) -> str | None:
        begun = False
        try:
            begun = self._begin(stream, options, framing, key)
        except RuntimeError as error:  # no thread could be started
            self._deferred[door] = stream
            raise OSError(errno.ENOMEM, str(error)) from None
        except OSError as error:
            if is_resource_shortage(error):
                self._deferred[door] = stream
            else:
                stream.abort()
            raise
        except Exception as error:  # of a codec that one has made oneself, say
            return f"its conversation could not begin: {error!r}"
        finally:
            if not begun:
                self.leave(key)
        if not begun:
            stream.close()
        return None

    def _refuse(self, door: StreamListener, stream: Stream, reason: str) -> None:
        self.refused_count += 1
        stream.abort()
        if self._observer is not None:
            self._observer(Refused(str(door.address), stream.peer, reason))

    # --- who is in ---

    def admit(self, peer: str, options: Options) -> tuple[str, str | None]:
        """Judge one who is in already, by the address that was learnt since; as `Admission.admit`."""
        with self._lock:
            return self._admission.admit(peer, options)

    def leave(self, key: str) -> None:
        """Somebody has gone."""
        with self._lock:
            self._admission.leave(key)
        self.changed.notify()

    # --- waiting ---

    async def _wait_place(self, door: StreamListener) -> None:
        """Callers beyond the limit wait in the backlog, not in memory."""
        admission = self._admission
        if admission.is_full:
            await self.changed.wait_until(lambda: not admission.is_full or door.is_closed)
        while (delay := admission.delay(self._engine.now())) > 0 and not door.is_closed:
            await self._pause(door, delay)

    async def _pause(self, door: StreamListener, seconds: float) -> None:
        with suppress(DeadlineError):
            await self.changed.wait_until(lambda: door.is_closed, deadline=self._engine.now() + seconds)

    def begin_shortage(self, door: StreamListener, error: OSError) -> float:
        """It begins, at this moment."""
        self._paused_count += 1
        if self._observer is not None:
            self._observer(AcceptPaused(str(door.address), error))
        return self._engine.now()

    def end_shortage(self, door: StreamListener, began: float) -> None:
        """It is over."""
        self._paused_count -= 1
        if self._observer is not None:
            self._observer(AcceptResumed(str(door.address), self._engine.now() - began))


class _Shortage:
    """What the machine is out of, at one door: an episode has one beginning and one end."""

    def __init__(self, entrance: Acceptor, door: StreamListener) -> None:
        self._entrance = entrance
        self._door = door
        self._backoff: Backoff | None = None
        self._began = 0.0

    def next_pause(self, error: OSError) -> float:
        """Seconds to wait before the next look."""
        if self._backoff is None:
            self._backoff = shortage_backoff()
            self._began = self._entrance.begin_shortage(self._door, error)
        return self._backoff.next()

    def end(self) -> None:
        """Somebody could be let in again, or the door was closed. Harmless where there was no shortage."""
        if self._backoff is not None:
            self._backoff = None
            self._entrance.end_shortage(self._door, self._began)
