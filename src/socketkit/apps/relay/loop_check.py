"""Refuse a relay whose target is the relay itself, or leads back to it through other relays of this process.

One client would open connections without end.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from socketkit.config.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, OptionError, ResolveError
from socketkit.sockets.resolver import Candidate, resolve
from socketkit.values import Value

__all__ = ["open_relay", "refuse_own_address"]

RESOLVE_TIMEOUT: Final = 5.0
"""Seconds for the names; one that is not resolved by then is left to the first connection."""


class _Route(Value):
    """A relay that is open in this process: where it listens, and where it connects to."""

    listening: tuple[Address, ...]
    targets: tuple[Address, ...]


_open: list[_Route] = []
"""Every open relay of this process. Lists are changed and copied in one step, so threads need no lock."""


@asynccontextmanager
async def open_relay(engine: Engine, listening: Sequence[Address], targets: Sequence[Address]) -> AsyncIterator[None]:
    """Note a relay as open while the block runs, for the check of others in this process.

    Raises:
        OptionError: as `refuse_own_address`.
    """
    route = _Route(tuple(listening), tuple(targets))
    _open.append(route)  # before the check: of two relays that begin at the same time, one at least sees the other
    try:
        await refuse_own_address(engine, listening, targets)
        yield
    finally:
        _open[:] = [each for each in _open if each is not route]


async def refuse_own_address(engine: Engine, listening: Sequence[Address], targets: Sequence[Address]) -> None:
    """Compare the addresses to listen at with the targets, as they are resolved now, and with the targets of other
    relays of this process that a target leads to.

    Names are resolved only where the ports, or the paths, are equal.

    Raises:
        OptionError: a target is an address that the relay itself listens at, or leads back to one.
    """
    for target in targets:
        if dict(target.options).get("proxy", "none") != "none":
            continue  # the proxy resolves it, and this machine's addresses may be others there
        address = await _found(engine, listening, target)
        if address is not None:
            raise OptionError(f"{target}: the relay listens there itself ({address}), and would connect to itself")
        if await _leads_back(engine, target, listening):
            raise OptionError(f"{target}: another relay of this process listens there, and its target leads back here")


async def _leads_back(engine: Engine, target: Address, listening: Sequence[Address]) -> bool:
    """Whether relays of this process, from the one that listens at the target on, connect to one of these addresses."""
    todo, seen = [target], set[int]()
    while todo:
        here = todo.pop()
        for route in tuple(_open):
            if id(route) in seen or await _found(engine, route.listening, here) is None:
                continue
            seen.add(id(route))
            for further in route.targets:
                if await _found(engine, listening, further) is not None:
                    return True
                todo.append(further)
    return False


async def _found(engine: Engine, listening: Sequence[Address], target: Address) -> Address | None:
    """The address of these that a connection to the target arrives at."""
    for address in listening:
        if _may_be_equal(address, target) and await _is_same(engine, address, target):
            return address
    return None


def _may_be_equal(address: Address, target: Address) -> bool:
    if not address.transport.families or not target.transport.families:
        return False
    if address.transport.kind != target.transport.kind:
        return False
    return bool(address.path and target.path) or (bool(address.port) and address.port == target.port)


async def _is_same(engine: Engine, address: Address, target: Address) -> bool:
    deadline = engine.now() + RESOLVE_TIMEOUT
    try:
        ours = await resolve(engine, address, passive=True, deadline=deadline)
        theirs = await resolve(engine, target, deadline=deadline)
    except (ResolveError, DeadlineError):
        return False
    return any(_reaches(their, our) for our in ours for their in theirs)


def _reaches(target: Candidate, listening: Candidate) -> bool:
    """Whether a connection to the one arrives at the other."""
    if socket.AF_UNIX in (target.family, listening.family):
        return target.family == listening.family and _path(target.name) == _path(listening.name)
    if not {target.family, listening.family} <= {socket.AF_INET, socket.AF_INET6}:
        return target.family == listening.family and bool(target.name == listening.name)
    if target.name[1] != listening.name[1]:
        return False
    to, at = _ip(target), _ip(listening)
    if to == at:
        return True
    return at.is_unspecified and (at.version == to.version or at.version == 6) and _is_local(target)


def _path(name: str | bytes) -> bytes:
    path = os.fsencode(name)
    return path if path.startswith(b"\0") else os.path.realpath(path)


def _ip(candidate: Candidate) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(candidate.name[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _is_local(candidate: Candidate) -> bool:
    """Whether an address is one of this machine's: then the system takes it as our own end too. Nothing is sent."""
    address = _ip(candidate)
    try:
        with socket.socket(candidate.family, socket.SOCK_DGRAM) as probe:
            probe.connect(candidate.name)
            return (
                address.is_unspecified or address.is_loopback or bool(probe.getsockname()[0] == probe.getpeername()[0])
            )
    except OSError:
        return False
