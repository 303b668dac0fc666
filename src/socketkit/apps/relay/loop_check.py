"""Refuse a relay whose target is the relay itself: one client would open connections without end."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import Final

from socketkit.config.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import DeadlineError, OptionError, ResolveError
from socketkit.sockets.resolver import Candidate, resolve

__all__ = ["refuse_own_address"]

RESOLVE_TIMEOUT: Final = 5.0
"""Seconds for the names; one that is not resolved by then is left to the first connection."""


async def refuse_own_address(engine: Engine, listening: Sequence[Address], targets: Sequence[Address]) -> None:
    """Compare the addresses to listen at with the targets, as they are resolved now.

    Names are resolved only where the ports, or the paths, are equal.

    Raises:
        OptionError: a target is an address that the relay itself listens at.
    """
    for target in targets:
        for address in listening:
            if _may_be_equal(address, target) and await _is_same(engine, address, target):
                raise OptionError(f"{target}: the relay listens there itself ({address}), and would connect to itself")


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
