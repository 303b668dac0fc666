"""Send one message to many connections: it is encoded once, and none that is slow delays the others."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from typing import Any, Final, Literal, TypeAlias, get_args

from socketkit import _core
from socketkit.connection.connection import Connection
from socketkit.connection.internals import Internals
from socketkit.connection.sender import Sending
from socketkit.connection.sending_lock import SendingLock
from socketkit.errors import BrokenError, DeadlineError, OptionError, StreamError
from socketkit.framing.adapter import adapt
from socketkit.framing.codec import Framing
from socketkit.streams.stream import MessageStream

__all__ = ["Delivered", "Lock", "LockedConnection", "Slow", "broadcast"]

Lock: TypeAlias = "threading.Lock | SendingLock"
"""Held by a thread that sends."""

Slow = Literal["drop", "close", "wait"]
"""What becomes of a connection that is over its high-water mark."""

LOCK_TIMEOUT: Final = 0.02
"""Seconds that a thread of plain code waits for another one that sends to the same connection, where that one does not
wait for the peer."""


class Delivered(int):
    """How many connections took the message. It may be awaited: with `slow="wait"` until they all have space again."""

    _waits: tuple[Sending, ...] = ()

    def __await__(self) -> Generator[Any, None, int]:
        for wait in self._waits:
            try:
                yield from wait.__await__()
            except (StreamError, DeadlineError):
                pass  # it was lost meanwhile: its own handler gets the error
        return int(self)


class LockedConnection:
    """A connection to which several threads send: a connection of plain code."""

    _connection: Connection
    _lock: Lock


def broadcast(connections: Iterable[Connection | LockedConnection], message: Any, *, slow: Slow = "close") -> Delivered:
    """Send a message to many connections, encoded once for each framing; return how many took it.

    The message is queued by the call itself, in plain and in async code. A connection that was closed or lost takes
    nothing, and is no error: its own handler gets to know of it. In plain code no call waits for a peer (but with
    `slow="wait"`): what the system does not take now leaves with the next message to that connection.

    Args:
        connections: are read once; the caller may change the collection meanwhile.
        message: of the framing's type, as for `send`.
        slow: what becomes of a connection with more than `high_water` bytes unsent. "close": it is aborted, with a
            BrokenError that says why in its end event. "drop": it does not get this message. "wait": it gets the
            message; await the result, which waits until all have space again (in plain code the call itself waits).

    Returns:
        An int. Awaiting it returns the same int.

    Raises:
        FramingError, TypeError: the message cannot be framed; nothing was sent.
        OptionError: `slow` is no such word.

    Cancellation: of the await: nothing is taken back.
    """
    if slow not in get_args(Slow):
        raise OptionError(f"slow={slow!r}: allowed are {', '.join(get_args(Slow))}")
    targets = tuple(connections)
    done = _core.broadcast(targets, message)
    encoded = _Encoded(message)
    count, left = encoded.push(targets) if done is None else done
    waits: list[Sending] = []
    for target in left:
        count += _send(target, encoded, slow, waits)
    delivered = Delivered(count)
    if waits:
        delivered._waits = tuple(waits)
    return delivered


def _plain(target: Connection | LockedConnection) -> Connection:
    return target._connection if isinstance(target, LockedConnection) else target


class _Encoded:
    """The bytes of one message in each framing that was asked for."""

    def __init__(self, message: Any) -> None:
        self.message = message
        self._known: list[tuple[Framing, bytes]] = []
        self._shared: dict[Any, Any] = {}  # of protocols with messages of their own

    def push(self, targets: tuple[Connection | LockedConnection, ...]) -> tuple[int, list[Any]]:
        """Send it to those who take it now without more ado; return how many took it, and the others.

        Raises:
            FramingError, TypeError: it cannot be framed for one of them; nothing was sent.
        """
        alike: dict[int, tuple[bytes, list[Any]]] = {}  # those who get the same object
        for target in targets:
            data = self.bytes_for(_plain(target).internals)
            found = alike.get(id(data))
            if found is None:
                found = alike[id(data)] = data, []
            found[1].append(target)
        count = 0
        left: list[Any] = []
        for data, group in alike.values():
            taken, others = _core.push(tuple(group), data)
            count += taken
            left += others
        return count, left

    def bytes_for(self, internals: Internals) -> bytes:
        """Return the message's bytes on this connection.

        Raises:
            FramingError, TypeError: it cannot be framed so.
        """
        stream, framing = internals.stream, internals.framing
        if isinstance(stream, MessageStream):
            return stream.encode_shared(self.message, self._shared)
        for known, data in self._known:
            if known is framing or known == framing:
                return data
        data = adapt(framing.codec()).encode((self.message,))
        self._known.append((framing, data))
        return data


def _send(target: Connection | LockedConnection, encoded: _Encoded, slow: Slow, waits: list[Sending]) -> bool:
    """Send to one connection, unless it is slow, and then by policy; return whether it took the message."""
    connection = _plain(target)
    internals = connection.internals
    session = internals.session
    if session.is_refused:
        return False
    lock = target._lock if isinstance(target, LockedConnection) else None
    is_slow = session.outgoing_size >= internals.options.high_water
    if lock is not None and not is_slow:
        is_slow = not _acquired(lock, 0 if session.is_draining else LOCK_TIMEOUT)
        if not is_slow:
            try:
                internals.sender.offer(encoded.bytes_for(internals))
            finally:
                lock.release()
            return not session.is_refused
    if is_slow and slow == "drop":
        return False
    if is_slow and slow == "close":
        internals.set_cause(
            BrokenError(
                f"sending to {internals.peer}: {session.outgoing_size} bytes are unsent, at a high_water of "
                f"{internals.options.high_water}: it does not read what is sent to all, and was closed"
            )
        )
        connection.abort()
        return False
    try:
        if lock is not None:
            with lock:
                connection.send(encoded.message)
            return True
        if not session.sends_batches:
            sending = connection.send(encoded.message)
        else:
            sending = connection._send_encoded(encoded.bytes_for(internals))
        if is_slow:
            waits.append(sending)
    except (StreamError, DeadlineError):
        return False
    return True


def _acquired(lock: Lock, timeout: float) -> bool:
    return lock.acquire(blocking=False) if not timeout else lock.acquire(timeout=timeout)
