"""The chat over real sockets: guests that are raw sockets of the standard library, a host in a thread, no sleeps."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from socketkit import Address, engines, pair, serve
from socketkit.apps.chat import guest as guest_module
from socketkit.apps.chat import host
from socketkit.apps.chat.hub import MAX_LINE_SIZE
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.participant import PERSON_FRAMING, Piped
from socketkit.apps.talk.conversation import AbandonedError
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine
from socketkit.errors import BrokenError, ConnectError, EndOfStream, OptionError

PATIENCE = 20.0
ENGINES = [name for name in ("epoll", "poll", "select", "kqueue", "asyncio", "uvloop") if engines.is_available(name)]


class _Done:
    def __await__(self) -> Iterator[None]:
        return iter(())


class Scripted:
    """A person whose typing is a test's, from any thread."""

    def __init__(self, engine: Engine, *, is_terminal: bool = False) -> None:
        self.is_terminal = is_terminal
        self.unshown_size = 0
        self.is_away = False
        self.seen: queue.Queue[str] = queue.Queue()
        self._engine = engine
        self._typed: list[bytes | None] = []
        self._news = engine.event()

    async def read(self) -> bytes:
        while not self._typed:
            await self._news.wait()
            self._news = self._engine.event()
        line = self._typed.pop(0)
        if line is None:
            raise EndOfStream("nothing more is typed")
        return line

    def show(self, line: str) -> Awaitable[None]:
        if self.is_away:
            raise BrokenPipeError
        self.seen.put(line)
        return _Done()

    def types(self, line: str | None) -> None:
        """Type a line; None: the end."""

        def put() -> None:
            self._typed.append(None if line is None else line.encode())
            self._news.set()

        self._engine.from_thread(put)

    def sees(self) -> str:
        return self.seen.get(timeout=PATIENCE)


class Room:
    """A host in a thread."""

    def __init__(self, engine_name: str, address: str, *, is_terminal: bool, **keywords: object) -> None:
        self.engine = engines.make(engine_name)
        self.person = Scripted(self.engine, is_terminal=is_terminal)
        self.error: BaseException | None = None
        self._opened: queue.Queue[tuple[Address, ...] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._live, args=(address, keywords), daemon=True)
        self._thread.start()
        addresses = self._opened.get(timeout=PATIENCE)
        if addresses is None:
            self._thread.join(PATIENCE)
            assert self.error is not None
            raise self.error
        self.addresses = addresses
        self.address = addresses[0]

    def _live(self, address: str, keywords: dict[str, object]) -> None:
        try:
            self.engine.run(host.host(self.engine, address, self.person, listening=self._opened.put, **keywords))  # type: ignore[arg-type]
        except BaseException as error:
            self.error = error
        self._opened.put(None)

    def wait_end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def hosting(
    engine_name: str = ENGINES[0], address: str = "tcp4://127.0.0.1:0", *, is_terminal: bool = False, **keywords: object
) -> Iterator[Room]:
    room = Room(engine_name, address, is_terminal=is_terminal, **keywords)
    try:
        yield room
    finally:
        with contextlib.suppress(RuntimeError):
            room.person.types("bye")
    room.wait_end()


class Nc:
    """A guest with nothing but a socket."""

    def __init__(self, room: Room, name: str | None = None, *, receive_buffer: int = 0) -> None:
        address = room.address
        self.socket = socket.socket(socket.AF_UNIX if address.path else socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address.path if address.path else (address.host, address.port))
        self._file = self.socket.makefile("rb")
        self.greeting = self.reads()
        self.name = self.greeting.split("you are ")[1].split(";")[0]
        if name is not None:
            self.says(f"/name {name}")
            assert self.reads() == f"* you are {name} now"
            self.name = name

    def sends(self, data: bytes) -> None:
        self.socket.sendall(data)

    def says(self, line: str) -> None:
        self.sends(line.encode() + b"\n")

    def reads(self) -> str:
        line = self._file.readline()
        assert line.endswith(b"\n") or not line, line
        return line.decode().removesuffix("\n")

    def rest(self) -> list[str]:
        """Every line up to the end."""
        return self._file.read().decode().splitlines()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def resets(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def __enter__(self) -> Nc:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("address", ["tcp4://127.0.0.1:0", "unix"])
def test_messages_reach_all_but_the_sender(engine_name: str, address: str, tmp_path: object) -> None:
    """Guests and the person at the host receive each other and no one itself."""
    where = f"unix://{tmp_path}/room" if address == "unix" else address
    with hosting(engine_name, where) as room, Nc(room, "Alice") as alice:
        assert [room.person.sees(), room.person.sees()] == ["* guest1 has joined", "* guest1 is Alice now"]
        with Nc(room, "Bob") as bob:
            assert bob.greeting.startswith("* welcome, you are guest2; here: host, Alice ")
            assert [alice.reads(), alice.reads()] == ["* guest2 has joined", "* guest2 is Bob now"]
            alice.says("hello")
            bob.says("привет")
            room.person.types("good evening")
            assert {bob.reads(), bob.reads()} == {"Alice: hello", "host: good evening"}
            assert {alice.reads(), alice.reads()} == {"Bob: привет", "host: good evening"}
        assert alice.reads() == "* Bob has left"
        seen = [room.person.sees() for _ in range(5)]
        assert sorted(seen[2:4]) == ["Alice: hello", "Bob: привет"] and seen[4] == "* Bob has left"


def test_lines_split_and_joined_by_packets() -> None:
    """A line in three packets is one line and two lines in one packet are two."""
    with hosting(unfinished_timeout=PATIENCE) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        alice.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert [alice.reads(), alice.reads()] == ["* guest2 has joined", "* guest2 is Bob now"]
        for piece in (b"one ", "сл".encode()[:3], "сл".encode()[3:] + b"ovo\ntwo\nlines\r\nno"):
            alice.sends(piece)
            bob.says("?")
            assert alice.reads() == "Bob: ?"  # it has come, and was looked at
        alice.sends(b"w\n")
        assert [bob.reads() for _ in range(4)] == [
            "Alice: one слovo", "Alice: two", "Alice: lines", "Alice: now",
        ]  # fmt: skip


def test_forged_lines_carry_their_author() -> None:
    """Forged lines stand behind the forger's name on every screen."""
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Mallory") as mallory:
        assert [alice.reads(), alice.reads()] == ["* guest2 has joined", "* guest2 is Mallory now"]
        for line in (b"Alice: x", b"* host has left", b"\rAlice: x", b"\x1b[1A\x1b[2KAlice: x", b"\xff\xfe", b"\x00"):
            mallory.sends(line + b"\n")
        shown = ["Alice: x", "* host has left", "\\x0dAlice: x", "\\x1b[1A\\x1b[2KAlice: x", "\\xff\\xfe", "\\x00"]
        assert [alice.reads() for _ in shown] == [f"Mallory: {line}" for line in shown]
        seen = [room.person.sees() for _ in range(4 + len(shown))]
        assert seen[4:] == [f"Mallory: {line}" for line in shown]
        mallory.says("/name Alice")
        answers = [mallory.reads(), mallory.reads()]
        assert answers == [
            "* your line was not UTF-8: the others see \\xff and the like in it",
            "* Alice is here already, or looks the same; free is: /name Alice2",
        ]


def test_overlong_line_refused_chat_goes_on() -> None:
    """An over long line is refused and the conversation goes on."""
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        for size in (MAX_LINE_SIZE + 1, 300_000, 3_000_000):
            bob.sends(b"x" * size + b"\n")
            assert bob.reads() == "* your line was longer than 8192 bytes: nobody has seen it"
        bob.sends(b"\x1b" * MAX_LINE_SIZE + b"\n")  # the longest that it can become
        assert [alice.reads() for _ in range(3)][2] == "Bob: " + "\\x1b" * MAX_LINE_SIZE


@pytest.mark.parametrize("word", ["bye", "/quit", "До свидания"])
def test_guest_farewell_is_answered(word: str) -> None:
    """A guest that says close receives one and its conversation ends."""
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        bob.says(word)
        bob.says("and this is said to nobody")
        assert bob.rest() == ["* goodbye, Bob"]
        assert [alice.reads() for _ in range(3)][2] == "* Bob has left"
        alice.says("still here")
        with Nc(room) as carol:
            assert carol.name == "guest3"


def test_guest_eof_after_last_line() -> None:
    """The end of a guest's direction is its leaving after its last line."""
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        bob.sends(b"last words without an end")
        bob.socket.shutdown(socket.SHUT_WR)
        assert [alice.reads() for _ in range(4)][2:] == ["Bob: last words without an end", "* Bob has left"]
        assert bob.rest() == []


def test_host_farewell_ends_all() -> None:
    """The host's close ends it for all with a close to each."""
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        room.person.types("До свидания")
        room.wait_end()
        assert alice.rest()[2:] == bob.rest() == ["* goodbye: host has ended the chat"]


def test_the_end_of_a_terminal_ends_the_chat() -> None:
    with hosting(is_terminal=True) as room, Nc(room) as guest:
        room.person.types(None)
        room.wait_end()
        assert guest.rest() == ["* goodbye: host has ended the chat"]


def test_host_end_of_input() -> None:
    """The end of a file leaves a room without a person."""
    with hosting() as room, Nc(room, "Alice") as alice:
        room.person.types(None)
        assert alice.reads() == "* host has left"
        alice.says("/who")
        assert alice.reads() == "* here: Alice (you)"
        room.person.is_away = True
        alice.says("good night")
        assert alice.reads() == "* goodbye: host has ended the chat"
        room.wait_end()


@pytest.mark.parametrize("who", ["guest", "host", "lost"])
def test_once_ends_with_its_first_guest(who: str) -> None:
    with hosting(once=True) as room, Nc(room) as guest:
        with pytest.raises(OSError):
            socket.create_connection((room.address.host, room.address.port), timeout=PATIENCE).recv(1)
        if who == "guest":
            guest.says("bye")
            assert guest.rest() == ["* goodbye, guest1"]
        elif who == "host":
            room.person.types("bye")
            assert guest.rest() == ["* goodbye: host has ended the chat"]
        else:
            guest.resets()
        room.wait_end()


def test_host_stays_without_once() -> None:
    """Without once the host stays for the next."""
    with hosting() as room:
        for number in range(1, 4):
            with Nc(room) as guest:
                assert guest.name == f"guest{number}"
                guest.says("bye")
                assert guest.rest() == [f"* goodbye, guest{number}"]


def test_a_screen_that_is_gone_ends_the_chat() -> None:
    with hosting() as room, Nc(room) as guest:
        room.person.is_away = True
        guest.says("anybody?")
        assert guest.rest() == ["* goodbye: host has ended the chat"]
        room.wait_end()


@pytest.mark.parametrize("sent", [[b"one\n", b"two\n", b"/who\n"], [b"one\ntwo\n", b"/who\n"]])
def test_stalled_screen_counts_lost_lines(sent: list[bytes]) -> None:
    """A screen that stands still loses lines and is reported how many, also of those that came together."""
    with hosting() as room, Nc(room) as guest:
        assert room.person.sees() == "* guest1 has joined"
        room.person.unshown_size = host.MAX_UNSENT_SIZE + 1
        for data in sent:
            guest.sends(data)
        assert guest.reads().startswith("* here")
        room.person.unshown_size = 0
        guest.says("three")
        assert [room.person.sees(), room.person.sees()] == [
            "* 2 lines were not shown: this end was not read",
            "guest1: three",
        ]


def test_reset_inside_a_line() -> None:
    """A guest that is lost in the middle of a line stops no one."""
    with hosting() as room, Nc(room, "Alice") as alice:
        for number in range(2, 12):
            lost = Nc(room)
            assert alice.reads() == f"* guest{number} has joined"
            alice.says("to you all")
            lost.sends(b"half a li")
            lost.resets()  # with a line unread: a reset in any case
            line = alice.reads()
            assert line in (f"* guest{number} was lost", f"guest{number}: half a li")
            if line.endswith("li"):
                assert alice.reads().startswith(f"* guest{number} ")
        with Nc(room) as guest:
            guest.says("well?")
            assert [alice.reads(), alice.reads()] == ["* guest12 has joined", "guest12: well?"]


@pytest.mark.parametrize("engine_name", ENGINES[:1] + ENGINES[-1:])
def test_slow_guest_is_dropped(engine_name: str) -> None:
    """A guest that has stopped reading slows no one and is closed."""
    count, text = 2500, "x" * 4000  # 10 MB: more than the system and the bound hold together
    limits = Limits(rate=None)
    with (
        hosting(engine_name, limits=limits) as room,
        Nc(room, "Slow", receive_buffer=4096) as slow,
        Nc(room, "Fast") as fast,
    ):
        with Nc(room, "Speaker") as speaker:
            assert [fast.reads(), fast.reads()] == ["* guest3 has joined", "* guest3 is Speaker now"]
            speaking = threading.Thread(target=lambda: [speaker.says(f"{number} {text}") for number in range(count)])
            speaking.start()
            lines = []
            while len(lines) <= count:
                lines.append(fast.reads())
            speaking.join()
        assert [line for line in lines if line.startswith("*")] == ["* Slow was disconnected: it has stopped reading"]
        said = [line for line in lines if not line.startswith("*")]
        assert said == [f"Speaker: {number} {text}" for number in range(count)]
        assert fast.reads().startswith("* Speaker ")  # has left, or was lost: with a line unread
        slow.says("am I here?")  # to nobody
        fast.says("/who")
        assert fast.reads() == "* here: host, Fast (you)"


def test_slow_guest_allowance_grows() -> None:
    """The wait budget is a quarter second and grows by a tenth of the time."""
    patience = host.WaitBudget(100.0)
    assert patience.left(200.0) == 0.25
    patience.spend(0.25)
    assert patience.left(200.0) == 0.0
    assert patience.left(201.0) == pytest.approx(0.1)
    patience.spend(0.2)  # two who talk have waited at once
    assert patience.left(201.0) == 0.0
    assert patience.left(203.0) == pytest.approx(0.1)
    assert patience.left(300.0) == 0.25


class Joined:
    """`join` in a thread."""

    def __init__(self, address: object, *, is_terminal: bool = False, **keywords: object) -> None:
        self.engine = engines.make(ENGINES[0])
        self.person = Scripted(self.engine, is_terminal=is_terminal)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._live, args=(str(address), keywords), daemon=True)
        self._thread.start()

    def _live(self, address: str, keywords: dict[str, object]) -> None:
        try:
            self.engine.run(guest_module.join(self.engine, address, self.person, **keywords))  # type: ignore[arg-type]
        except BaseException as error:
            self.error = error

    def wait_end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def test_join_sets_name_and_talks() -> None:
    """Joining asks for the name types and shows."""
    with hosting() as room:
        guest = Joined(room.address, name="Zoë")
        assert guest.person.sees().startswith("* welcome, you are guest1")
        assert guest.person.sees() == "* you are Zoë now"
        assert [room.person.sees(), room.person.sees()] == ["* guest1 has joined", "* guest1 is Zoë now"]
        guest.person.types("hello")
        assert room.person.sees() == "Zoë: hello"
        room.person.types("\x1b[2Jhi")
        assert guest.person.sees() == "host: \\x1b[2Jhi"
        guest.person.types("bye")
        assert guest.person.sees() == "* goodbye, Zoë"
        guest.wait_end()


def test_the_host_s_end_ends_the_guest() -> None:
    with hosting() as room:
        guest = Joined(room.address)
        guest.person.sees()
        room.person.types("bye")
        guest.wait_end()
        assert guest.person.sees() == "* goodbye: host has ended the chat"


def test_nobody_there_is_said_at_once() -> None:
    with hosting() as room:
        pass
    guest = Joined(room.address)
    with pytest.raises(ConnectError):
        guest.wait_end()


@contextlib.contextmanager
def foreign_host() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def test_input_eof_is_half_close() -> None:
    """After the last typed line our direction ends and what still comes is shown."""
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        caller, _ = listener.accept()
        with caller, caller.makefile("rb") as heard:
            guest.person.types("a question")
            guest.person.types(None)
            assert heard.read() == b"a question\n"  # to its end
            caller.sendall(b"a late\r\nanswer \x1b[2J\xff without an end")
        guest.wait_end()
        assert [guest.person.sees(), guest.person.sees()] == ["a late", "answer \\x1b[2J\\xff without an end"]


@pytest.mark.parametrize("ending", ["bye", None])
def test_silent_host_after_farewell(ending: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer a close is not waited for long."""
    monkeypatch.setattr(guest_module, "FAREWELL_TIMEOUT", 0.05)
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}", is_terminal=ending is None)
        caller, _ = listener.accept()
        with caller:
            guest.person.types(ending)
            guest.wait_end()


def test_a_linger_that_runs_out_is_an_error() -> None:
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}", linger=0.05)
        caller, _ = listener.accept()
        with caller:
            guest.person.types(None)
            with pytest.raises(AbandonedError, match=r"gave up after 50ms \(--linger\): tcp://.* did not end"):
                guest.wait_end()


def test_a_lost_host_is_an_error() -> None:
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        caller, _ = listener.accept()
        caller.sendall(b"hello\n")
        assert guest.person.sees() == "hello"
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        caller.close()
        with pytest.raises(BrokenError):
            guest.wait_end()


def test_closed_screen_ends_guest() -> None:
    """A screen that is gone ends the guest."""
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        caller, _ = listener.accept()
        guest.person.is_away = True
        with caller:
            caller.sendall(b"hello?\n")
            with pytest.raises(BrokenPipeError):
                guest.wait_end()


def test_piped_host_reads_lines() -> None:
    """A piped person is a connection of lines."""
    engine = engines.make(ENGINES[0])

    async def talk() -> None:
        from socketkit import pair

        async with pair(framing=PERSON_FRAMING, engine=engine) as (ours, theirs):
            person = Piped(ours)
            await theirs.send_many([b"typed", b"\xff"])
            assert [await person.read(), await person.read()] == [b"typed", b"\xff"]
            await person.show("shown")
            assert await theirs.receive() == b"shown"
            assert person.unshown_size == 0
            await theirs.close()
            with pytest.raises(EndOfStream):
                await person.read()
            with pytest.raises(BrokenPipeError):
                for _ in range(100):
                    await person.show("?")
                    await engine.sleep(0)

    engine.run(talk())


def test_long_line_at_a_narrow_output() -> None:
    """A line that is wrapped is several lines of the output: none is refused, and nothing ends."""
    engine = engines.make(ENGINES[0])

    async def show() -> list[bytes]:
        async with pair(framing=PERSON_FRAMING, engine=engine) as (ours, theirs):
            await Piped(ours, width=lambda: 20).show("Alice: " + "word " * 12)
            await ours.send_eof()
            return [line async for line in theirs]

    rows = engine.run(show())
    assert len(rows) > 2 and all(len(row) <= 20 for row in rows)
    assert b"".join(rows).replace(b" ", b"") == b"Alice:" + b"word" * 12


def test_a_host_is_a_handler_like_any_other() -> None:
    """The room can be served by a program of one's own."""
    engine = engines.make(ENGINES[0])

    async def talk() -> None:
        person = Scripted(engine)
        room = host.ChatHost(engine, person)
        async with serve(
            room.serve_guest, "tcp4://127.0.0.1:0", framing="lines:encoding=none", engine=engine
        ) as server:
            from socketkit import connect

            async with connect(server.addresses[0], framing="lines", engine=engine) as guest:
                assert isinstance(guest, Connection)
                assert (await guest.receive()).startswith("* welcome")
                room.end()
                assert await guest.receive() == "* goodbye: host has ended the chat"
            await room.wait_end()

    engine.run(talk())


def test_telnet_is_answered() -> None:
    """Telnet gets its answer before the next line, and the letter that it broke is whole."""
    with hosting() as room, Nc(room) as guest, Nc(room, "Bob") as other:
        room.person.sees()
        guest.sends("мо".encode() + b"\xd1\xff\xf5\xff\xfd\x06\r\n")
        while (line := other.reads()) != "guest1: моя":
            assert line.startswith("*")
        other.says("hi")
        received = b""
        while not received.endswith(b"Bob: hi\n"):
            received += guest._file.readline()
        assert received.count(b"\xff\xfc\x06") == 1


@pytest.mark.parametrize(
    "address", ["udp://127.0.0.1:0", "udp4://127.0.0.1:0", "unixgram:", "ip://127.0.0.1?protocol=253"]
)
def test_datagrams_are_refused(address: str, tmp_path: Path) -> None:
    """The source of a datagram can be forged: a chat would flood a stranger."""
    if address == "unixgram:":
        address = f"unixgram://{tmp_path}/s"
    with pytest.raises(OptionError, match="takes connections only"):
        Room(ENGINES[0], address, is_terminal=False)


def test_inherited_datagrams_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inherited:
        inherited.bind(("127.0.0.1", 0))
        with pytest.raises(OptionError, match="takes connections only"):
            Room(ENGINES[0], f"fd://{inherited.fileno()}", is_terminal=False)
        inherited.detach()


def test_lost_connection_is_made_again() -> None:
    """With `retry` the guest comes back, with its name and room, and what is typed goes to the new connection."""
    with foreign_host() as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        guest = Joined(address, name="Zoë", password="secret", language="ru", retry="5,first=10ms")
        first, _ = listener.accept()
        with first, first.makefile("rb") as heard:
            assert [heard.readline() for _ in range(3)] == [
                b"/password secret\n",
                b"/lang ru\n",
                "/name Zoë\n".encode(),
            ]
            first.sendall("* вы теперь Анна\n* вы теперь в комнате tea; здесь: Bob\n".encode())
            assert [guest.person.sees() for _ in range(2)][1].startswith("* вы теперь в комнате tea")
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        second, _ = listener.accept()
        with second, second.makefile("rb") as heard:
            assert guest.person.sees() == "* the connection was lost: trying again"
            assert [heard.readline().decode() for _ in range(4)] == [
                "/password secret\n", "/lang ru\n", "/name Анна\n", "/join tea\n",
            ]  # fmt: skip
            guest.person.types("here again")
            assert heard.readline() == b"here again\n"
            second.sendall(b"* goodbye: host has ended the chat\n")
            second.shutdown(socket.SHUT_WR)
            assert guest.person.sees() == "* goodbye: host has ended the chat"
            guest.wait_end()


def test_host_that_ends_without_a_goodbye_is_lost() -> None:
    with foreign_host() as listener:
        guest = Joined(f"tcp://127.0.0.1:{listener.getsockname()[1]}", retry="5,first=10ms")
        first, _ = listener.accept()
        first.sendall(b"* you are Alice now\n")  # else it is no chat, and its end is the end
        first.close()
        second, _ = listener.accept()
        with second, second.makefile("rb") as heard:
            guest.person.types("bye")
            assert heard.read().endswith(b"bye\n")
        guest.wait_end()
