"""Connect with retries, and again after each loss.

Each connection is closed before the next is made, and a pause lies between, so that a server which closes each
connection at once is not flooded. Pauses, and which errors are tried again: see `config/retry.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from socketkit.config.address import Address
from socketkit.config.backoff import chance
from socketkit.config.retry import Retry, RetryState, is_transient
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import ConnectError, DeadlineError, SocketkitError
from socketkit.events import Event, Observer, ReachableAgain, Retrying, Unreachable

__all__ = ["ConnectOnce", "Reconnect"]

ConnectOnce = Callable[[float | None], Awaitable[Connection]]
"""Connects, within so many seconds; None: within its own time."""


class Reconnect:
    """Connections to one address, one after the other.

    Args:
        engine: where to wait.
        address: for errors and events.
        retry: how to try again.
        connect_once: makes one connection.
        observer: receives `Retrying`, and in a loop (`next`) `Unreachable` and `ReachableAgain`; without one the loop
            logs these two, or an address that cannot be reached would never be noticed.
        luck: gives a chance from 0 to 1.

    Concurrency: one task at a time.
    """

    def __init__(
        self,
        engine: Engine,
        address: Address,
        retry: Retry,
        connect_once: ConnectOnce,
        *,
        observer: Observer | None = None,
        luck: Callable[[], float] = chance,
    ) -> None:
        self._engine = engine
        self._address = str(address)
        self._retry = retry
        self._connect_once = connect_once
        self._observer = observer
        self._luck = luck
        self._tries = RetryState(retry)
        self._connection: Connection | None = None
        self._connected = 0.0
        self._is_loop = False
        self._unreachable_since: float | None = None
        self._failed_count = 0  # in this episode

    async def open(self) -> Connection:
        """Try until a connection is open.

        Raises:
            DeadlineError: the retry's deadline was over; the last failure is its cause.
            ResolveError, ConnectError, HandshakeError, BrokenError, DeadlineError: of the last try, when the tries
                are used up, or when another would not help.

        Cancellation: everything is closed.
        """
        while True:
            left = self._tries.begin(self._engine.now())
            try:
                return await self._connect_once(left)
            except SocketkitError as error:
                if not is_transient(error):
                    raise
                self._begin_episode(error)
                pause = self._pause(error)
                if pause is None:
                    if not self._tries.is_over():
                        raise self._late(error) from error
                    self._say_how_often(error)
                    raise
            await self._engine.sleep(pause)

    async def next(self) -> Connection:
        """Close the connection before, if there was one, and open another; raises as `open` does.

        A connection that was of use (something was received, or it lived as long as the longest pause) begins a new
        row of tries; one that was not counts as a try that has failed.

        Raises:
            ConnectError: so many in a row were of no use.
        """
        if self._connection is not None:
            await self._after_loss(self._connection)
        self._is_loop = True
        connection = await self.open()
        self._connected = self._engine.now()
        self._end_episode()
        self._connection = connection
        return connection

    async def close(self) -> None:
        """Close the connection that is open; harmless without one. `Closed` reports what was unsent and is lost."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to be closed."""
        return self._connection is not None and not self._connection.is_closed

    def abort(self) -> None:
        """Let go of the connection at once; harmless without one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _after_loss(self, connection: Connection) -> None:
        lived = self._engine.now() - self._connected
        self._connection = None
        error = await _close(connection)
        pause: float | None
        if connection.statistics().received_size or lived >= self._retry.maximum:
            self._tries.succeeded()
            pause = self._retry.pause(1, self._luck())
            self._tell(error, pause)
        else:
            pause = self._pause(error)
            if pause is None:
                raise ConnectError(
                    f"cannot stay connected to {self._address}: it hung up each time before anything was received "
                    f"({self._row()})",
                    address=self._address,
                )
        await self._engine.sleep(pause)

    def _pause(self, error: BaseException | None) -> float | None:
        pause = self._tries.failed(self._engine.now(), self._luck())
        if pause is not None:
            self._tell(None if error is None else error.with_traceback(None), pause)
        return pause

    def _tell(self, error: BaseException | None, pause: float) -> None:
        if self._observer is not None:
            self._observer(Retrying(self._address, error, self._tries.count, pause))

    def _begin_episode(self, error: SocketkitError) -> None:
        """Count a failed attempt of a loop; report the first."""
        self._failed_count += 1
        if self._is_loop and self._unreachable_since is None:
            self._unreachable_since = self._engine.now()
            self._failed_count = 1
            self._report(Unreachable(self._address, error.with_traceback(None)), f"{error}; it is tried again")

    def _end_episode(self) -> None:
        """Report the first connection after an episode."""
        if self._unreachable_since is not None:
            seconds = self._engine.now() - self._unreachable_since
            self._unreachable_since = None
            event = ReachableAgain(self._address, self._failed_count, seconds)
            self._report(event, f"{self._address} is reachable again, after {seconds:.1f} s")

    def _report(self, event: Event, text: str) -> None:
        if self._observer is not None:
            self._observer(event)
            return
        import logging

        logging.getLogger("socketkit").warning("%s", text)

    def _row(self) -> str:
        count, seconds = self._tries.count, self._tries.seconds(self._engine.now())
        return f"{count} {'try' if count == 1 else 'tries'} in {seconds:.1f} s"

    def _say_how_often(self, error: SocketkitError) -> None:
        if self._tries.count > 1:
            error.message = f"{error.message} ({self._row()})"

    def _late(self, error: SocketkitError) -> DeadlineError:
        return DeadlineError(
            f"gave up after {self._row()}, of the {self._retry.deadline:g} s that they may take (retry, deadline); "
            f"the last said: {error}",
            attempts=error.attempts,
        )


async def _close(connection: Connection) -> SocketkitError | None:
    try:
        await connection.close()
    except SocketkitError as error:
        return error.with_traceback(None)
    return None
