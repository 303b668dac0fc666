"""Serve one caller, and end: `--once`."""

from __future__ import annotations

from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import SocketkitError
from socketkit.server.server import Handler, Server

__all__ = ["SingleClient"]


class SingleClient:
    """Gives one caller to a handler, and ends the server behind it.

    Each address has a door of its own, and where the engine blocks each door a thread: so a second caller may have
    been let in before the first could close them. The first to take the place has it, the others are shown out.

    Attributes:
        failure: how the conversation was lost; None where it was not, or has not ended.
    """

    def __init__(self, engine: Engine, handler: Handler) -> None:
        self._engine = engine
        self._handler = handler
        self._opened = engine.event()
        self._places = [None]
        self._server: Server | None = None
        self.failure: SocketkitError | None = None

    def open(self, server: Server) -> None:
        """This is the server; the conversation may begin."""
        self._server = server
        self._opened.set()

    async def talk(self, connection: Connection) -> None:
        """The handler to serve."""
        try:
            self._places.pop()  # one step, in whatever thread
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
