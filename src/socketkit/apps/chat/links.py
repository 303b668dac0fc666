"""How a guest's program talks to a host over one connection: by plain lines, or by events of a WebSocket."""

from __future__ import annotations

from typing import Any, Final, Protocol

from socketkit.apps.chat.line_reader import LineReader
from socketkit.apps.chat.name_book import NameBook
from socketkit.apps.chat.participant import PERSON_FRAMING
from socketkit.connection.connection import Connection
from socketkit.values import Value

__all__ = ["Link", "Memory", "Wanted", "link_over"]


class Wanted(Value):
    """What a guest asks for on each connection; None: nothing."""

    name: str | None = None
    room: str | None = None
    password: str | None = None
    language: str | None = None


class Memory:
    """What is remembered from one connection to the next, so that what was missed can be asked for.

    Attributes:
        chat: which chat the ids are of; None: there was none with ids.
        last_id: of the last message that was seen; None: none was.
        session: of the last connection, which the next one replaces.
    """

    def __init__(self) -> None:
        self.chat: str | None = None
        self.last_id: int | None = None
        self.session: str | None = None


class Link(Protocol):
    """One connection of a guest's program."""

    async def begin(self, wanted: Wanted) -> None:
        """Ask for what is wanted. Raises as `Connection.send`."""

    async def send(self, line: bytes) -> None:
        """Send a line, without its end. Raises as `Connection.send`."""

    async def receive(self) -> bytes:
        """The next line that is shown, without its end. Raises as `Connection.receive`."""


class LinesLink:
    """Plain lines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = LineReader(connection, PERSON_FRAMING)

    async def begin(self, wanted: Wanted) -> None:
        words = {"/password": wanted.password, "/lang": wanted.language, "/name": wanted.name, "/join": wanted.room}
        for word, value in words.items():
            if value is not None:
                await self.send(f"{word} {value}".encode())

    async def send(self, line: bytes) -> None:
        await self._connection.send(line + b"\n")

    async def receive(self) -> bytes:
        return await self._reader.receive()


class EventsLink:
    """Events of a WebSocket, each with its line. Our own lines come back, and are not shown again."""

    def __init__(self, connection: Connection, book: NameBook, memory: Memory) -> None:
        self._connection = connection
        self._book = book
        self._memory = memory

    async def begin(self, wanted: Wanted) -> None:
        memory = self._memory
        fields = {
            "name": wanted.name,
            "room": wanted.room,
            "password": wanted.password,
            "lang": wanted.language,
            "chat": memory.chat,
            "after": memory.last_id,
            "session": memory.session,
        }
        hello = {name: value for name, value in fields.items() if value is not None}
        await self._send({"type": "hello", "lines": True} | hello)

    async def send(self, line: bytes) -> None:
        await self._send({"type": "line", "text": line.decode(errors="backslashreplace")})

    async def _send(self, message: dict[str, Any]) -> None:
        from socketkit.apps.chat.web_protocol import encode

        await self._connection.send(encode(message))

    async def receive(self) -> bytes:
        from socketkit.apps.chat.web_protocol import parse

        while True:
            message = await self._connection.receive()
            event = parse(message)
            if not isinstance(event, dict) or "type" not in event:
                data: bytes = message.encode() if isinstance(message, str) else message
                return data  # no chat of ours: shown as it is
            if (line := self._line_of(event)) is not None:
                return line.encode(errors="backslashreplace")

    def _line_of(self, event: dict[str, Any]) -> str | None:
        memory, kind = self._memory, event["type"]
        if kind == "ready":
            memory.chat, memory.session = event.get("chat"), event.get("session")
        is_past = event.get("past") is True or event.get("found") is True
        if kind == "message" and isinstance(event.get("id"), int) and event.get("found") is not True:
            memory.last_id = max(memory.last_id or 0, event["id"])
        if kind in _OWN and event.get("name") == self._book.own and not is_past:
            return None
        if kind == "error":
            return f"* {event.get('text')}"
        line = event.get("line")
        return line if isinstance(line, str) else None


_OWN: Final = ("message", "private")
"""Events of what somebody has written."""


def link_over(connection: Connection, book: NameBook, memory: Memory) -> Link:
    """The way to talk over a connection."""
    return LinesLink(connection) if connection.request is None else EventsLink(connection, book, memory)
