"""A participant at a terminal: a line editor in the last row, and above it the lines that are shown.

Lines that are shown never break the line that is being typed. It needs asyncio (or uvloop), as prompt_toolkit does.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import in_terminal
from prompt_toolkit.completion import Completer
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output

from socketkit.apps.chat.name_book import writer_of
from socketkit.apps.chat.row_wrap import wrap
from socketkit.errors import EndOfStream

__all__ = ["Prompted"]

_COLORS: Final = ("ansicyan", "ansigreen", "ansimagenta", "ansiyellow", "ansiblue", "ansired")


def _without_mouse() -> KeyBindings:
    """Ignore mouse events: pasted colours (`ESC [ 31 m`) look like one to the editor, which then fails."""
    bindings = KeyBindings()
    bindings.add(Keys.Vt100MouseEvent, eager=True)(lambda event: None)
    bindings.add(Keys.ControlZ)(lambda event: event.app.suspend_to_background())
    return bindings


class Prompted:
    """Reads lines by an editor with a history, and shows lines above it; a `Participant` of a chat.

    Concurrency: call it in the thread of the loop only.
    """

    is_terminal = True

    def __init__(
        self,
        *,
        prompt: str = "> ",
        paint: Callable[[str], FormattedText] | None = None,
        keeps_empty: bool = False,
        completer: Completer | None = None,
        input: Input | None = None,  # noqa: A002 - the name that prompt_toolkit has
        output: Output | None = None,
    ) -> None:
        """Args:
        prompt: stands before the line that is typed; `ask` changes it.
        paint: gives a line its colours; None: as a chat does, with its later rows indented.
        keeps_empty: whether an empty line counts.
        completer: completes what is typed, when Tab is pressed.
        """
        self._prompt = prompt
        self._paint = self._paint_wrapped if paint is None else paint
        self._keeps_empty = keeps_empty
        self._session: PromptSession[str] = PromptSession(
            lambda: self._prompt,
            input=input,
            output=output,
            key_bindings=_without_mouse(),
            completer=completer,
            complete_while_typing=False,
        )
        self._typed: deque[bytes] = deque()
        self.prompted_count = 0
        self._unshown: list[str] = []
        self._unshown_size = 0
        self._showing: asyncio.Task[None] | None = None
        self._resumption: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        """The next line that is typed. A pasted text is split into its lines; empty lines are left out.

        Raises:
            EndOfStream: Ctrl-D on an empty line.
        """
        while not self._typed:
            try:
                with self._resuming():
                    text = await self._session.prompt_async()
            except EOFError:
                raise EndOfStream("the end of the terminal's input") from None
            except KeyboardInterrupt:
                # The editor reads Ctrl-C as a key; the handler of the signal decides what it does.
                signal.raise_signal(signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                self.prompted_count += 1
            lines = text.splitlines() or [""]
            self._typed.extend(line.encode(errors="replace") for line in lines if line or self._keeps_empty)
        return self._typed.popleft()

    @contextmanager
    def _resuming(self) -> Iterator[None]:
        """While the block runs, SIGCONT restores the editor: a shell has changed the terminal's modes meanwhile."""
        loop = asyncio.get_running_loop()
        number = getattr(signal, "SIGCONT", None)
        if number is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop.add_signal_handler(number, self._resume)
        try:
            yield
        finally:
            loop.remove_signal_handler(number)

    def _resume(self) -> None:
        self._resumption = asyncio.get_running_loop().create_task(self._edit_again())

    async def _edit_again(self) -> None:
        """Draw the editor again, in raw mode. `in_terminal` alone would restore the modes that it has found."""
        app = self._session.app
        if not app.is_running:
            return  # the next prompt sets them
        async with in_terminal():
            pass
        if app.is_running:
            app.input.raw_mode().__enter__()  # the prompt's own one restores the modes at its end

    def ask(self, prompt: str) -> None:
        """Change the prompt."""
        if prompt != self._prompt:
            self._prompt = prompt
            self._session.app.invalidate()

    def stop(self) -> None:
        """End the input: a `read` that waits raises EndOfStream."""
        if self._session.app.is_running:
            self._session.app.exit(exception=EOFError())

    def ring(self) -> None:
        """Ring the terminal's bell."""
        self._session.output.bell()
        self._session.output.flush()

    def show(self, line: str) -> Awaitable[None]:
        """Show a line above the editor; awaiting the result waits until it is shown."""
        self._unshown.append(line)
        self._unshown_size += len(line)
        if self._showing is None or self._showing.done():
            self._showing = asyncio.get_running_loop().create_task(self._show_all())
        return self._showing

    async def shown(self) -> None:
        """Wait until every queued line is shown."""
        if self._showing is not None:
            await self._showing

    @property
    def unshown_size(self) -> int:
        """Characters that are queued, and not yet shown."""
        return self._unshown_size

    async def _show_all(self) -> None:
        """Show all queued lines with one redrawing of the editor."""
        while self._unshown:
            async with in_terminal():
                self.finish()

    def finish(self) -> None:
        """Show the queued lines at once; works without a running loop too."""
        lines, self._unshown, self._unshown_size = self._unshown, [], 0
        for line in lines:
            print_formatted_text(self._paint(line), output=self._session.output)

    def _paint_wrapped(self, line: str) -> FormattedText:
        """The line's rows at the width of this terminal: the terminal itself would begin the later ones at its edge,
        where a guest could imitate a line of another one."""
        first, *others = wrap(line, self._session.output.get_size().columns)
        return FormattedText([*_colored(first), *(("", f"\n{row}") for row in others)])


def _colored(line: str) -> FormattedText:
    """A name in a colour of its own, and the room's notices in grey."""
    if line.startswith("* "):
        return FormattedText([("ansibrightblack", line)])
    writer = writer_of(line)
    if writer is None:
        return FormattedText([("", line)])
    name, begin, end = writer
    color = _COLORS[zlib.crc32(name.encode(errors="replace")) % len(_COLORS)]
    return FormattedText([("ansibrightblack", line[:begin]), (color, line[begin:end]), ("", line[end:])])
