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


def test_a_line_is_what_stands_before_enter_and_empty_ones_are_not_meant(terminal: Terminal) -> None:
    terminal.press("hello\r\r\rпривет\r")

    async def body() -> list[bytes]:
        return [await terminal.person.read(), await terminal.person.read()]

    assert run(body) == [b"hello", "привет".encode()]


def test_a_pasted_text_is_as_many_lines_as_it_has(terminal: Terminal) -> None:
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


def test_what_is_shown_meanwhile_does_not_cut_what_is_typed(terminal: Terminal) -> None:
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


def test_what_was_not_shown_when_the_loop_ends_is_shown_at_the_finish(terminal: Terminal) -> None:
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


def test_colours_that_are_pasted_are_no_mouse(terminal: Terminal) -> None:
    terminal.press("a\x1b[31mb\r")

    async def body() -> bytes:
        return await terminal.person.read()

    assert run(body) == b"ab"
