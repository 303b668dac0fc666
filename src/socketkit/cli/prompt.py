"""A person at a terminal: a line editor at the bottom, and above it what is shown, which never cuts what is typed.

It runs inside asyncio (or uvloop), as prompt_toolkit does.
"""

from __future__ import annotations

import asyncio
import signal
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output

from socketkit.errors import EndOfStream

__all__ = ["Prompted"]

_COLORS: Final = ("ansicyan", "ansigreen", "ansimagenta", "ansiyellow", "ansiblue", "ansired")


def _without_mouse() -> KeyBindings:
    """Colours that are pasted (`ESC [ 31 m`) look like a mouse to the editor, which then fails: we have none."""
    bindings = KeyBindings()
    bindings.add(Keys.Vt100MouseEvent, eager=True)(lambda event: None)
    return bindings


class Prompted:
    """Reads lines by an editor with a history, and shows lines above it; a `Person` of the chat.

    Concurrency: everything is called in the thread of the loop.
    """

    is_terminal = True

    def __init__(
        self,
        *,
        prompt: str = "> ",
        paint: Callable[[str], FormattedText] | None = None,
        keeps_empty: bool = False,
        input: Input | None = None,  # noqa: A002 - their word
        output: Output | None = None,
    ) -> None:
        """Args:
        prompt: stands before what is typed; may be changed by `ask`.
        paint: gives a line that is shown its colours; None: as a chat's.
        keeps_empty: whether Enter alone is a line too.
        """
        self._prompt = prompt
        self._paint = _colored if paint is None else paint
        self._keeps_empty = keeps_empty
        self._session: PromptSession[str] = PromptSession(
            lambda: self._prompt, input=input, output=output, key_bindings=_without_mouse()
        )
        self._typed: deque[bytes] = deque()
        self._unshown: list[str] = []
        self._unshown_size = 0
        self._showing: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        """The next line that is typed; a pasted text is as many lines as it has, and empty ones are not meant.

        Raises:
            EndOfStream: Ctrl-D on an empty line.
        """
        while not self._typed:
            try:
                text = await self._session.prompt_async()
            except EOFError:
                raise EndOfStream("the end of the terminal's input") from None
            except KeyboardInterrupt:
                # Here Ctrl-C is a key. What it means is decided where the signal is, by whoever has asked for it.
                signal.raise_signal(signal.SIGINT)
                await asyncio.Event().wait()
            lines = text.splitlines() or [""]
            self._typed.extend(line.encode(errors="replace") for line in lines if line or self._keeps_empty)
        return self._typed.popleft()

    def ask(self, prompt: str) -> None:
        """Put this before what is typed, from now on."""
        if prompt != self._prompt:
            self._prompt = prompt
            self._session.app.invalidate()

    def stop(self) -> None:
        """Nothing more is to be typed: who reads meets the end."""
        if self._session.app.is_running:
            self._session.app.exit(exception=EOFError())

    def show(self, line: str) -> Awaitable[None]:
        """Show a line above the editor; awaiting it waits until it is there."""
        self._unshown.append(line)
        self._unshown_size += len(line)
        if self._showing is None or self._showing.done():
            self._showing = asyncio.get_running_loop().create_task(self._show_all())
        return self._showing

    async def shown(self) -> None:
        """Wait until all that was to be shown is there."""
        if self._showing is not None:
            await self._showing

    @property
    def unshown_size(self) -> int:
        """Characters that were to be shown and are not yet."""
        return self._unshown_size

    async def _show_all(self) -> None:
        """Lines that come while others are shown are shown with one redrawing of the editor."""
        while self._unshown:
            async with in_terminal():
                self.finish()

    def finish(self) -> None:
        """Show what was not shown yet, here and now: also when no loop runs any more."""
        lines, self._unshown, self._unshown_size = self._unshown, [], 0
        for line in lines:
            print_formatted_text(self._paint(line), output=self._session.output)


def _colored(line: str) -> FormattedText:
    """A name in a colour of its own, and what the room says in the background."""
    if line.startswith("* "):
        return FormattedText([("ansibrightblack", line)])
    name, colon, rest = line.partition(": ")
    if not colon or " " in name:
        return FormattedText([("", line)])
    color = _COLORS[zlib.crc32(name.encode(errors="replace")) % len(_COLORS)]
    return FormattedText([(color, name + colon), ("", rest)])
