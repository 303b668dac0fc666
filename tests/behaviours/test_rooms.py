"""Rooms: what one says reaches the others, once, whole, and under its own name."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator

import pytest

from behaviours.peers import call, largest
from behaviours.tools import Running, Tool
from support.streams import reset

SAID = "said by a guest"


@contextlib.contextmanager
def room(tool: Tool, verb: str = "room") -> Iterator[Running]:
    with tool.serving(verb, options={"stdin": subprocess.PIPE}) as server:
        assert server.program.process.stdout is not None
        drain = threading.Thread(target=server.program.process.stdout.read, daemon=True)
        drain.start()
        yield server
        server.program.stop()
        drain.join(20)


class Guest:
    """A guest with nothing but a socket, whom the others have noticed."""

    def __init__(self, server: Running) -> None:
        self.sock = call(server.address)
        self.file = self.sock.makefile("rb")

    def says(self, text: str) -> None:
        self.sock.sendall(text.encode() + b"\n")

    def hears(self, part: str) -> str:
        """The next line with this in it; what the room itself says is passed over."""
        while line := self.file.readline():
            if part.encode() in line:
                return line.decode(errors="replace").rstrip("\r\n")
        raise AssertionError(f"the end came before {part!r}")

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()
        self.sock.close()


@contextlib.contextmanager
def guests(server: Running, count: int) -> Iterator[list[Guest]]:
    """So many guests who all hear each other."""
    with contextlib.ExitStack() as stack:
        here: list[Guest] = []
        for number in range(count):
            here.append(stack.enter_context(Guest(server)))
            here[-1].says(f"arrival {number} of many")
            for other in here[:-1]:
                other.hears(f"arrival {number} of many")
        yield here


@pytest.mark.parametrize("verb", ["broker"])
def test_47_messages_in_order_not_echoed(tool: Tool, verb: str) -> None:
    """A line of one of three guests reaches the other two, in order, and not its sender."""
    with room(tool, verb) as server, guests(server, 3) as (one, two, three):
        for number in range(20):
            one.says(f"message {number};")
        for other in (two, three):
            assert [other.hears("message").partition("message ")[2] for _ in range(20)] == [f"{n};" for n in range(20)]
        two.says("the last word")
        assert "message" not in one.hears("")  # arrivals apart, its own words never came back
        one.says("bye")


@pytest.mark.slow
def test_48_stalled_reader_blocks_nobody(tool: Tool) -> None:
    """One guest does not read: another receives all of eight megabytes, and the room continues."""
    line = "x" * 1000
    with room(tool) as server, guests(server, 3) as (talker, listener, _sleeper):

        def talk() -> None:
            with contextlib.suppress(OSError):  # then the listener hears the end too early
                for _ in range(8000):
                    talker.says(line)
                talker.says("that was all")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        heard = 0
        while "that was all" not in (said := listener.hears("")):
            heard += line in said
        thread.join(20)
        assert heard == 8000


def test_49_one_name_per_line(tool: Tool) -> None:
    """A line in three packets is one message with one name; two lines in one packet are two."""
    with room(tool) as server, guests(server, 2) as (one, two):
        for piece in (b"in th", b"ree pie", b"ces\nand a second line\n"):
            one.sock.sendall(piece)
            threading.Event().wait(0.2)
        first, second = two.hears("in th"), two.hears("second")
        assert first.endswith("in three pieces") and second.endswith("and a second line")
        assert first.removesuffix("in three pieces") == second.removesuffix("and a second line") != ""


def test_49_nobody_speaks_as_another(tool: Tool) -> None:
    """Control characters of a guest are not forwarded raw, as they could hide its name."""
    with room(tool) as server, guests(server, 2) as (one, two):
        one.says("\x1b[2K\r<user0> forged \x07")
        heard = two.hears("forged")
        assert "\x1b" not in heard and "\x07" not in heard and "\r" not in heard


def test_49_comings_and_goings_are_announced(tool: Tool) -> None:
    """Joining and leaving are announced to the other guests."""
    with room(tool) as server, Guest(server) as one:
        one.says("first")
        with Guest(server) as two:
            two.says("hello there")
            before = one.file.readline().decode()
            while "hello there" not in (line := one.file.readline().decode()) and line:
                before += line
            assert before
            name = line.partition("hello there")[0]
        one.sock.settimeout(5)
        after = one.file.readline().decode()
        assert after and name.strip(" <>:\n") in after


def test_50_a_name_that_is_taken(tool: Tool) -> None:
    """A name in use is refused."""
    with room(tool) as server, guests(server, 2) as (one, two):
        if tool.name != "socketkit":
            tool.lacks("names that guests choose")
        one.says("/name Alice")
        one.hears("you are Alice now")
        two.says("/name Alice")
        two.hears("Alice")
        two.says("who am I?")
        assert not one.hears("who am I?").startswith("Alice:")


def test_50_fifty_lines_at_once(tool: Tool) -> None:
    """Fifty lines pasted at once all arrive."""
    with room(tool) as server, guests(server, 2) as (one, two):
        one.sock.sendall(b"".join(b"pasted %d;\n" % number for number in range(50)))
        assert [two.hears("pasted").rpartition(" ")[2] for _ in range(50)] == [f"{number};" for number in range(50)]


@pytest.mark.slow
def test_50_unterminated_line_is_bounded(tool: Tool) -> None:
    """A line of four megabytes without an end does not take as much memory, and the room continues."""
    with room(tool) as server, guests(server, 2) as (one, two):
        before = largest(server.program.process.pid)
        with Guest(server) as endless, contextlib.suppress(OSError):
            for _ in range(64):
                endless.sock.sendall(b"x" * 65536)
        one.says(SAID)
        two.hears(SAID)
        assert largest(server.program.process.pid) - before < 2 << 20


@pytest.mark.slow
def test_51_dying_guests_keep_room_open(tool: Tool) -> None:
    """Guests that are lost in mid-message disturb no other."""
    with room(tool) as server, guests(server, 2) as (one, two):
        for number in range(30):
            dying = [call(server.address) for _ in range(3)]
            one.says(f"during {number};")
            for sock in dying:
                reset(sock)
            two.hears(f"during {number};")
        one.says(SAID)
        two.hears(SAID)
