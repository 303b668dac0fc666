"""The chat guest: a person's conversation with a chat host, from the greeting to the end of one side."""

from __future__ import annotations

from contextlib import suppress

from socketkit.api import connect
from socketkit.apps.chat.hub import is_farewell
from socketkit.apps.chat.line_reader import CHAT_FRAMING, LineReader
from socketkit.apps.chat.participant import PERSON_FRAMING, Participant
from socketkit.apps.talk.conversation import AbandonedError
from socketkit.apps.terminal_escape import visible
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.time_limits import FAREWELL_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import DeadlineError, EndOfStream, StreamError
from socketkit.events import Observer

__all__ = ["ChatGuest", "join"]


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
    """Take part in a chat, from the greeting to the end of one side.

    A farewell (`bye`, `/quit`, `до свидания`) is sent, and its answer shown. At the end of the input our direction is
    shut down, and lines are shown until the host closes too.

    Args:
        engine: runs already; not one that blocks.
        address: of the host; plain `nc -l` will do.
        person: the person at this end.
        name: the name to ask for; None: the one that the host gives.
        linger: seconds that the host may take to close after the end of the input; None: no limit. After a farewell it
            is two seconds.
        observer: called with each event.
        options: by the names of `Options`.

    Raises:
        ResolveError, ConnectError, DeadlineError: the host cannot be reached.
        BrokenError: the connection was lost.
        AbandonedError: the linger ran out.
        BrokenPipeError: the output was closed.
    """
    async with connect(address, framing=CHAT_FRAMING, engine=engine, observer=observer, **options) as connection:
        if name is not None:
            await connection.send(f"/name {name}\n".encode())
        guest = ChatGuest(connection, person, linger)
        async with Group(engine) as group:
            group.start(guest.send_lines())
            try:
                await guest.show_lines()
            finally:
                group.cancel()
        if guest.has_timed_out and linger is not None:
            raise AbandonedError(f"gave up after {format_duration(linger)} (--linger): {connection.peer} did not end")


class ChatGuest:
    """Both directions of a guest's conversation.

    Attributes:
        has_timed_out: the host did not close within the linger.
    """

    def __init__(self, connection: Connection, person: Participant, linger: float | None) -> None:
        self._connection = connection
        self._person = person
        self._linger = linger
        self.has_timed_out = False

    async def show_lines(self) -> None:
        """Show the lines of the host, up to the end of the stream."""
        reader = LineReader(self._connection, PERSON_FRAMING)
        with suppress(EndOfStream):
            while True:
                line = await reader.receive()
                await self._person.show(visible(line.decode(errors="backslashreplace")))

    async def send_lines(self) -> None:
        """Send the lines of the person, then shut down our direction, and wait as long as the host may take."""
        connection = self._connection
        try:
            has_left = await self._send_input()
            await connection.send_eof()
        except (StreamError, DeadlineError):
            return  # `show_lines` raises the cause
        if has_left:
            await connection.engine.sleep(FAREWELL_TIMEOUT)
        elif self._linger is not None:
            await connection.engine.sleep(self._linger)
            self.has_timed_out = True
        else:
            return
        connection.stop_receiving()

    async def _send_input(self) -> bool:
        """Send the input to its end; whether the person has left, by a farewell or by Ctrl-D at a terminal."""
        try:
            while True:
                line = (await self._person.read()).rstrip(b"\r")
                await self._connection.send(line + b"\n")
                if is_farewell(line.decode(errors="replace")):
                    return True
        except EndOfStream:
            return self._person.is_terminal
