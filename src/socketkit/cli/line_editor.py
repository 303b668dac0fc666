"""Standard input and output of `connect` and `listen`: at a terminal a line editor with a history."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from socketkit import engines
from socketkit.cli import common_options
from socketkit.cli.output import printing_above
from socketkit.config.address import Address
from socketkit.engines.engine import Engine
from socketkit.errors import ClosedError, EndOfStream
from socketkit.streams.pipes import stdio
from socketkit.streams.stream import Stream

if TYPE_CHECKING:
    from socketkit.cli.prompt import Prompted

__all__ = ["EditorStream", "open_terminal"]

UNSHOWN_SIZE = 64 * 1024
"""Characters that may wait to be shown before more is received."""


@contextmanager
def open_terminal(engine_name: str | None, address: Address) -> Iterator[tuple[Engine, Callable[[Engine], Stream]]]:
    """The engine, and what makes the stream of the terminal.

    A person at a terminal gets the line editor, which runs inside asyncio; one who asks for another engine, or whose
    terminal is dumb, types to the terminal itself.
    """
    is_person = os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb" and find_spec("prompt_toolkit")
    asked = engine_name or dict(address.options).get("engine")
    if not is_person or asked not in (None, "asyncio", "uvloop"):
        yield common_options.engine_for(engine_name, address), stdio
        return
    from prompt_toolkit.formatted_text import FormattedText

    from socketkit.cli.prompt import Prompted

    editor = Prompted(prompt="", paint=lambda line: FormattedText([("", line)]), keeps_empty=True)
    try:
        with printing_above(editor.show):
            yield engines.make(asked or "asyncio"), lambda engine: EditorStream(engine, editor)
    finally:
        editor.finish()


class EditorStream(Stream):
    """A line editor as a stream: what is typed is received line by line, what is sent is shown above.

    The last line of the peer, when it has no end yet, stands before what is typed: so a question is seen at once.
    """

    def __init__(self, engine: Engine, editor: Prompted) -> None:
        self.engine = engine
        self.local = self.peer = "the terminal"
        self._editor = editor
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._partial = ""
        self._ended = self._closed = False

    async def receive(self, *, deadline: float | None = None) -> bytes:
        self._check()
        if self._ended:
            raise EndOfStream("the end of the terminal's input")
        count = self._editor.prompted_count
        try:
            return await self._editor.read() + b"\n"
        except EndOfStream:
            self._ended = True
            raise
        finally:
            if self._editor.prompted_count != count:
                self._partial = ""  # the editor leaves it on the screen, before the line that was typed
                self._editor.ask("")

    def send_now(self, data: bytes | memoryview) -> int:
        self._check()
        *lines, self._partial = (self._partial + self._decoder.decode(bytes(data))).split("\n")
        for line in lines:
            self._editor.show(line)
        self._editor.ask(self._partial)
        return len(data)

    async def send(self, data: bytes | memoryview, *, deadline: float | None = None) -> None:
        self.send_now(data)
        if self._editor.unshown_size > UNSHOWN_SIZE:
            await self.wait_writable(deadline=deadline)

    async def wait_writable(self, *, deadline: float | None = None) -> None:
        await self._editor.shown()

    async def send_eof(self, *, deadline: float | None = None) -> None:
        self._check()

    def stop_receiving(self) -> None:
        self._ended = True
        self._editor.stop()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._editor.stop()
            if self._partial:
                self._editor.show(self._partial)
                self._editor.ask("")

    def abort(self) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("the terminal's stream was closed here")
