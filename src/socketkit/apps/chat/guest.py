"""Visit: a person's way into a chat, from its greeting to the end of one side."""

from __future__ import annotations

from typing import Final

from socketkit.api import connect
from socketkit.apps.chat.participant import PERSON_FRAMING, Participant
from socketkit.apps.chat.room import is_farewell
from socketkit.apps.talk.conversation import AbandonedError
from socketkit.apps.terminal_escape import visible
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, EndOfStream, StreamError
from socketkit.events import Observer

__all__ = ["join"]

LINGER: Final = 2.0
"""Seconds that a goodbye may take from the other end; longer only holds up the one who has said it."""


async def join(
    engine: Engine,
    address: str | Address,
    person: Participant,
    *,
    name: str | None = None,
    linger: float | None = None,
    observer: Observer | None = None,
    **options: object,
) -> None:
    """Take part in a chat, from its greeting to the end of one side.

    A farewell (`bye`, `/quit`, `до свидания`) is sent, and its answer shown. At the end of what is typed our direction
    ends, and what still comes is shown until the other end has ended too.

    Args:
        engine: runs already; not one that blocks.
        address: of the host; plain `nc -l` will do.
        person: who sits here.
        name: how to be called; None: as the host says.
        linger: seconds that the other end may take after the end of what is typed; None: as long as it takes. After a
            farewell it is two seconds: nothing more is expected then.
        observer: is told what happens, as events.
        options: by the names of `Options`.

    Raises:
        ResolveError, ConnectError, DeadlineError: nobody answers there.
        BrokenError: the connection was lost.
        AbandonedError: the linger ran out.
        BrokenPipeError: nobody looks at what is shown any more.
    """
    async with connect(address, framing=PERSON_FRAMING, engine=engine, observer=observer, **options) as connection:
        if name is not None:
            await connection.send(f"/name {name}".encode())
        visit = _Visit(connection, person, linger)
        async with Group(engine) as group:
            group.start(visit.say())
            try:
                await visit.hear()
            finally:
                group.cancel()
        if visit.was_too_long and linger is not None:
            raise AbandonedError(f"gave up after {format_duration(linger)} (--linger): {connection.peer} did not end")


class _Visit:
    """Both directions of a guest's conversation.

    Attributes:
        was_too_long: the other end did not end in the time that it was given.
    """

    def __init__(self, connection: Connection, person: Participant, linger: float | None) -> None:
        self._connection = connection
        self._person = person
        self._linger = linger
        self.was_too_long = False

    async def hear(self) -> None:
        """Show what comes, to its end."""
        async for line in self._connection:
            await self._person.show(visible(line.decode(errors="backslashreplace")))

    async def say(self) -> None:
        """Send what is typed, and see to the end of our side."""
        connection = self._connection
        try:
            has_gone = await self._say_all()
            await connection.send_eof()
        except (StreamError, DeadlineError):
            return  # the one who hears says what has happened
        if has_gone:
            await connection.engine.sleep(LINGER)
        elif self._linger is not None:
            await connection.engine.sleep(self._linger)
            self.was_too_long = True
        else:
            return
        connection.stop_receiving()

    async def _say_all(self) -> bool:
        """Send what is typed; whether the person has gone, by a farewell or at a terminal by its end."""
        try:
            while True:
                line = (await self._person.read()).rstrip(b"\r")
                await self._connection.send(line)
                if is_farewell(line.decode(errors="replace")):
                    return True
        except EndOfStream:
            return self._person.is_terminal
