"""The host over real sockets, with rooms, a store, limits and abuse."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from apps.chat.test_host import PATIENCE, Nc, Room, Scripted, hosting
from socketkit import engines
from socketkit.apps.chat.chat_host import ChatHost
from socketkit.apps.chat.decisions import ShowLine
from socketkit.apps.chat.limits import BURST_LINES, Limits
from socketkit.apps.chat.message import Message
from socketkit.apps.chat.store import Store, read_messages
from socketkit.events import Closed, Event, Failed


@contextlib.contextmanager
def keeping(path: Path) -> Iterator[Room]:
    store = Store(str(path))
    try:
        with hosting(store=store) as room:
            yield room
    finally:
        assert store.close() == 0


def reads_until(guest: Nc, text: str) -> list[str]:
    """Lines up to the one with this text."""
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        line = guest.reads()
        assert line, lines
        lines.append(line)
    return lines


def test_rooms_over_sockets() -> None:
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob, Nc(room, "Carol") as carol:
        alice.says("/join tea")
        assert reads_until(alice, "you are in tea")
        bob.says("/join tea")
        reads_until(bob, "you are in tea")
        alice.says("hello")
        assert bob.reads() == "Alice: hello"
        alice.says("/msg Carol psst")
        assert reads_until(carol, "psst")[-1] == "Alice (private): psst"
        room.person.types("/kick Bob")
        assert bob.rest() == ["* goodbye: you were removed by host"]
        assert reads_until(alice, "removed")[-1] == "* Bob was removed by host"


def test_history_survives_the_host(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with keeping(path) as room, Nc(room, "Alice") as alice:
        alice.says("one")
        alice.says("/join tea")
        alice.says("two")
        alice.says("bye")
        assert alice.rest()[-1] == "* goodbye, Alice"
    with keeping(path) as room, Nc(room) as guest:
        assert guest.reads() == "* said here before:"
        assert guest.reads().endswith("] Alice: one")
        guest.says("/join tea")
        assert reads_until(guest, "Alice: two")
        guest.says("/search TWO")
        assert reads_until(guest, "* found:")
        assert guest.reads().endswith("] Alice: two")
        guest.says("three")
        guest.says("bye")
        guest.rest()
    assert [(each.id, each.room, each.text) for each in read_messages(str(path))] == [
        (1, "lobby", "one"),
        (2, "tea", "two"),
        (3, "tea", "three"),
    ]


def farewell_comes_last(room: Room, watcher: Nc) -> None:
    """A guest says two lines and leaves: the watcher sees all of it, in this order."""
    with Nc(room) as guest:
        guest.sends(b"one\ntwo\nbye\n")
        guest.rest()
        lines = reads_until(watcher, "has left")
        assert lines[-4:] == [
            f"* {guest.name} has joined",
            f"{guest.name}: one",
            f"{guest.name}: two",
            f"* {guest.name} has left",
        ]


def test_order_is_the_same_behind_the_store(tmp_path: Path) -> None:
    """Notices and farewells do not overtake the lines before them, which wait for the store."""
    with keeping(tmp_path / "chat.db") as room, Nc(room, "Alice") as alice:
        for _ in range(5):
            farewell_comes_last(room, alice)


def test_locked_store_does_not_stop_the_chat(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with keeping(path) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            bob.says("while it is locked")
            assert reads_until(alice, "while it is locked")[-1] == "Bob: while it is locked"
            while not (line := room.person.sees()).startswith("* the store"):
                pass
            assert "database is locked" in line
            other.execute("COMMIT")
        while (line := room.person.sees()) != "* the store is written again: nothing was lost":
            pass
    assert [each.text for each in read_messages(str(path))] == ["while it is locked"]


def test_a_flood_of_lines_and_of_the_store(tmp_path: Path) -> None:
    """A speaker is no faster than the store; nothing is lost, and the order stays."""
    path = tmp_path / "chat.db"
    store = Store(str(path))
    with hosting(store=store, limits=Limits(rate=None)) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        bob.sends(b"".join(b"line %d\n" % number for number in range(3000)))
        assert [line for line in reads_until(alice, "line 2999") if not line.startswith("*")] == [
            f"Bob: line {number}" for number in range(3000)
        ]
    assert store.close() == 0
    assert len(list(read_messages(str(path)))) == 3000


@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /x?y HTTP/1.0", b"PRI * HTTP/2.0"])
def test_http_is_refused(request_line: bytes, is_slow: bool) -> None:
    """A request that a web page makes a browser send is no guest; also where it comes after the greeting."""
    events: list[Event] = []
    with hosting(observer=events.append) as room, Nc(room, "Alice") as alice:
        with socket.create_connection((room.address.host, room.address.port), timeout=PATIENCE) as browser:
            answer = b""
            if is_slow:
                answer = browser.recv(4096)
            browser.sendall(request_line + b"\r\nHost: x\r\n\r\nspam\n/name Alice2\n")
            while data := browser.recv(4096):
                answer += data
        assert b"HTTP/1.1 400 Bad Request\r\n" in answer
        assert answer.startswith(b"* welcome" if is_slow else b"HTTP/1.1 400")
        with Nc(room) as guest:
            guest.says("marker")
            seen = reads_until(alice, "marker")
        assert not any("spam" in line or "HTTP" in line for line in seen)
    ends = [each for each in events if isinstance(each, Closed | Failed)]
    assert sum("speaks HTTP" in str(getattr(each, "error", "")) for each in ends) == 1


def test_words_like_a_request_are_talk() -> None:
    with hosting() as room, Nc(room, "Alice") as alice, Nc(room) as guest:
        guest.says("GET out of here")
        assert reads_until(alice, "GET")[-1] == "guest2: GET out of here"


def test_flooding_guest_waits_and_loses_nothing() -> None:
    with hosting(limits=Limits(rate=200.0)) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        count = BURST_LINES + 100
        bob.sends(b"".join(b"line %d\n" % number for number in range(count)))
        said = [line for line in reads_until(alice, f"line {count - 1}") if not line.startswith("*")]
        assert said == [f"Bob: line {number}" for number in range(count)]
        assert bob.reads() == "* you are faster than 200 lines a second: your next lines wait"
        bob.says("/who")
        assert bob.reads().startswith("* here: ")


def test_paused_guest_can_be_removed() -> None:
    with hosting(limits=Limits(rate=0.001)) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        bob.sends(b"x\n" * (BURST_LINES + 10))
        assert reads_until(bob, "faster than 0.001")
        room.person.types("/kick Bob")
        assert bob.rest() == ["* goodbye: you were removed by host"]
        assert reads_until(alice, "removed")


def test_password_over_sockets() -> None:
    with hosting(password="secret") as room:
        address = (room.address.host, room.address.port)
        with socket.create_connection(address, timeout=PATIENCE) as sock, sock.makefile("rb") as file:
            assert file.readline() == b"* this chat needs a password: type it\n"
            room.person.types("not for strangers")
            sock.sendall(b"wrong\n")
            assert file.readline() == b"* the password is wrong\n"
            sock.sendall(b"secret\nhello\n")
            assert file.readline() == b"* welcome, you are guest1; here: host (/name NEW, /who, /help, /quit)\n"
            assert file.readline() == b"* said here before:\n"
            assert room.person.sees() == "* guest1 has joined"
            assert room.person.sees() == "guest1: hello"


def test_full_chat_over_sockets() -> None:
    with hosting(limits=Limits(max_guests=1)) as room, Nc(room, "Alice"):
        with socket.create_connection((room.address.host, room.address.port), timeout=PATIENCE) as sock:
            assert sock.makefile("rb").read() == b"* goodbye: the chat is full (1 guests)\n"


def test_banned_machine_is_refused() -> None:
    with hosting() as room, Nc(room, "Mallory") as mallory:
        room.person.types("/ban Mallory")
        assert mallory.rest() == ["* goodbye: you are banned from this chat"]
        with socket.create_connection((room.address.host, room.address.port), timeout=PATIENCE) as sock:
            assert sock.makefile("rb").read() == b"* goodbye: you are banned from this chat\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00" + b"\x00" * 500 + b"\n",
        b"\xff" * 100_000 + b"\n",
        "a\u0315".encode() * 3000 + b"\n",
        "\u202e\u2066\u200f".encode() * 500 + b"\n",
        b"\n" * 1000,
        b"x" * 500_000,
    ],
    ids=["tls", "invalid", "zalgo", "bidi", "empty", "no end"],
)
def test_abuse_disturbs_nobody(data: bytes) -> None:
    with hosting(limits=Limits(rate=None)) as room, Nc(room, "Alice") as alice, Nc(room) as mallory:
        mallory.sends(data)
        alice.says("/msg Alice still here")
        lines = reads_until(alice, "still here")
        assert all(line.replace("\t", " ").isprintable() and len(line) < 40_000 for line in lines)


def test_crowd_that_joins_and_dies_at_once() -> None:
    """Hundreds of connections a moment, which say a word or are reset: who was there talks on, and all are gone."""
    with hosting(limits=Limits(max_guests=50)) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        for burst in range(5):
            socks = [socket.create_connection((room.address.host, room.address.port)) for _ in range(100)]
            for number, sock in enumerate(socks):
                with contextlib.suppress(OSError):
                    sock.sendall(b"x\n" if number % 2 else b"")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
                sock.close()
            bob.says(f"still {burst}")
            assert reads_until(alice, f"still {burst}")[-1] == f"Bob: still {burst}"
        while True:
            alice.says("/who")
            if set(reads_until(alice, "* here: ")[-1].removeprefix("* here: ").split(", ")) == {
                "host", "Alice (you)", "Bob",
            }:  # fmt: skip
                break


@pytest.mark.parametrize("has_store", [False, True])
def test_search_result_comes_before_the_next_line(has_store: bool, tmp_path: Path) -> None:
    """Also where the next line leaves the chat: so a script may search."""
    store = Store(str(tmp_path / "chat.db")) if has_store else None
    with hosting(store=store) as room, Nc(room, "Alice") as alice:
        alice.says("a needle\n/search needle\nbye")
        *_, found, end = alice.rest()
        assert found.endswith("] Alice: a needle")
        assert end == "* goodbye, Alice"
    if store is not None:
        assert store.close() == 0


class StalledStore(Store):
    """A store whose disk does not answer until `disk` is set."""

    def __init__(self, path: str) -> None:
        self.disk = threading.Event()
        super().__init__(path)

    def _write(self, batch: list[Message]) -> None:
        assert self.disk.wait(PATIENCE)
        super()._write(batch)


def test_disk_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = StalledStore(str(path))
    with hosting(store=store) as room, Nc(room, "Alice") as alice, Nc(room, "Bob") as bob:
        bob.sends(b"one\ntwo\n")
        assert reads_until(alice, "two")[-2:] == ["Bob: one", "Bob: two"]
        while not (line := room.person.sees()).startswith("* the store"):
            pass
        assert "the disk does not answer" in line
        store.disk.set()
        while room.person.sees() != "* the store is written again: nothing was lost":
            pass
    assert store.close() == 0
    assert [each.text for each in read_messages(str(path))] == ["one", "two"]


class Recorder:
    """A guest that is no connection: what a page or a bridge to another chat is."""

    sees_own = False

    def __init__(self) -> None:
        self.pause = 0.0
        self.unsent_size = 0
        self.shown: list[tuple[str, int | None]] = []
        self.is_disconnected = False

    @staticmethod
    def show_all(outlets: list[Recorder], shown: ShowLine, message_id: int | None) -> int:
        for each in outlets:
            each.shown.append((shown.line, message_id))
        return len(shown.line)

    def disconnect(self) -> None:
        self.is_disconnected = True

    async def wait_disconnected(self, timeout: float | None = None) -> None:
        pass

    def is_worth_waiting_for(self) -> bool:
        return False

    async def catch_up(self, timeout: float) -> None:
        pass


@pytest.mark.parametrize("is_kept", [False, True])
def test_guests_of_any_kind(tmp_path: Path, is_kept: bool) -> None:
    """The hub's members are an interface; messages have ids there, with a store after their commit only."""
    engine = engines.make("poll")
    store = StalledStore(str(tmp_path / "chat.db")) if is_kept else None

    async def body() -> None:
        host = ChatHost(engine, Scripted(engine), store=store)
        one, two = Recorder(), Recorder()
        first, second = host.add(one, "page"), host.add(two, "page")
        host.receive(second, b"hello")
        if store is not None:
            assert not any("hello" in line for line, _ in one.shown)
            host.remove(second)  # stands behind the line that is not kept yet
            assert not two.is_disconnected
            store.disk.set()
            await two_gone(two)
            assert one.shown[-2:] == [("guest2: hello", 1), ("* guest2 has left", None)]
        else:
            assert one.shown[-1] == ("guest2: hello", 1)
            host.remove(second)
            assert two.is_disconnected
        host.remove(first)
        host.end()

    async def two_gone(two: Recorder) -> None:
        while not two.is_disconnected:
            await engine.checkpoint()

    engine.run(body())
    assert store is None or store.close() == 0
