"""The line editor of a chat: completion and the bell."""

from __future__ import annotations

import asyncio
import io

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from socketkit.cli.chat_prompt import ChatPrompt, completions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/jo", [("/join", 3)]),
        ("/M", [("/me", 2), ("/msg", 2), ("/mute", 2)]),
        ("al", [("Alice: ", 2), ("alan: ", 2)]),
        ("/msg Al", [("Alice", 2), ("alan", 2)]),
        ("hi bo", [("Боб", 2)][:0]),
        ("hi бо", [("Боб", 2)]),
        ("", []),
        ("hi ", []),
    ],
)
def test_completions(text: str, found: list[tuple[str, int]]) -> None:
    assert completions(text, ["Alice", "alan", "Боб"]) == found


@pytest.mark.parametrize(("line", "rings"), [("Bob: hello Al", 1), ("Bob: hello all", 0), ("Bob (private): x", 1)])
def test_bell(line: str, rings: int) -> None:
    screen = io.StringIO()

    async def body(prompt: ChatPrompt) -> None:
        await prompt.show("* you are Al now")
        await prompt.show(line)

    with create_pipe_input() as keys:
        output = Vt100_Output(screen, lambda: Size(24, 80), term="xterm")
        asyncio.run(body(ChatPrompt(input=keys, output=output)))
    assert screen.getvalue().count("\a") == rings


def test_tab_completes_a_name() -> None:
    async def body(prompt: ChatPrompt) -> bytes:
        await prompt.show("Alice: hello")
        prompt._session.default_buffer.on_text_changed += lambda buffer: (
            keys.send_text("yes\r") if buffer.text == "Alice: " else None
        )
        keys.send_text("Ali\t")
        async with asyncio.timeout(20):
            return await prompt.read()

    with create_pipe_input() as keys:
        output = Vt100_Output(io.StringIO(), lambda: Size(24, 80), term="xterm")
        assert asyncio.run(body(ChatPrompt(input=keys, output=output))) == b"Alice: yes"
