"""A person at this end of a chat: types lines, and is shown lines. What it sits at, the command decides."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Final, Protocol

from socketkit.connection.connection import Connection
from socketkit.errors import BrokenError, EndOfStream

__all__ = ["PERSON_FRAMING", "Participant", "Piped"]

PERSON_FRAMING: Final = "lines:encoding=none,oversize=truncate"
"""How a person speaks over a connection: lines of bytes, because nobody can be forced to write UTF-8."""


class Participant(Protocol):
    """Whoever sits at this end."""

    is_terminal: bool
    """Whether the end of what is typed is a wish to go (Ctrl-D), and not only the end of a file."""

    async def read(self) -> bytes:
        """The next line that is typed.

        Raises:
            EndOfStream: nothing more is typed.
        """

    def show(self, line: str) -> Awaitable[None]:
        """Show a line; it is on its way from the call on, and awaiting it waits until there is room for more.

        Raises:
            BrokenPipeError: nobody looks any more.
        """

    @property
    def unshown_size(self) -> int:
        """Bytes that were to be shown and are not yet."""


class Piped:
    """A person behind a connection of lines: standard input and output, without a line editor."""

    def __init__(self, connection: Connection, *, is_terminal: bool = False) -> None:
        self._connection = connection
        self.is_terminal = is_terminal

    async def read(self) -> bytes:
        try:
            line: bytes = await self._connection.receive()
        except BrokenError as error:  # a terminal that has gone, say: nothing more is typed there
            raise EndOfStream(str(error)) from None
        return line

    def show(self, line: str) -> Awaitable[None]:
        try:
            self._connection.send(line.encode(errors="backslashreplace"))
        except BrokenError as error:
            raise BrokenPipeError(str(error)) from None
        return _Shown(self._connection)

    @property
    def unshown_size(self) -> int:
        return self._connection.statistics().unsent_size


class _Shown:
    """Waits until the system has taken what was to be shown. Who does not wait is not told that nobody looks until the
    next line."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __await__(self) -> Generator[Any, None, None]:
        try:
            yield from self._connection.flush().__await__()
        except BrokenError as error:
            raise BrokenPipeError(str(error)) from None
