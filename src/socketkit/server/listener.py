"""Listen, and accept callers one by one, for those who want the loop themselves. `serve` does the rest."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from socketkit.config.address import Address
from socketkit.config.options import Options
from socketkit.connection.connection import Connection
from socketkit.endpoint import settled
from socketkit.engines.condition import Condition
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import ClosedError, DeadlineError, SocketkitError
from socketkit.events import Accepted, Observer
from socketkit.framing.codec import Framing
from socketkit.server.bind import listen_at
from socketkit.server.stream_listener import StreamListener
from socketkit.sockets.accept_errors import is_peer_error
from socketkit.tls.server_certificates import Certificates

__all__ = ["Listener"]


class Listener:
    """Listening sockets for one address. Made by `listen`.

    Concurrency: one task accepts at a time.
    """

    def __init__(
        self, engine: Engine, address: Address, framing: Framing, options: Options, *, observer: Observer | None = None
    ) -> None:
        self._engine = engine
        self._address = address
        self._framing = framing
        self._options = settled(address, options)
        self._observer = observer
        self._certificates = Certificates(observer)
        self._doors: list[StreamListener] = []

    async def open(self) -> None:
        """Listen.

        Raises:
            OptionError: a certificate cannot be used.
            ResolveError, ListenError: it cannot be listened at.
        """
        self._certificates.prepare(self._options)
        self._doors = await listen_at(self._engine, self._address, self._options, observer=self._observer)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The real addresses, with the port that the system has chosen."""
        return tuple(door.address for door in self._doors)

    async def accept(self, *, timeout: float | None = None) -> Connection:
        """The next caller, as a connection; with TLS, the next with whom it was agreed on.

        Raises:
            DeadlineError: nobody came within `timeout` seconds.
            ClosedError: this listener was closed, or its only caller has come (standard input and output, say).
            OSError: the machine is out of something (EMFILE, ...): the caller still waits in the backlog.

        Cancellation: nobody is lost: the caller stays in the backlog, or was returned.
        """
        deadline = self._engine.deadline(timeout)
        try:
            while True:
                connection = self._accept_from(await self._wait_any(deadline))
                if connection is not None and await self._greet(connection):
                    return connection
        except DeadlineError:
            raise DeadlineError(f"accepting at {self._where()}: nobody came within {timeout:g} s") from None

    def pending(self) -> int:
        """How many callers wait to be accepted now, as far as the system tells: on Linux, over TCP, exactly; else 1
        stands for at least one."""
        return sum(door.pending() for door in self._doors)

    def close(self) -> None:
        """Callers can come no more; the connections stay. Harmless twice."""
        for door in self._doors:
            door.close()

    async def _wait_any(self, deadline: float | None) -> StreamListener:
        """Wait until somebody is at one of the doors."""
        doors = self._doors
        if not doors or doors[0].is_closed:
            raise ClosedError(f"the listener at {self._address} was closed")
        if all(door.is_exhausted for door in doors):
            raise ClosedError(f"the listener at {self._address} had one caller, who has come")
        if len(doors) == 1:
            await doors[0].wait_incoming(deadline=deadline)
            return doors[0]
        found: list[StreamListener] = []
        changed = Condition(self._engine)

        async def watch(door: StreamListener) -> None:
            await door.wait_incoming()
            found.append(door)
            changed.notify()

        async with Group(self._engine) as group:
            for door in doors:
                group.start(watch(door))
            try:
                await changed.wait_until(lambda: bool(found), deadline=deadline)
            finally:
                group.cancel()
        return found[0]

    def _accept_from(self, door: StreamListener) -> Connection | None:
        try:
            stream = door.accept_nowait()
        except BlockingIOError:
            return None
        except OSError as error:
            if door.is_closed:
                raise ClosedError(f"the listener at {self._address} was closed") from None
            if is_peer_error(error):
                return None
            raise
        connection = Connection(stream, self._framing, options=self._options, observer=self._observer)
        if self._observer is not None:
            self._observer(Accepted(connection.number, stream.local, stream.peer))
        return connection

    async def _greet(self, connection: Connection) -> bool:
        """Agree on TLS, where it is spoken; False: there is nobody to talk with, as the caller's end event says."""
        side = self._certificates.side(self._options)
        if side is None:
            return True
        try:
            await connection.start_tls(side, server_side=True)
        except SocketkitError:
            with suppress(SocketkitError):
                await connection.close()
            return False
        except BaseException:
            connection.abort()
            raise
        return True

    def _where(self) -> str:
        return ", ".join(map(str, self.addresses)) or str(self._address)

    async def __aenter__(self) -> Listener:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Listener {self._where()}>"
