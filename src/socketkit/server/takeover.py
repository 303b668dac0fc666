"""A new process takes over the listening sockets of the one that runs; no connection is refused meanwhile.

They meet at a UNIX socket. The old process passes its listening sockets (SCM_RIGHTS, unix(7)); both accept until the
new one reports that it listens. Then the old one closes its listeners, leaves their files where they are, drains and
ends. If the new one fails before that, nothing has changed. Each checks the other's user, and the new one checks that
each socket listens at the address that it was passed for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from socketkit.client.connect import open_connection
from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.config.time_limits import TAKEOVER_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import HandshakeError, OpenError, OptionError, SocketkitError
from socketkit.events import Observer
from socketkit.framing import parse as parse_framing
from socketkit.framing.codec import Framing
from socketkit.server.server import Handler, Server

__all__ = ["Successor"]

_FRAMING = parse_framing("json")


class Successor(Server):
    """A server that takes over from a predecessor, where there is one, and waits for a successor of its own.

    Both have the same addresses, written alike. They meet at the option `takeover` of the first address: a UNIX socket,
    whose file has the mode 0600. Each trusts only a process of its own user, or of root.

    Raises:
        AddressError, OptionError: that is no UNIX socket.
    """

    def __init__(
        self,
        handler: Handler,
        addresses: Sequence[tuple[Address, Options, Framing]],
        *,
        engine: Engine,
        grace: float,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(handler, addresses, engine=engine, grace=grace, observer=observer)
        self._place = place = Address.parse(addresses[0][1].takeover or "")
        if place.scheme != "unix":
            raise OptionError(f"takeover={place}: two processes meet at a UNIX socket, as unix:///run/name.takeover")
        options = Options.make(mode="600", max_connections=1)
        self._control = Server(self._hand_over, [(place, options, _FRAMING)], engine=engine, grace=0)
        self._has_begun = False

    async def open(self) -> None:
        """Listen, with the predecessor's sockets where there are any.

        Raises:
            ResolveError, ListenError: as `Server.open`; the predecessor goes on then.
            HandshakeError: the predecessor is a process of another user, or broke the protocol.
        """
        if self._has_begun:  # open again after it was suspended
            await super().open()
            return
        self._has_begun = True
        predecessor = await self._find()
        if predecessor is None:
            await super().open()
        else:
            async with predecessor:
                await self._take_over(predecessor)
        await self._control.open()

    async def close(self, *, grace: float | str | None = None) -> None:
        """As `Server.close`; no takeover is possible any more."""
        self._control.suspend()
        try:
            await super().close(grace=grace)
        finally:
            await self._control.close(grace=0)

    async def _find(self) -> Connection | None:
        """Connect to the predecessor; None where there is none.

        Raises:
            HandshakeError: a process of another user listens there.
        """
        try:
            predecessor = await open_connection(self.engine, self._place, _FRAMING, Options())
        except OpenError:
            return None
        if not _is_trusted(predecessor):
            credentials = predecessor.peer_credentials
            predecessor.abort()
            raise HandshakeError(
                f"taking over at {self._place}: a process of another user (uid {credentials and credentials.uid}) "
                "listens there, and is not trusted",
                address=str(self._place),
            )
        return predecessor

    # The new process

    async def _take_over(self, predecessor: Connection) -> None:
        try:
            await predecessor.send({"takeover": 1})
            answer, descriptors = await predecessor.receive_descriptors(timeout=TAKEOVER_TIMEOUT)
            inherited: dict[str, list[int]] = {}
            for name, descriptor in zip(answer["listeners"], descriptors, strict=True):
                inherited.setdefault(name, []).append(descriptor)
            await super()._open(inherited)
            await predecessor.send({"listening": True})
            await predecessor.receive(timeout=TAKEOVER_TIMEOUT)
        except (SocketkitError, TypeError, KeyError, ValueError) as error:
            if isinstance(error, (OpenError, OptionError)):
                raise
            await super().close(grace=0)
            raise HandshakeError(f"taking over at {self._place}: {error}", address=str(self._place)) from None

    # The old process

    async def _hand_over(self, successor: Connection) -> None:
        if not _is_trusted(successor):
            successor.abort()
            return
        await successor.receive(timeout=TAKEOVER_TIMEOUT)
        names, descriptors = self._listening_sockets()
        if not descriptors:
            return
        await successor.send_descriptors(descriptors, {"listeners": names})
        await successor.receive(timeout=TAKEOVER_TIMEOUT)  # it listens; if it ends instead, this process goes on
        self._release_listeners()
        self._control.suspend()  # its path is the successor's now
        await successor.send({"gone": True})
        await successor.flush(timeout=TAKEOVER_TIMEOUT)
        self.engine.start(self.close())


def _is_trusted(connection: Connection) -> bool:
    """Whether the peer is a process of our own user, or of root; where the system does not tell, the mode of the file
    decides."""
    credentials = connection.peer_credentials
    return credentials is None or credentials.uid in (0, os.getuid())
