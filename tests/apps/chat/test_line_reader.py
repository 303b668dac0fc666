"""Lines of a chat's peer, also those that have no end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from socketkit import connect, engines
from socketkit.apps.chat.line_reader import CHAT_FRAMING, LineReader
from socketkit.errors import BrokenError, DeadlineError, EndOfStream
from support.connections import PATIENCE
from support.streams import reset

ENGINES = [name for name in ("epoll", "poll", "select", "asyncio", "uvloop", "trio") if engines.is_available(name)]
FRAMING = "lines:encoding=none,max_size=16,oversize=truncate"
SOON = 0.01
NEVER = 3600.0

Talk = Callable[[LineReader, socket.socket], Coroutine[Any, Any, None]]


def run(talk: Talk, *, unfinished_timeout: float, engine_name: str = ENGINES[0], **options: Any) -> None:
    """Let a reader and a plain socket talk."""
    engine = engines.make(engine_name)

    @contextlib.asynccontextmanager
    async def both() -> AsyncIterator[tuple[LineReader, socket.socket]]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            async with connect(address, framing=CHAT_FRAMING, engine=engine, **options) as connection:
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(PATIENCE)
                    yield LineReader(connection, FRAMING, unfinished_timeout=unfinished_timeout), peer

    async def work() -> None:
        async with both() as (reader, peer):
            await talk(reader, peer)

    engine.run(work())


@pytest.mark.parametrize("engine_name", ENGINES)
def test_unfinished_text_is_a_line(engine_name: str) -> None:
    """Text without a line end is received when nothing follows; what comes later is a line of its own."""

    async def talk(reader: LineReader, peer: socket.socket) -> None:
        peer.sendall("привет".encode())
        assert await reader.receive() == "привет".encode()
        peer.sendall(b"more")
        assert await reader.receive() == b"more"

    run(talk, unfinished_timeout=SOON, engine_name=engine_name)


def test_an_end_that_comes_late_is_no_empty_line() -> None:
    """The line end of text that was received without it is dropped, in one piece or in two; a later one counts."""

    async def talk(reader: LineReader, peer: socket.socket) -> None:
        for late in (b"\n", b"\r\n"):
            peer.sendall(b"text")
            assert await reader.receive() == b"text"
            peer.sendall(late + b"\n" + b"next\n")
            assert [await reader.receive() for _ in range(2)] == [b"", b"next"]
        peer.sendall(b"text\r")
        assert await reader.receive() == b"text"
        peer.sendall(b"\nend\n")
        assert await reader.receive() == b"end"

    run(talk, unfinished_timeout=SOON)


def test_pieces_of_a_line_in_time() -> None:
    """Pieces that come within the time are one line, and the end of the stream ends the last one."""

    async def talk(reader: LineReader, peer: socket.socket) -> None:
        peer.sendall(b"one\ntw")
        assert await reader.receive() == b"one"
        peer.sendall(b"o\r\nthree")
        assert await reader.receive() == b"two"
        peer.shutdown(socket.SHUT_WR)
        assert await reader.receive() == b"three"
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await reader.receive()

    run(talk, unfinished_timeout=NEVER)


def test_the_rest_of_a_long_line_is_dropped() -> None:
    """After a line that was cut the rest is dropped up to its end, however late that comes."""

    async def talk(reader: LineReader, peer: socket.socket) -> None:
        peer.sendall(b"x" * 100)
        assert await reader.receive() == b"x" * 16
        peer.sendall(b"y")
        peer.sendall(b"y\nshort\n")
        assert await reader.receive() == b"short"

    run(talk, unfinished_timeout=SOON)


def test_losses_and_the_idle_timeout_are_raised() -> None:
    """A loss is raised, and so is the idle timeout of the connection where no text is unfinished."""

    async def lose(reader: LineReader, peer: socket.socket) -> None:
        peer.sendall(b"half")
        reset(peer)
        with pytest.raises(BrokenError):
            await reader.receive()

    async def idle(reader: LineReader, peer: socket.socket) -> None:
        with pytest.raises(DeadlineError):
            await reader.receive()

    run(lose, unfinished_timeout=NEVER)
    run(idle, unfinished_timeout=NEVER, idle_timeout="20ms")
