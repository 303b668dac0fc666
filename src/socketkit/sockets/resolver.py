"""From a named address to the socket addresses that may be tried, in order.

Numeric hosts and paths never reach the system's resolver; a name is asked for once, in a thread, because getaddrinfo(3)
blocks; those who ask the same at the same time share the answer. `{hostname}` stands for this machine's own name.
Opens nothing.
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
from socketkit.values import Value

__all__ = ["Candidate", "Lookup", "ask_system", "deadline_of_name", "resolve"]

Lookup = Callable[..., list[Any]]
"""Like `socket.getaddrinfo`, which tests replace by a table of their own."""


NAME_TIMEOUT_MIN: Final = 1.0
"""Seconds that the resolver has at least, however short `connect_timeout` is. It answers from a thread, so that no name
could be resolved within 0 s."""


def deadline_of_name(engine: Engine, timeout: float | None) -> float | None:
    """The deadline of `resolve` where opening may take so many seconds in all."""
    return engine.deadline(None if timeout is None else max(timeout, NAME_TIMEOUT_MIN))


def ask_system(host: str | None, *question: Any) -> list[Any]:
    """The system's resolver. The host is in ASCII: as bytes, Python does not load its IDNA codec for it."""
    return socket.getaddrinfo(None if host is None else host.encode("ascii"), *question)


class Candidate(Value):
    """One socket address: what `socket()` and `connect()` or `bind()` take."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    protocol: int
    name: Any

    def __str__(self) -> str:
        return str(Address.from_socket_name(self.family, self.kind, self.name))


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
        engine: where to wait.
        address: what to resolve.
        passive: True to listen there (an empty host means every interface), False to connect (it means this machine).
        deadline: a moment of the engine's clock.
        observer: is told `Resolved`.
        lookup: who is asked for names.

    Raises:
        ResolveError: the name is unknown, has no address of the wanted family, or the resolver could not say.
        DeadlineError: the moment came first.
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
    """vsock(7): empty is every context to listen, and this very machine to dial; port 0 is a free one."""
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

    question = Question()
    if flags & socket.AI_NUMERICHOST:
        question.put(ask)  # arithmetic: nothing to wait for
    else:
        try:
            key = (engine, lookup, host, address.port, family, kind, flags)
            question = await _ask_aside(engine, key, ask, deadline)
        except DeadlineError:
            raise DeadlineError(f"{address}: the name {host!r} was not resolved in time") from None
    if question.error is not None:
        raise _unresolved(address, host, question.error)
    # A hosts file that names a machine twice gives every address twice: each is tried once.
    unique = dict.fromkeys(
        (family, socket.SOCK_RAW, 0, name) if is_raw else (family, kind, protocol, name)
        for family, kind, protocol, _, name in question.answers
    )
    if not unique:
        raise ResolveError(f"{address}: the name {host!r} has no address", address=str(address))
    return [
        Candidate(socket.AddressFamily(family), socket.SocketKind(kind), protocol, name)
        for family, kind, protocol, name in unique
    ]


def _unresolved(address: Address, host: str, error: BaseException) -> BaseException:
    told = f"{address}: the name {host!r} was not resolved"
    if isinstance(error, socket.gaierror):
        reason = (error.strerror or str(error)).rstrip(".")
        return ResolveError(f"{told}: {reason}", address=str(address), errno=error.errno)
    if isinstance(error, (OSError, UnicodeError, AddressError)):
        return ResolveError(f"{told}: {error}", address=str(address))
    return error  # nobody expected it


class Question:
    """What the resolver is asked, until it has answered.

    Attributes:
        answers: as getaddrinfo(3) gives them.
        error: what it failed with.
    """

    __slots__ = ("answers", "error")

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.error: BaseException | None = None

    def put(self, ask: Callable[[], list[Any]]) -> None:
        """Ask, here and now."""
        try:
            self.answers = ask()
        except BaseException as error:  # told by whoever has asked, each in his own words
            self.error = error.with_traceback(None)


_asked: dict[tuple[object, ...], tuple[Question, Event]] = {}
"""What is with the resolver at the moment. Whoever asks the same meanwhile waits for the same answer: a resolver that
hangs costs a thread for each name, and not one for each dial."""


async def _ask_aside(
    engine: Engine, key: tuple[object, ...], ask: Callable[[], list[Any]], deadline: float | None
) -> Question:
    """Ask in a thread; whoever gives up leaves it behind, for the others."""
    under_way = _asked.get(key)
    if under_way is not None:
        question, answered = under_way
        await answered.wait(deadline=deadline)
        return question
    question, answered = _asked[key] = Question(), engine.event()

    def work() -> None:
        question.put(ask)
        _asked.pop(key, None)
        try:
            engine.from_thread(answered.set)
        except RuntimeError:
            pass  # the engine has ended meanwhile: nobody waits any more

    try:
        await engine.run_in_thread(work, deadline=deadline)
    except RuntimeError:  # no thread could be had
        _asked.pop(key, None)
        raise
    return question


def _constants(address: Address) -> tuple[socket.AddressFamily, socket.SocketKind]:
    """The numbers of the address's family and kind, which it knows by name; AF_UNSPEC where it may be in several."""
    families = address.transport.families
    family = getattr(socket, families[0]) if len(families) == 1 else socket.AF_UNSPEC
    return family, getattr(socket, address.transport.kind)
