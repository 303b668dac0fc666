"""Dial: from an address to a connected stream. The one place that knows how each scheme is opened.

A name that stands for several socket addresses is tried at each, within one time for all.
"""

from __future__ import annotations

import errno
import socket

from socketkit.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import Attempt, ConnectError, DeadlineError
from socketkit.events import Connecting, Failed, Observer
from socketkit.options import Options
from socketkit.resolve import Candidate, resolve
from socketkit.streams.sockets import SocketStream, connect_socket, new_socket, reason_of, wrap
from socketkit.streams.stream import Stream

__all__ = ["open_stream"]

_HINTS = {
    errno.ECONNREFUSED: "nobody listens there",
    errno.ENOENT: "there is no such file",
    errno.EACCES: "we have no right to",
    errno.EPROTOTYPE: "the file is a socket of another kind",
}


async def open_stream(
    engine: Engine, address: Address, options: Options, *, observer: Observer | None = None
) -> Stream:
    """Connect, trying each candidate in turn, within `connect_timeout` over all.

    Raises:
        ResolveError: the name is unknown.
        ConnectError: nobody answered at any candidate; `attempts` says what came of each.
        DeadlineError: the time was over.

    Cancellation: every descriptor that was opened is closed.
    """
    deadline = engine.deadline(options.connect_timeout)
    candidates = await resolve(engine, address, deadline=deadline, observer=observer)
    attempts: list[Attempt] = []
    for position, candidate in enumerate(candidates):
        if observer is not None:
            observer(Connecting(str(address), str(candidate)))
        try:
            share = _share(engine, deadline, len(candidates) - position)
            return await _try(engine, candidate, options, observer, share)
        except (OSError, DeadlineError) as error:
            if observer is not None:
                observer(Failed(str(address), str(candidate), error))
            attempts.append(_attempt(candidate, error))
            is_late = isinstance(error, DeadlineError)
    if is_late:  # the last one had all the time that was left
        told = "; ".join(map(str, attempts))
        raise DeadlineError(
            f"cannot connect to {address}: no answer within {options.connect_timeout:g} s (connect_timeout): {told}",
            attempts=tuple(attempts),
        )
    raise ConnectError(
        f"cannot connect to {address}: {_reasons(address, attempts)}",
        address=str(address),
        errno=attempts[0].errno,
        attempts=tuple(attempts),
    )


def _share(engine: Engine, deadline: float | None, count: int) -> float | None:
    """A silent candidate may use up its share of the time, not that of those behind it."""
    if deadline is None:
        return None
    now = engine.now()
    return now + max(0.0, deadline - now) / count


async def _try(
    engine: Engine, candidate: Candidate, options: Options, observer: Observer | None, deadline: float | None
) -> SocketStream:
    sock = new_socket(candidate.family, candidate.kind, candidate.protocol, observer=observer)
    try:
        await connect_socket(engine, sock, candidate.name, deadline=deadline)
        _refuse_self(sock)
        peer = str(candidate) if candidate.family == getattr(socket, "AF_UNIX", None) else None
        return wrap(engine, sock, options, peer=peer)
    except BaseException:
        engine.forget(sock.fileno())
        sock.close()
        raise


def _refuse_self(sock: socket.socket) -> None:
    """Dialling a free port of the ephemeral range may meet oneself (TCP's simultaneous open): nobody is there."""
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def _attempt(candidate: Candidate, error: OSError | DeadlineError) -> Attempt:
    if isinstance(error, DeadlineError):
        return Attempt(str(candidate), "no answer in time")
    hint = _HINTS.get(error.errno or 0)
    reason = reason_of(error)
    return Attempt(str(candidate), f"{reason}: {hint}" if hint else reason, error.errno)


def _reasons(address: Address, attempts: list[Attempt]) -> str:
    if len(attempts) == 1 and attempts[0].address == str(address.without_options()):
        return attempts[0].reason
    return "; ".join(map(str, attempts))
