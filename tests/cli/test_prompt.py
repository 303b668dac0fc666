"""A person at a terminal: what is typed and what is shown do not meet."""

from __future__ import annotations

import asyncio
import io
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.plain_text import PlainTextOutput

from socketkit import EndOfStream
from socketkit.cli.prompt import Prompted


class Terminal:
    """Keys, a screen, and the person between them."""

    def __init__(self, keys: PipeInput) -> None:
        self._keys = keys
        self._screen = io.StringIO()
        self.person = Prompted(input=keys, output=PlainTextOutput(self._screen))

    def press(self, keys: str) -> None:
        self._keys.send_text(keys)

    def shown(self) -> str:
        return self._screen.getvalue()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with create_pipe_input() as keys:
        yield Terminal(keys)


def run(body: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await body()

    return asyncio.run(bounded())


def test_empty_lines_are_skipped(terminal: Terminal) -> None:
    """A line is what stands before enter and empty ones are not meant."""
    terminal.press("hello\r\r\rпривет\r")

    async def body() -> list[bytes]:
        return [await terminal.person.read(), await terminal.person.read()]

    assert run(body) == [b"hello", "привет".encode()]


def test_pasted_text_is_split_into_lines(terminal: Terminal) -> None:
    """A pasted text is as many lines as it has."""
    terminal.press("\x1b[200~one\ntwo\r\nthree\x1b[201~\r")

    async def body() -> list[bytes]:
        return [await terminal.person.read() for _ in range(3)]

    assert run(body) == [b"one", b"two", b"three"]


def test_ctrl_d_is_the_end(terminal: Terminal) -> None:
    terminal.press("\x04")

    async def body() -> None:
        with pytest.raises(EndOfStream):
            await terminal.person.read()

    run(body)


def test_output_keeps_typed_line(terminal: Terminal) -> None:
    """What is shown meanwhile does not cut what is typed."""

    async def body() -> bytes:
        reading = asyncio.ensure_future(terminal.person.read())
        for word in ("I am ", "typing ", "this"):
            terminal.press(word)
            await terminal.person.show(f"Alice: {word}while you type")
        terminal.press("\r")
        return await reading

    assert run(body) == b"I am typing this"
    for word in ("I am ", "typing ", "this"):
        assert terminal.shown().count(f"Alice: {word}while you type") == 1
    assert terminal.person.unshown_size == 0


def test_pending_output_shown_at_finish(terminal: Terminal) -> None:
    """What was not shown when the loop ends is shown at the finish."""

    async def body() -> None:
        terminal.person.show("* goodbye: host has ended the chat")

    run(body)
    terminal.person.finish()
    terminal.person.finish()
    assert terminal.shown().count("* goodbye: host has ended the chat") == 1


def test_ctrl_c_is_the_signal(terminal: Terminal) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:

        async def body() -> None:
            reading = asyncio.ensure_future(terminal.person.read())
            terminal.press("half a line\x03")
            while not caught:
                await asyncio.sleep(0)
            reading.cancel()

        run(body)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]


def test_pasted_colours_are_not_mouse(terminal: Terminal) -> None:
    """Colours that are pasted are no mouse."""
    terminal.press("a\x1b[31mb\r")

    async def body() -> bytes:
        return await terminal.person.read()

    assert run(body) == b"ab"
