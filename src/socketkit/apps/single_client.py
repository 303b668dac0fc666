"""Serve one connection, then end: `--once`."""

from __future__ import annotations

from collections.abc import Iterable

from socketkit.config.address import Address
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import SocketkitError
from socketkit.server.server import Handler, Server

__all__ = ["SingleClient"]


class SingleClient:
    """Gives one connection to a handler, then closes the server.

    Each address has its own listener, and on a blocking engine each listener has a thread. So a second connection may
    be accepted before the first has closed the listeners. The first one is served, the others are aborted.

    Attributes:
        failure: how the connection was lost; None where it was not, or has not ended.
    """

    def __init__(self, engine: Engine, handler: Handler) -> None:
        self._engine = engine
        self._handler = handler
        self._opened = engine.event()
        self._free = [None]
        self._server: Server | None = None
        self.failure: SocketkitError | None = None

    @staticmethod
    def limit(addresses: Iterable[str | Address]) -> dict[str, object]:
        """The options of such a server: one connection at a time, where an address can have several."""
        schemes = [Address.parse(address).scheme for address in addresses]
        return {} if all(scheme in ("stdio", "exec") for scheme in schemes) else {"max_connections": 1}

    def open(self, server: Server) -> None:
        """Set the server; the handler may begin."""
        self._server = server
        self._opened.set()

    async def talk(self, connection: Connection) -> None:
        """The handler to serve."""
        try:
            self._free.pop()  # atomic in every thread
        except IndexError:
            connection.abort()
            return
        await self._opened.wait()
        server = self._server
        assert server is not None
        server.suspend()
        try:
            await self._handler(connection)
        except SocketkitError as error:
            self.failure = error
            connection.internals.set_cause(error)
        finally:
            self._engine.start(server.close())
