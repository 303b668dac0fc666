"""Pipes, terminals, files and sockets as one stream; shared descriptions stay as they were.

Systems without `/proc` are tested by another path in its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import socket
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.stream_contract import StreamContract, receive_all
from socketkit import engines
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ClosedError, DeadlineError, EndOfStream
from socketkit.streams import pipes
from socketkit.streams.pipes import PipeStream
from socketkit.streams.stream import Stream
from support.running import Running, turns
from support.streams import open_descriptors


def small_pipe() -> tuple[int, int]:
    """A pipe that is full soon."""
    source, sink = os.pipe()
    fcntl.fcntl(sink, 1031, 4096)  # F_SETPIPE_SZ: fcntl has the name from Python 3.10 on, on Linux
    return source, sink


def flags_of(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL)


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "_LINKS", "/nowhere")


class TestPipes(StreamContract):
    """Two pipes, opened anew by each end."""

    has_reset = False

    def make(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        there, back = (os.pipe(), os.pipe()) if buffer is None else (small_pipe(), small_pipe())
        left = PipeStream(engine, back[0], there[1], local="left", peer="right")
        right = PipeStream(engine, there[0], back[1], local="right", peer="left")
        return left, right


@pytest.mark.usefixtures("without_proc")
class TestPipesOnASystemWithoutProc(TestPipes):
    """Nothing is called that the poller has not announced."""


class TestSockets(StreamContract):
    """Sockets that block; each is source and sink."""

    has_reset = False

    def make(self, engine: Engine, *, buffer: int | None = None) -> tuple[Stream, Stream]:
        ends = [end.detach() for end in socket.socketpair()]
        left, right = [PipeStream(engine, end, end, local="one end", peer="the other") for end in ends]
        return left, right


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's, and the program's; without echo."""
    person, program = pty.openpty()
    mode = termios.tcgetattr(program)
    mode[3] &= ~termios.ECHO
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(program, termios.TCSANOW, mode)
    try:
        yield person, program
    finally:
        os.close(person)
        os.close(program)


@pytest.mark.parametrize("way", ["pipe", "socket", "terminal", "file"])
def test_shared_descriptor_stays_blocking(engine_name: str, way: str, tmp_path: Path) -> None:
    """What is shared never becomes non blocking and stays open."""
    with contextlib.ExitStack() as stack:
        if way == "pipe":
            source, sink = os.pipe()
        elif way == "socket":
            source, sink = [end.detach() for end in socket.socketpair()]
        elif way == "terminal":
            _, program = stack.enter_context(terminal())
            source, sink = os.dup(program), os.dup(program)
        else:
            source = sink = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        stack.callback(lambda: [os.close(descriptor) for descriptor in {source, sink}])
        before = flags_of(source), flags_of(sink)
        seen = []
        others = open_descriptors()
        engine = engines.make(engine_name)

        async def main(engine: Engine) -> None:
            stream = PipeStream(engine, source, sink, owned=False)
            stream.send_now(b"word\n")
            await stream.wait_writable()
            seen.append((flags_of(source), flags_of(sink)))
            if way == "pipe":
                assert await stream.receive() == b"word\n"
            stream.close()

        engine.run(main(engine))
        assert seen == [before]
        assert (flags_of(source), flags_of(sink)) == before
        del engine
        assert open_descriptors() <= others


def test_terminal_lines_and_eof(engine: Engine) -> None:
    """A terminal gives lines and an end by the key for it."""
    with terminal() as (person, program):

        async def main() -> None:
            stream = PipeStream(engine, program, program, owned=False)
            os.write(person, b"typed\n")
            assert await stream.receive() == b"typed\n"
            await stream.send(b"shown\n")
            assert os.read(person, 100) == b"shown\n"
            os.write(person, b"\x04")  # Ctrl-D
            with pytest.raises(EndOfStream):
                await stream.receive()
            stream.close()

        engine.run(main())


def test_terminal_hangup_is_eof(engine: Engine) -> None:
    person, program = pty.openpty()

    async def main() -> None:
        stream = PipeStream(engine, program, program)
        os.close(person)
        with pytest.raises(EndOfStream):
            await stream.receive()
        stream.close()

    engine.run(main())


def test_file_read_and_written_in_order(engine: Engine, tmp_path: Path) -> None:
    """A file is read to its end and written in order."""
    data = os.urandom(1_000_000)
    (tmp_path / "from").write_bytes(data)
    source = os.open(tmp_path / "from", os.O_RDONLY)
    sink = os.open(tmp_path / "to", os.O_WRONLY | os.O_CREAT)

    async def main() -> None:
        stream = PipeStream(engine, source, sink)
        received = []
        with contextlib.suppress(EndOfStream):
            while True:
                received.append(await stream.receive())
                stream.stop_receiving()  # changes nothing: all of it has arrived
                await stream.send(received[-1])
                await stream.wait_writable()
        assert b"".join(received) == data
        stream.close()

    engine.run(main())
    assert (tmp_path / "to").read_bytes() == data


def test_append_keeps_other_writes(engine: Engine, tmp_path: Path) -> None:
    """A file that is appended to keeps what others wrote."""
    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    sink = os.open(path, os.O_WRONLY | os.O_APPEND)

    async def main() -> None:
        stream = PipeStream(engine, os.open(os.devnull, os.O_RDONLY), sink)
        await stream.send(b"second\n")
        stream.close()

    engine.run(main())
    assert path.read_bytes() == b"first\nsecond\n"


def test_dev_null_reads_eof_takes_all(engine: Engine) -> None:
    """Nothing comes from dev null and anything goes there."""

    async def main() -> None:
        stream = PipeStream(engine, os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY))
        await stream.send(bytes(1_000_000))
        await stream.wait_writable()
        with pytest.raises(EndOfStream):
            await stream.receive()
        stream.close()

    engine.run(main())


def events() -> int:
    return os.eventfd(0)


def notifications() -> int:
    """Of notifications about files: nothing comes."""
    import ctypes

    return ctypes.CDLL(None).inotify_init1(0)


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="Linux's descriptors without a type of file")
@pytest.mark.parametrize("make", [events, notifications])
def test_descriptor_without_type_is_polled(engine: Engine, make: Callable[[], int]) -> None:
    """A deadline ends the wait, and so does `stop_receiving`; a read never blocks the engine."""
    descriptor = make()

    async def main() -> None:
        stream = PipeStream(engine, descriptor, None)
        with pytest.raises(DeadlineError):
            await stream.receive(deadline=engine.now() + 0.01)
        receiving = Running(engine, stream.receive())
        await turns(engine)
        stream.stop_receiving()
        assert isinstance(await receiving.outcome(), EndOfStream)
        stream.close()

    engine.run(main())


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="Linux has them")
def test_eventfd_is_received(engine: Engine) -> None:
    """Its count is eight bytes, once it is not zero."""
    descriptor = os.eventfd(0)
    other = os.dup(descriptor)

    async def main() -> None:
        stream = PipeStream(engine, descriptor, None)
        receiving = Running(engine, stream.receive())
        await turns(engine)
        os.eventfd_write(other, 7)
        assert await receiving.result() == (7).to_bytes(8, sys.byteorder)
        stream.close()

    engine.run(main())
    os.close(other)


def test_reader_gone_is_loss(engine: Engine) -> None:
    """A reader that has gone is a loss that says so."""
    source, sink = os.pipe()
    os.close(source)

    async def main() -> None:
        stream = PipeStream(engine, os.open(os.devnull, os.O_RDONLY), sink, peer="standard output")
        with pytest.raises(BrokenError, match=r"sending to standard output: Broken pipe \(EPIPE\)"):
            stream.send_now(b"to nobody")
        await stream.wait_writable()  # it would raise: that is news too
        stream.close()

    engine.run(main())


def test_unreadable_source_says_why(engine: Engine, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)

    async def main() -> None:
        stream = PipeStream(engine, folder, os.open(os.devnull, os.O_WRONLY), local="standard input")
        with pytest.raises(BrokenError, match=r"receiving from standard input: Is a directory \(EISDIR\)"):
            await stream.receive()
        stream.close()

    engine.run(main())


def test_stop_receiving_gives_rest_then_eof(engine: Engine) -> None:
    """Stopping gives what has arrived and then the end."""
    source, sink = os.pipe()

    async def main() -> None:
        stream = PipeStream(engine, source, os.open(os.devnull, os.O_WRONLY))
        os.write(sink, b"arrived")
        stream.stop_receiving()
        assert await receive_all(stream) == b"arrived"
        os.write(sink, b"too late")
        with pytest.raises(EndOfStream):
            await stream.receive()
        stream.close()

    engine.run(main())
    os.close(sink)


def test_stop_receiving_wakes_receive(engine_name: str) -> None:
    """Stopping wakes whatever waits or is about to."""
    for pause in range(20):
        engine = engines.make(engine_name)
        source, sink = os.pipe()

        async def main(engine: Engine = engine, source: int = source, pause: int = pause) -> None:
            stream = PipeStream(engine, source, os.open(os.devnull, os.O_WRONLY))
            receiving = Running(engine, receive_all(stream))
            if pause % 2:
                await turns(engine)
            stream.stop_receiving()
            assert await receiving.outcome() == b""
            stream.close()

        engine.run(main())
        os.close(sink)


def test_borrowed_sink_stays_open(engine: Engine) -> None:
    """A borrowed sink stays open at our end and sends no more."""
    source, sink = os.pipe()

    async def main() -> None:
        stream = PipeStream(engine, os.open(os.devnull, os.O_RDONLY), sink, owned=False)
        await stream.send(b"ours")
        await stream.send_eof()
        await stream.send_eof()
        with pytest.raises(ClosedError):
            stream.send_now(b"more")
        stream.close()

    engine.run(main())
    os.write(sink, b", theirs")
    assert os.read(source, 100) == b"ours, theirs"
    os.close(source)
    os.close(sink)


def test_closed_descriptor_refused(engine: Engine) -> None:
    """A descriptor that is not open is refused and nothing is left."""
    source, sink = os.pipe()
    os.close(sink)
    before = open_descriptors()
    with pytest.raises(OSError):
        PipeStream(engine, source, sink)
    assert open_descriptors() <= before
    os.close(source)
