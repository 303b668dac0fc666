"""From a named address to the socket addresses that may be tried, in order.

Numeric hosts and paths never reach the system's resolver; a name is asked for once, aside in a thread, because
getaddrinfo(3) blocks. `{hostname}` stands for this machine's own name. Opens nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from socketkit.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, ResolveError
from socketkit.events import Observer, Resolved
from socketkit.values import Value

__all__ = ["Candidate", "Lookup", "resolve"]

Lookup = Callable[..., list[Any]]
"""Like `socket.getaddrinfo`, which tests replace by a table of their own."""


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
    lookup: Lookup = socket.getaddrinfo,
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
    else:
        candidates = await _resolve_internet(engine, address, passive, deadline, lookup)
    if observer is not None:
        observer(Resolved(str(address), tuple(map(str, candidates))))
    return candidates


async def _resolve_internet(
    engine: Engine, address: Address, passive: bool, deadline: float | None, lookup: Lookup
) -> list[Candidate]:
    host = socket.gethostname() if address.is_placeholder_host else address.host
    family, kind = _constants(address)
    flags = socket.AI_PASSIVE if passive else 0
    if address.is_numeric_host or not host:
        flags |= socket.AI_NUMERICHOST

    def ask() -> list[Any]:
        name = _ascii(host) if host else None
        return lookup(name, address.port, family, kind, 0, flags)

    try:
        if flags & socket.AI_NUMERICHOST:
            answers = ask()  # arithmetic, not a question: nothing to wait for
        else:
            answers = await engine.aside(ask, deadline=deadline)
    except DeadlineError:
        raise DeadlineError(f"{address}: the name {host!r} was not resolved in time") from None
    except socket.gaierror as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise ResolveError(
            f"{address}: the name {host!r} was not resolved: {reason}", address=str(address), errno=error.errno
        ) from None
    except (OSError, UnicodeError) as error:
        raise ResolveError(f"{address}: the name {host!r} was not resolved: {error}", address=str(address)) from None
    # A hosts file that names a machine twice gives every address twice: each is tried once.
    unique = dict.fromkeys((family, kind, protocol, name) for family, kind, protocol, _, name in answers)
    if not unique:
        raise ResolveError(f"{address}: the name {host!r} has no address", address=str(address))
    return [
        Candidate(socket.AddressFamily(family), socket.SocketKind(kind), protocol, name)
        for family, kind, protocol, name in unique
    ]


def _constants(address: Address) -> tuple[socket.AddressFamily, socket.SocketKind]:
    """The numbers of the address's family and kind, which it knows by name; AF_UNSPEC where it may be in several."""
    families = address.transport.families
    family = getattr(socket, families[0]) if len(families) == 1 else socket.AF_UNSPEC
    return family, getattr(socket, address.transport.kind)


def _ascii(host: str) -> str:
    """The name as DNS takes it: IDNA for what is not ASCII (RFC 3490, the standard library's codec)."""
    return host if host.isascii() else host.encode("idna").decode("ascii")
