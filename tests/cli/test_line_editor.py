"""The line editor as a stream: what is typed, what is shown above it, and a question before what is typed."""

from __future__ import annotations

import asyncio
import io

import pytest
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.plain_text import PlainTextOutput

from socketkit import ClosedError, EndOfStream
from socketkit.cli.line_editor import EditorStream
from socketkit.cli.prompt import Prompted
from socketkit.engines.asyncio import engine_of


def run(body):
    """Run with a fresh editor: the keys, the screen, and the stream of it."""

    async def bounded():
        with create_pipe_input() as keys:
            screen = io.StringIO()
            editor = Prompted(
                prompt="",
                paint=lambda line: FormattedText([("", line)]),
                keeps_empty=True,
                input=keys,
                output=PlainTextOutput(screen),
            )
            stream = EditorStream(engine_of(asyncio.get_running_loop()), editor)
            async with asyncio.timeout(20):
                return await body(keys, screen, stream)

    return asyncio.run(bounded())


def test_lines_keep_their_ends():
    """Each line is received with its end and enter alone is one."""

    async def body(keys, screen, stream):
        keys.send_text("hello\r\rпривет\r")
        return [await stream.receive() for _ in range(3)]

    assert run(body) == [b"hello\n", b"\n", "привет\n".encode()]


def test_eof_key_is_final():
    """The key for the end is the end and stays."""

    async def body(keys, screen, stream):
        keys.send_text("\x04")
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await stream.receive()

    run(body)


def test_history_by_up_key():
    """The last line typed comes back by the key up."""

    async def body(keys, screen, stream):
        keys.send_text("hello\r")
        await stream.receive()
        keys.send_text("\x1b[A\r")
        return await stream.receive()

    assert run(body) == b"hello\n"


def test_prompt_before_typed_text():
    """Whole lines are shown and a question stands before what is typed."""

    async def body(keys, screen, stream):
        await stream.send(b"wel")
        await stream.send("come\nlogin: п".encode()[:-1])
        await stream.send("п".encode()[-1:])
        await stream.wait_writable()
        shown = screen.getvalue()
        keys.send_text("me\r")
        assert await stream.receive() == b"me\n"
        return shown, screen.getvalue()

    shown, with_prompt = run(body)
    assert "welcome" in shown and "login" not in shown
    assert "login: пme" in with_prompt


def test_waiting_reader_is_stopped():
    """Who waits for a line is reported when nothing more is wanted."""

    async def body(keys, screen, stream):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_outcome(stream.receive()))
            while not stream._editor._session.app.is_running:
                await asyncio.sleep(0)
            stream.stop_receiving()
        return reading.result()

    assert isinstance(run(body), EndOfStream)


async def _outcome(awaitable):
    try:
        return await awaitable
    except EndOfStream as error:
        return error


def test_prompt_shown_at_end():
    """What was a question is shown at the end."""

    async def body(keys, screen, stream):
        await stream.send(b"bye")
        stream.close()
        stream.close()
        await stream.wait_writable()
        with pytest.raises(ClosedError):
            await stream.receive()
        with pytest.raises(ClosedError):
            stream.send_now(b"more")
        return screen.getvalue()

    assert "bye" in run(body)


def test_unfinished_line_shown_once():
    """A question stays on the screen with its answer, and is not repeated before the next one or at the end."""

    async def body(keys, screen, stream):
        for question, answer in ((b"login: ", "bob"), (b"Password: ", "secret")):
            await stream.send(question)
            keys.send_text(f"{answer}\r")
            assert await stream.receive() == answer.encode() + b"\n"
        await stream.send(b"welcome\n")
        await stream.wait_writable()
        stream.close()
        return screen.getvalue()

    shown = run(body)
    assert "login: Password" not in shown and "Password: welcome" not in shown
    assert shown.rstrip().endswith("welcome")
