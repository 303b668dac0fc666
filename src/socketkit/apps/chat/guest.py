"""The chat guest: a person's conversation with a chat host, from the greeting to the end of one side."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from socketkit.api import connect
from socketkit.apps.chat.hub import is_farewell
from socketkit.apps.chat.line_reader import CHAT_FRAMING
from socketkit.apps.chat.links import Link, Memory, Wanted, link_over
from socketkit.apps.chat.name_book import NameBook
from socketkit.apps.chat.participant import Participant
from socketkit.apps.chat.texts import is_goodbye
from socketkit.apps.talk.conversation import AbandonedError
from socketkit.apps.terminal_escape import visible
from socketkit.config.address import Address
from socketkit.config.durations import format_duration
from socketkit.config.time_limits import FAREWELL_TIMEOUT
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.engines.group import Group
from socketkit.errors import BrokenError, DeadlineError, EndOfStream, StreamError
from socketkit.events import Observer
from socketkit.values import replace

__all__ = ["ChatGuest", "join"]


async def join(
    engine: Engine,
    address: str | Address,
    person: Participant,
    *,
    name: str | None = None,
    password: str | None = None,
    language: str | None = None,
    linger: float | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> None:
    """Take part in a chat, from the greeting to the end of one side.

    A farewell (`bye`, `/quit`, `до свидания`) is sent, and its answer shown. At the end of the input our direction is
    shut down, and lines are shown until the host closes too. With the option `retry` a connection that is lost is made
    again, with the name and the room that the guest had; the host shows what was said meanwhile, as far as its history
    goes; at a WebSocket exactly that, by the messages' ids. A line that was on its way when the connection was lost
    may be lost with it.

    Args:
        engine: runs already; not one that blocks.
        address: of the host; plain `nc -l` will do. `ws://` and `wss://` are those of its page.
        person: the person at this end.
        name: the name to ask for; None: the one that the host gives.
        password: of the chat; None: none is sent.
        language: of the host's notices to this guest; None: the host's own.
        linger: seconds that the host may take to close after the end of the input; None: no limit. After a farewell it
            is two seconds.
        observer: called with each event.
        options: by the names of `Options`.

    Raises:
        ResolveError, ConnectError, DeadlineError: the host cannot be reached (again).
        BrokenError: the connection was lost, and there is no `retry`.
        AbandonedError: the linger ran out.
        BrokenPipeError: the output was closed.
    """
    guest = ChatGuest(engine, person, linger, retries="retry" in options)
    address = Address.parse(address)
    if address.transport.is_websocket:
        from socketkit.apps.chat.web_address import SOCKET_PATH
        from socketkit.apps.chat.web_protocol import SUBPROTOCOL

        address = address if address.resource.strip("/") else address.replace(resource=SOCKET_PATH)
        options.setdefault("subprotocols", SUBPROTOCOL)
    wanted = Wanted(name=name, password=password, language=language)
    opening = connect(address, framing=CHAT_FRAMING, engine=engine, observer=observer, **options)
    async with Group(engine) as group:
        group.start(guest.send_lines())
        try:
            if not guest.retries:
                async with opening as connection:
                    await guest.converse(connection, wanted)
            else:
                async for connection in opening:
                    wanted = replace(wanted, name=guest.book.asked or name, room=guest.book.room)
                    if await guest.converse(connection, wanted):
                        break
        finally:
            group.cancel()
    if guest.has_timed_out and linger is not None:
        raise AbandonedError(f"gave up after {format_duration(linger)} (--linger): {address} did not end")


class ChatGuest:
    """Both directions of a guest's conversation, over one connection after the other.

    Attributes:
        has_timed_out: the host did not close within the linger.
        retries: a connection that is lost is made again.
        book: what was learned from the lines.
    """

    def __init__(self, engine: Engine, person: Participant, linger: float | None, *, retries: bool = False) -> None:
        self._engine = engine
        self._person = person
        self._linger = linger
        self._connection: Connection | None = None
        self._link: Link | None = None
        self._memory = Memory()
        self._connected = engine.event()
        self._has_ended = False  # our direction
        self.has_timed_out = False
        self.retries = retries
        self.book = NameBook()

    async def converse(self, connection: Connection, wanted: Wanted) -> bool:
        """Talk over a connection to its end, beginning with what is wanted; whether the conversation is over.

        Raises:
            BrokenError: it was lost, and is not made again.
        """
        is_over = False
        try:
            link = link_over(connection, self.book, self._memory)
            await link.begin(wanted)
            self._connection, self._link = connection, link
            self._connected.set()
            is_over = await self._show_lines(link) or not self.book.own  # no chat has greeted
        except BrokenError:
            if not self.retries or self._has_ended:
                raise
        finally:
            self._connection = self._link = None
            self._connected = self._engine.event()
        if self.retries and not is_over and not self._has_ended:
            await self._person.show("* the connection was lost: trying again")
        return is_over or self._has_ended or not self.retries

    async def _show_lines(self, link: Link) -> bool:
        """Show the lines of the host, up to the end of the stream; whether the last one was a goodbye."""
        line = ""
        with suppress(EndOfStream):
            while True:
                line = visible((await link.receive()).decode(errors="backslashreplace"))
                self.book.see(line)
                await self._person.show(line)
        return is_goodbye(line)

    async def send_lines(self) -> None:
        """Send the lines of the person, then shut down our direction, and wait as long as the host may take."""
        try:
            has_left = await self._send_input()
            connection = await self._current()
            self._has_ended = True
            await connection.send_eof()
        except (StreamError, DeadlineError):
            return  # `converse` raises the cause
        if has_left:
            await self._engine.sleep(FAREWELL_TIMEOUT)
        elif self._linger is not None:
            await self._engine.sleep(self._linger)
            self.has_timed_out = True
        else:
            return
        connection.stop_receiving()

    async def _send_input(self) -> bool:
        """Send the input to its end; whether the person has left, by a farewell or by Ctrl-D at a terminal."""
        try:
            while True:
                line = (await self._person.read()).rstrip(b"\r")
                has_left = is_farewell(line.decode(errors="replace"))
                self._has_ended |= has_left
                await self._send(line)
                if has_left:
                    return True
        except EndOfStream:
            return self._person.is_terminal

    async def _send(self, line: bytes) -> None:
        while True:
            await self._current()
            assert self._link is not None
            try:
                await self._link.send(line)
            except (StreamError, DeadlineError):
                if not self.retries:
                    raise
                await self._engine.sleep(0)  # the loss is seen by `converse` too, which waits for another connection
            else:
                return

    async def _current(self) -> Connection:
        """The connection; waits while there is none."""
        while self._connection is None:
            await self._connected.wait()
        return self._connection
