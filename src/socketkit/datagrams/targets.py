"""The addresses that datagrams are sent to, as socket names: a name is resolved once, and kept for a minute."""

from __future__ import annotations

import socket
from typing import Any, Final

from socketkit._core import Datagram
from socketkit.config.address import Address
from socketkit.config.durations import parse_timeout
from socketkit.config.options import Options
from socketkit.config.time_limits import NAME_CACHE_TIMEOUT
from socketkit.datagrams.bound_socket import BoundSocket
from socketkit.engines.engine import Engine
from socketkit.errors import AddressError, BrokenError
from socketkit.events import Observer
from socketkit.sockets.calls import reason_of
from socketkit.sockets.multicast import is_group, scoped, set_datagram_options
from socketkit.sockets.resolver import Candidate, deadline_of_name, resolve

__all__ = ["Target", "Targets"]

MAX_TARGETS: Final = 4096
"""Addresses that are remembered; the oldest are forgotten, so that a flood of senders costs no memory."""

Target = tuple[BoundSocket, Any]
"""The socket from which to send, and the name to send to."""


class Targets:
    """Finds the socket and the socket name for an address, and remembers them."""

    def __init__(
        self, engine: Engine, sockets: list[BoundSocket], options: Options, *, observer: Observer | None
    ) -> None:
        self._engine = engine
        self._sockets = sockets
        self._options = options
        self._observer = observer
        self._known: dict[str | Address, Target] = {}
        self._ends: dict[str | Address, float] = {}  # of those with a name, which may change
        self._senders: dict[BoundSocket, dict[Any, Address]] = {bound: {} for bound in sockets}

    def sender(self, bound: BoundSocket, name: Any) -> Address:
        """The address of a datagram's sender; an answer to it finds its way without a lookup."""
        address = self._senders[bound].get(name)
        if address is None:
            address = bound.address_of(name)
            _keep(self._senders[bound], name, address)
            if name:
                _keep(self._known, address, (bound, name))
        return address

    def with_senders(self, bound: BoundSocket, batch: list[Datagram]) -> list[tuple[bytes, Address]]:
        """The data of datagrams, each with the address of its sender."""
        known, sender = self._senders[bound].get, self.sender
        return [(data, known(name) or sender(bound, name)) for data, _, name in batch]

    def known(self, address: str | Address) -> Target | None:
        """The target, where it is remembered."""
        target = self._known.get(address)
        if target is not None and self._ends and self._engine.now() >= self._ends.get(address, float("inf")):
            return None
        return target

    async def find(self, address: str | Address, timeout: float | str | None) -> Target:
        """The target of an address; a name is looked up.

        Raises:
            AddressError: not an address of datagrams, or of a family that no socket here has.
            ResolveError: the name is unknown.
            DeadlineError: it was not resolved within `timeout` or `connect_timeout`.
        """
        if (target := self.known(address)) is not None:
            return target
        parsed = Address.parse(address, default_scheme=self._sockets[0].address.scheme)
        kind = self._sockets[0].address.transport.kind
        if parsed.transport.kind != kind:
            raise AddressError(f"cannot send to {parsed}: allowed are addresses as {self._sockets[0].address}")
        if not parsed.transport.families == ("AF_UNIX",) and not parsed.port and kind == "SOCK_DGRAM":
            raise AddressError(f"cannot send to {parsed}: nothing receives at port 0; give the port of the receiver")
        limits = [limit for limit in (parse_timeout(timeout), self._options.connect_timeout) if limit is not None]
        deadline = deadline_of_name(self._engine, min(limits) if limits else None)
        candidates = await resolve(self._engine, parsed, deadline=deadline, observer=self._observer)
        target = self._choose(parsed, candidates)
        _keep(self._known, address, target)
        if parsed.host and not parsed.is_numeric_host:
            _keep(self._ends, address, self._engine.now() + NAME_CACHE_TIMEOUT)
        else:
            self._ends.pop(address, None)
        return target

    def _choose(self, address: Address, candidates: list[Candidate]) -> Target:
        for candidate in candidates:
            for bound in self._sockets:
                if bound.socket.family == candidate.family:
                    name = candidate.name
                    is_inet = candidate.family in (socket.AF_INET, socket.AF_INET6)
                    if is_inet and is_group(bound.socket, name):
                        try:
                            set_datagram_options(bound.socket, name, self._options)
                        except OSError as error:
                            raise BrokenError(f"sending to {address}: {reason_of(error)}", errno=error.errno) from None
                        name = scoped(bound.socket, name, self._options)
                    return bound, name
        ours = " and ".join(str(bound.address) for bound in self._sockets)
        raise AddressError(
            f"cannot send to {address}: it is of another family than {ours}; open an address of its family"
        )


def _keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    table.pop(key, None)
    table[key] = value
    while len(table) > MAX_TARGETS:
        table.pop(next(iter(table)), None)
