"""Resolve an address to the socket addresses to try, in order.

Numeric hosts and paths are never looked up. A name is looked up in a thread, because getaddrinfo(3) blocks; equal
lookups at the same time share one call. `{hostname}` stands for this machine's name. Opens no socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from socketkit.config.address import Address
from socketkit.config.host import ascii_host
from socketkit.engines.engine import Engine, Event
from socketkit.errors import AddressError, DeadlineError, ResolveError
from socketkit.events import Observer, Resolved
from socketkit.sockets.calls import address_text
from socketkit.values import Value

__all__ = ["Candidate", "Lookup", "ask_system", "deadline_of_name", "resolve"]

Lookup = Callable[..., list[Any]]
"""Like `socket.getaddrinfo`; tests pass a table instead."""


NAME_TIMEOUT_MIN: Final = 1.0
"""Seconds that the resolver has at least, however short `connect_timeout` is. It answers from a thread, so that no name
could be resolved within 0 s."""


def deadline_of_name(engine: Engine, timeout: float | None) -> float | None:
    """The deadline of `resolve` where opening may take so many seconds in all."""
    return engine.deadline(None if timeout is None else max(timeout, NAME_TIMEOUT_MIN))


def ask_system(host: str | None, *query: Any) -> list[Any]:
    """The system's resolver. The host is in ASCII: as bytes, Python does not load its IDNA codec for it."""
    return socket.getaddrinfo(None if host is None else host.encode("ascii"), *query)


class Candidate(Value):
    """One socket address, with what socket(2) needs for it."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    protocol: int
    name: Any

    def __str__(self) -> str:
        return address_text(self.family, self.kind, self.name)


async def resolve(
    engine: Engine,
    address: Address,
    *,
    passive: bool = False,
    deadline: float | None = None,
    observer: Observer | None = None,
    lookup: Lookup = ask_system,
) -> list[Candidate]:
    """Every socket address that this address stands for, in the resolver's order; at least one.

    Args:
        engine: the engine on which to wait.
        address: the address to resolve.
        passive: True to listen there (an empty host means every interface), False to connect (it means this machine).
        deadline: a time of the engine's clock.
        observer: gets `Resolved`.
        lookup: looks names up.

    Raises:
        ResolveError: the name is unknown, has no address of the wanted family, or the resolver failed.
        DeadlineError: the deadline came first.
    """
    if address.transport.families == ("AF_UNIX",):
        if not address.path:
            raise ResolveError(f"{address}: a socket without a name cannot be found", address=str(address))
        family, kind = _constants(address)
        candidates = [Candidate(family, kind, 0, address.socket_path)]
    elif address.transport.families == ("AF_VSOCK",):
        candidates = [_vsock(address, passive)]
    else:
        candidates = await _resolve_internet(engine, address, passive, deadline, lookup)
    if observer is not None:
        observer(Resolved(str(address), tuple(map(str, candidates))))
    return candidates


def _vsock(address: Address, passive: bool) -> Candidate:
    """vsock(7): an empty host means every context to listen, and this machine to connect; port 0 means a free one."""
    if not hasattr(socket, "AF_VSOCK"):
        raise ResolveError(f"{address}: this system has no sockets of AF_VSOCK", address=str(address))
    family, kind = _constants(address)
    local = getattr(socket, "VMADDR_CID_LOCAL", 1)
    cid = int(address.host) if address.host else socket.VMADDR_CID_ANY if passive else local
    return Candidate(family, kind, 0, (cid, address.port or socket.VMADDR_PORT_ANY))


async def _resolve_internet(
    engine: Engine, address: Address, passive: bool, deadline: float | None, lookup: Lookup
) -> list[Candidate]:
    host = socket.gethostname() if address.is_placeholder_host else address.host
    family, kind = _constants(address)
    flags = socket.AI_PASSIVE if passive else 0
    if address.is_numeric_host or not host:
        flags |= socket.AI_NUMERICHOST

    is_raw = kind == socket.SOCK_RAW  # of which getaddrinfo(3) knows no port, not even none

    def ask() -> list[Any]:
        name = ascii_host(host) if host else None
        return lookup(name, address.port or 0, family, socket.SOCK_DGRAM if is_raw else kind, 0, flags)

    query = Query()
    if flags & socket.AI_NUMERICHOST:
        query.put(ask)  # arithmetic: nothing to wait for
    else:
        try:
            key = (engine, lookup, host, address.port, family, kind, flags)
            query = await _look_up_in_thread(engine, key, ask, deadline)
        except DeadlineError:
            raise DeadlineError(f"{address}: the name {host!r} was not resolved in time") from None
    if query.error is not None:
        raise _not_resolved(address, host, query.error)
    # A hosts file that names a machine twice gives every address twice: each is tried once.
    unique = dict.fromkeys(
        (family, socket.SOCK_RAW, 0, name) if is_raw else (family, kind, protocol, name)
        for family, kind, protocol, _, name in query.answers
    )
    if not unique:
        raise ResolveError(f"{address}: the name {host!r} has no address", address=str(address))
    return [
        Candidate(socket.AddressFamily(family), socket.SocketKind(kind), protocol, name)
        for family, kind, protocol, name in unique
    ]


def _not_resolved(address: Address, host: str, error: BaseException) -> BaseException:
    text = f"{address}: the name {host!r} was not resolved"
    if isinstance(error, socket.gaierror):
        reason = (error.strerror or str(error)).rstrip(".")
        return ResolveError(f"{text}: {reason}", address=str(address), errno=error.errno)
    if isinstance(error, (OSError, UnicodeError, AddressError)):
        return ResolveError(f"{text}: {error}", address=str(address))
    return error  # a bug: raised as it is


class Query:
    """One lookup and its result.

    Attributes:
        answers: as getaddrinfo(3) returns them.
        error: the error that it failed with.
        has_begun: whether its thread runs, or has run.
    """

    __slots__ = ("answers", "error", "has_begun")

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.error: BaseException | None = None
        self.has_begun = False

    def put(self, ask: Callable[[], list[Any]]) -> None:
        """Look up, in this thread."""
        try:
            self.answers = ask()
        except BaseException as error:  # raised in each task that waits for it
            self.error = error.with_traceback(None)


_pending: dict[tuple[object, ...], tuple[Query, Event]] = {}
"""The lookups that are running. An equal lookup waits for the same answer: a resolver that hangs costs one thread for
each name, not one for each connection."""


async def _look_up_in_thread(
    engine: Engine, key: tuple[object, ...], ask: Callable[[], list[Any]], deadline: float | None
) -> Query:
    """Look up in a thread. A task that is cancelled or late leaves the thread running, for the others."""
    while (under_way := _pending.get(key)) is not None:
        query, answered = under_way
        await answered.wait(deadline=deadline)
        if query.has_begun:
            return query
    query, answered = _pending[key] = Query(), engine.event()

    def work() -> None:
        query.has_begun = True
        query.put(ask)
        _pending.pop(key, None)
        try:
            engine.from_thread(answered.set)
        except RuntimeError:
            pass  # the engine has ended meanwhile: no task waits any more

    try:
        await engine.run_in_thread(work, deadline=deadline, purpose="lookups")
    except BaseException:
        if not query.has_begun:  # no thread could be started, or none was free in time: the others try themselves
            _pending.pop(key, None)
            answered.set()
        raise
    return query


def _constants(address: Address) -> tuple[socket.AddressFamily, socket.SocketKind]:
    """The address family and socket type of an address; AF_UNSPEC where several families are possible."""
    families = address.transport.families
    family = getattr(socket, families[0]) if len(families) == 1 else socket.AF_UNSPEC
    return family, getattr(socket, address.transport.kind)
