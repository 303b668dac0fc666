"""A new process takes over the listening sockets of the one that runs; no connection is refused meanwhile.

They meet at a UNIX socket. The old process passes its listening sockets (SCM_RIGHTS, unix(7)); both accept until the
new one reports that it listens. Then the old one closes its listeners, leaves their files where they are, drains and
ends. If the new one fails before that, nothing has changed. Each checks the other's user, and the new one checks that
each socket listens at the address that it was passed for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.time_limits import TAKEOVER_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import HandshakeError, OpenError, OptionError, SocketkitError
from socketkit.framing import parse as parse_framing
from socketkit.server.listener_set import ListenerSet
from socketkit.server.server import Server

__all__ = ["SocketTakeover"]

_FRAMING = parse_framing("json")


class SocketTakeover:
    """Takes the listening sockets over from a predecessor, where there is one, and waits for a successor.

    Both have the same addresses, written alike. They meet at a UNIX socket, whose file has the mode 0600. Each trusts
    only a process of its own user, or of root.

    Args:
        address: of that socket, as the option `takeover` has it.
        engine: the server's.

    Raises:
        AddressError, OptionError: that is no UNIX socket.
    """

    def __init__(self, address: str, *, engine: Engine) -> None:
        self._engine = engine
        self._meeting = meeting = Address.parse(address)
        if meeting.scheme != "unix":
            raise OptionError(f"takeover={meeting}: two processes meet at a UNIX socket, as unix:///run/name.takeover")
        options = Options.make(mode="600", max_connections=1)
        self._control = Server(self._hand_over, [(meeting, options, _FRAMING)], engine=engine, grace=0)
        self._listeners: ListenerSet | None = None
        self._close: Callable[..., Coroutine[Any, Any, None]] | None = None

    async def open(self, listeners: ListenerSet, close: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Open the listeners of a server, with the predecessor's sockets where there are any.

        Args:
            listeners: those of the server.
            close: closes the server.

        Raises:
            ResolveError, ListenError: as `ListenerSet.open`; the predecessor goes on then.
            HandshakeError: the predecessor is a process of another user, or broke the protocol.
        """
        self._listeners, self._close = listeners, close
        predecessor = await self._find()
        if predecessor is None:
            await listeners.open()
        else:
            async with predecessor:
                await self._take_over(predecessor, listeners, close)
        await self._control.open()

    def suspend(self) -> None:
        """No takeover is possible any more."""
        self._control.suspend()

    async def close(self) -> None:
        """Close the socket at which a successor would be met."""
        await self._control.close(grace=0)

    async def _find(self) -> Connection | None:
        """Connect to the predecessor; None where there is none.

        Raises:
            HandshakeError: a process of another user listens there.
        """
        try:
            predecessor = await open_connection(self._engine, self._meeting, _FRAMING, Options())
        except OpenError:
            return None
        if not _is_trusted(predecessor):
            credentials = predecessor.peer_credentials
            predecessor.abort()
            raise HandshakeError(
                f"taking over at {self._meeting}: a process of another user (uid {credentials and credentials.uid}) "
                "listens there, and is not trusted",
                address=str(self._meeting),
            )
        return predecessor

    # The new process

    async def _take_over(
        self, predecessor: Connection, listeners: ListenerSet, close: Callable[..., Coroutine[Any, Any, None]]
    ) -> None:
        try:
            await predecessor.send({"takeover": 1})
            answer, descriptors = await predecessor.receive_descriptors(timeout=TAKEOVER_TIMEOUT)
            inherited: dict[str, list[int]] = {}
            names = answer["listeners"]
            if len(names) != len(descriptors):
                for descriptor in descriptors:
                    os.close(descriptor)
                raise ValueError(f"it passed {len(descriptors)} sockets for {len(names)} addresses")
            for name, descriptor in zip(names, descriptors, strict=True):
                inherited.setdefault(name, []).append(descriptor)
            await listeners.open(inherited)
            await predecessor.send({"listening": True})
            await predecessor.receive(timeout=TAKEOVER_TIMEOUT)
        except (SocketkitError, TypeError, KeyError, ValueError) as error:
            if isinstance(error, (OpenError, OptionError)):
                raise
            await close(grace=0)
            raise HandshakeError(f"taking over at {self._meeting}: {error}", address=str(self._meeting)) from None

    # The old process

    async def _hand_over(self, successor: Connection) -> None:
        if not _is_trusted(successor):
            successor.abort()
            return
        assert self._listeners is not None and self._close is not None  # set before the control socket was opened
        await successor.receive(timeout=TAKEOVER_TIMEOUT)
        names, descriptors = self._listeners.sockets()
        if not descriptors:
            return
        await successor.send_descriptors(descriptors, {"listeners": names})
        await successor.receive(timeout=TAKEOVER_TIMEOUT)  # it listens; if it ends instead, this process goes on
        self._listeners.release()
        self._control.suspend()  # its path is the successor's now
        await successor.send({"gone": True})
        await successor.flush(timeout=TAKEOVER_TIMEOUT)
        self._engine.start(self._close())


def _is_trusted(connection: Connection) -> bool:
    """Whether the peer is a process of our own user, or of root; where the system does not tell, the mode of the file
    decides."""
    credentials = connection.peer_credentials
    return credentials is None or credentials.uid in (0, os.getuid())
