"""A participant: the person at this end of a chat, who types lines and is shown lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol

from socketkit.apps.chat.row_wrap import wrap
from socketkit.connection.connection import Connection
from socketkit.errors import BrokenError, EndOfStream

__all__ = ["PERSON_FRAMING", "Participant", "Piped"]

PERSON_FRAMING: Final = "lines:encoding=none,oversize=truncate"
"""The framing of a person's lines: bytes, because peers need not send UTF-8."""


class Participant(Protocol):
    """The person at this end."""

    is_terminal: bool
    """Whether the end of the input means that the person leaves (Ctrl-D), and not only that a file has ended."""

    async def read(self) -> bytes:
        """The next line of the input.

        Raises:
            EndOfStream: the input has ended.
        """

    def show(self, line: str) -> Awaitable[None]:
        """Show a line; where the input is no terminal, perhaps several with line feeds between.

        It is queued by the call, and awaiting the result waits until there is room for more.

        Raises:
            BrokenPipeError: the output was closed.
        """

    @property
    def unshown_size(self) -> int:
        """Bytes that are queued, and not yet shown."""


class Piped:
    """A participant behind a connection of lines: standard input and output, without a line editor."""

    def __init__(
        self, connection: Connection, *, is_terminal: bool = False, width: Callable[[], int] | None = None
    ) -> None:
        """Args:
        connection: carries the lines.
        is_terminal: whether the input is a terminal.
        width: the columns of the terminal that shows the output; None: it is no terminal.
        """
        self._connection = connection
        self._width = width
        self.is_terminal = is_terminal

    async def read(self) -> bytes:
        try:
            line: bytes = await self._connection.receive()
        except BrokenError as error:  # a terminal that was hung up, say: it sends nothing more
            raise EndOfStream(str(error)) from None
        return line

    def show(self, line: str) -> Awaitable[None]:
        rows = line.split("\n")
        if self._width is not None:
            width = self._width()
            rows = [row for each in rows for row in wrap(each, width)]
        try:
            self._connection.send_many([row.encode(errors="backslashreplace") for row in rows])
        except BrokenError as error:
            raise BrokenPipeError(str(error)) from None
        return _Shown(self._connection)

    @property
    def unshown_size(self) -> int:
        return self._connection.internals.session.outgoing_size


class _Shown:
    """Waits until the queued lines are written. Without the wait, the next line finds out that the output is closed."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __await__(self) -> Generator[Any, None, None]:
        try:
            yield from self._connection.flush().__await__()
        except BrokenError as error:
            raise BrokenPipeError(str(error)) from None
