"""The chat's WebSocket and page over real sockets, without a browser: events, tokens, missed lines, limits, headers."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.chat.test_host import ENGINES, PATIENCE, Nc, Room, hosting
from socketkit import Address, connect
from socketkit.apps.chat.bus.memory_bus import MemoryBus, MemoryLog
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.store import Store
from socketkit.apps.chat.web_address import page_address, page_url
from socketkit.errors import AddressError, BrokenError, EndOfStream, HandshakeError, OptionError
from support.programs import Program
from support.websockets import ask, client_of, request

pytest.importorskip("h11", reason="the extra ws is not installed")


@contextlib.contextmanager
def hosting_page(**keywords: Any) -> Iterator[Room]:
    """A host with a page; `room.web` is its WebSocket's address."""
    with hosting(web="http://127.0.0.1:0", **keywords) as room:
        yield room


def web_of(room: Room) -> Address:
    return room.addresses[1]


class Guest:
    """A guest of the WebSocket."""

    def __init__(self, address: Address, **hello: Any) -> None:
        self._connection = connect(address, subprotocols="socketkit-chat.v1", connect_timeout=PATIENCE).open()
        self.sends("hello", **hello)

    def sends(self, kind: str, **fields: Any) -> None:
        self.sends_raw(json.dumps({"type": kind} | fields))

    def sends_raw(self, text: str | bytes) -> None:
        self._connection.send(text)

    def says(self, text: str) -> None:
        self.sends("line", text=text)

    def gets(self) -> dict[str, Any]:
        """The next event that is no list of rooms."""
        while True:
            event: dict[str, Any] = json.loads(self._connection.receive(timeout=PATIENCE))
            if event["type"] != "rooms":
                return event

    def gets_until(self, kind: str) -> dict[str, Any]:
        while (event := self.gets())["type"] != kind:
            pass
        return event

    def texts(self, count: int) -> list[str]:
        """The texts of so many messages."""
        return [self.gets_until("message")["text"] for _ in range(count)]

    def is_at_end(self) -> bool:
        with pytest.raises(EndOfStream):
            while True:
                self._connection.receive(timeout=PATIENCE)
        return True

    def was_lost(self) -> bool:
        with pytest.raises(BrokenError):
            self.gets()
        return True

    def leaves(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def guest_of(room: Room, /, **hello: Any) -> Iterator[Guest]:
    guest = Guest(web_of(room), **hello)
    try:
        yield guest
    finally:
        guest.leaves()


def test_page_and_line_guests_talk() -> None:
    """Both see each other's lines; a guest with a page is shown its own too, with ids, and who comes and goes."""
    with hosting_page() as room, guest_of(room, name="Анна") as anna:
        ready = anna.gets()
        assert (ready["type"], ready["name"], ready["room"]) == ("ready", "Анна", "lobby")
        assert (ready["host"], ready["people"], ready["count"], ready["cut"]) == ("host", ["host"], 1, False)
        assert [each["name"] for each in ready["rooms"]] == ["lobby"] and "token" not in ready
        nc = Nc(room, "Bob")
        assert [anna.gets()["type"], anna.gets()["type"]] == ["joined", "renamed"]
        nc.says("<script>alert(1)</script>")
        one = anna.gets()
        anna.says("привет")
        two = anna.gets()
        assert (one["id"], one["name"], one["kind"], one["text"]) == (1, "Bob", "say", "<script>alert(1)</script>")
        assert (two["id"], two["name"], two["text"]) == (2, "Анна", "привет")
        assert nc.reads() == "Анна: привет"
        nc.says("/me waves")
        assert anna.gets()["kind"] == "me"
        nc.says("/msg анна psst")
        private = anna.gets()
        assert (private["type"], private["name"], private["to"], private["text"]) == ("private", "Bob", "Анна", "psst")
        anna.says("/msg bob hush")
        assert (anna.gets()["to"], nc.reads()) == ("Bob", "Анна (private): hush")
        nc.says("bye")
        assert anna.gets() == {"type": "left", "text": "Bob has left", "name": "Bob"}
        nc.close()


def test_rooms_history_and_search() -> None:
    """A room is entered with its history; what is found differs from it; older messages come on demand."""
    with hosting_page(limits=Limits(history_count=5)) as room, Nc(room, "Bob") as nc:
        nc.says("/join tea")
        nc.reads()
        for number in range(8):
            nc.says(f"cup {number}")
        nc.says("/who")
        nc.reads()
        with guest_of(room, name="Anna", room="Tea") as anna:
            assert anna.gets()["room"] == "tea"
            assert anna.texts(5) == [f"cup {number}" for number in range(3, 8)]
            anna.says("/search cup 4")
            assert anna.gets()["type"] == "notice"
            found = anna.gets()
            assert (found["text"], found["found"]) == ("cup 4", True)
            anna.sends("earlier", before=6)
            earlier = anna.gets()
            assert [each["text"] for each in earlier["messages"]] == ["cup 3", "cup 4"] and earlier["more"] is False
            anna.says("/join lobby")
            moved = anna.gets()
            assert (moved["type"], moved["room"], moved["people"]) == ("room", "lobby", ["host"])


def test_missed_lines_come_by_id(tmp_path: Path) -> None:
    """Over a restart of the host, with its store: exactly what was said since the last id, once, in order."""
    path = tmp_path / "chat.db"
    store = Store(str(path))
    with hosting_page(store=store, limits=Limits(history_count=3)) as room, guest_of(room, name="Anna") as anna:
        ready = anna.gets()
        anna.says("\n".join(f"line {number}" for number in range(1, 11)))
        assert anna.texts(10)[-1] == "line 10"
    assert store.close() == 0
    store = Store(str(path))
    with hosting_page(store=store, limits=Limits(history_count=3)) as room:
        with guest_of(room, name="Anna", chat=ready["chat"], after=4) as anna:
            assert anna.gets()["cut"] is False
            assert anna.texts(6) == [f"line {number}" for number in range(5, 11)]
            anna.says("on")
            assert anna.gets()["id"] == 11
            anna.sends("earlier", before=5)
            assert [each["id"] for each in anna.gets_until("earlier")["messages"]] == [1, 2, 3, 4]
        with guest_of(room, chat="another", after=4) as other:
            other.gets()
            assert other.texts(3) == ["line 9", "line 10", "on"]  # ids of another chat say nothing
    assert store.close() == 0


def test_page_that_is_loaded_anew_replaces_its_guest() -> None:
    """The name is free at once, though the former connection has not ended."""
    with hosting_page() as room, guest_of(room, name="Anna") as before:
        session = before.gets()["session"]
        with guest_of(room, name="Anna", session=session) as after:
            assert after.gets()["name"] == "Anna"
            assert before.is_at_end()
            with guest_of(room, name="Anna", session=session) as third:  # the session is over
                assert third.gets()["name"] != "Anna"


def test_token_instead_of_password() -> None:
    """It is given after the password, good for other connections and other runs of the host, and for nothing else."""
    with hosting_page(password="secret") as room:
        with guest_of(room, name="Anna") as anna:
            assert anna.gets()["type"] == "password"
            anna.sends("password", password="guess")
            assert anna.gets()["text"] == "the password is wrong"
            anna.sends("password", password="secret")
            token = anna.gets_until("ready")["token"]
        with guest_of(room, name="Anna", token=token) as anna:
            assert anna.gets()["type"] == "ready"
        with guest_of(room, token=token[:-2] + ("AA" if token[-2:] != "AA" else "BB")) as other:
            assert other.gets()["type"] == "password"
    with hosting_page(password="secret") as room, guest_of(room, token=token) as anna:
        assert anna.gets()["type"] == "ready"
    with hosting_page(password="another") as room, guest_of(room, token=token, password="another") as anna:
        assert [anna.gets()["type"], anna.gets()["type"]] == ["password", "ready"]


def test_wrong_passwords_are_slowed_down() -> None:
    """Those of one address count together, over connections; what waits for its password learns nothing of the chat."""
    with hosting_page(password="secret") as room, contextlib.ExitStack() as guests:
        texts = []
        for _ in range(8):
            guest = guests.enter_context(guest_of(room, password="guess"))
            assert set(guest.gets()) == {"type", "text"}
            texts.append(guest.gets()["text"])
        assert texts[:5] == ["the password is wrong"] * 5
        assert texts[-1].startswith("too many wrong passwords: wait ")


def test_limits_and_moderation_apply() -> None:
    with hosting_page(limits=Limits(max_guests=2)) as room, guest_of(room, name="Anna") as anna:
        anna.gets()
        with guest_of(room, name="Mallory") as mallory:
            assert mallory.gets()["type"] == "ready"
            with guest_of(room) as third:
                assert third.gets()["reason"] == "full" and third.is_at_end()
            room.person.types("/mute Mallory")
            assert mallory.gets()["text"] == "Mallory is muted: nobody sees its lines"
            mallory.says("spam")
            assert mallory.gets()["text"] == "you are muted: nobody has seen your line"
            mallory.says("x" * 9000)
            assert mallory.gets()["text"].startswith("your line was longer than 8192 bytes")
            room.person.types("/kick Mallory")
            assert mallory.gets()["reason"] == "removed" and mallory.is_at_end()
        anna.says("/name Аnna")  # Cyrillic А: it looks like her own, and may be taken
        assert anna.gets_until("name")["name"] == "Аnna"


def test_rate_holds_for_the_page() -> None:
    with hosting_page(limits=Limits(rate=1000.0)) as room, guest_of(room) as guest:
        guest.gets()
        guest.says("\n".join(f"{number}" for number in range(200)))
        shown = [guest.gets() for _ in range(201)]
        assert [each["text"] for each in shown if each["type"] == "message"] == [f"{number}" for number in range(200)]
        assert any("faster than" in each["text"] for each in shown)


BAD = ["", "{", "[]", "1", '"hello"', "null", '{"type":"line"}', '{"type":"hello"}', '{"type":"line","text":1}']


@pytest.mark.parametrize("text", [*BAD, "[" * 100_000, b"\xff\xfe", '{"type":"earlier","before":"x"}'[:-1]])
def test_what_is_no_message_is_answered_by_an_error(text: str | bytes) -> None:
    """The guest stays."""
    with hosting_page() as room, guest_of(room) as guest:
        guest.gets()
        if len(text) > 64 * 1024:
            guest.sends_raw(text)
            assert guest.was_lost()
            return
        guest.sends_raw(text)
        assert guest.gets()["type"] == "error"
        guest.says("still here")
        assert guest.gets()["text"] == "still here"


def test_half_characters_are_shown_escaped() -> None:
    with hosting_page() as room, guest_of(room, name="\ud800") as guest:
        assert guest.gets()["name"].startswith("guest")
        guest.gets()
        guest.sends_raw('{"type":"line","text":"a\\ud800\\u001b"}')
        assert guest.gets_until("message")["text"] == "a\\ud800\\x1b"


def test_first_message_has_to_be_hello() -> None:
    with hosting_page() as room:
        guest = Guest(web_of(room))
        guest.leaves()
        connection = connect(web_of(room)).open()
        connection.send("hello")
        assert json.loads(connection.receive(timeout=PATIENCE))["type"] == "error"
        with pytest.raises(EndOfStream):
            connection.receive(timeout=PATIENCE)
        connection.close()


def test_notices_come_in_the_language_that_was_asked_for() -> None:
    with hosting_page() as room, guest_of(room, lang="ru", lines=True) as guest:
        ready = guest.gets()
        assert ready["line"].startswith("* добро пожаловать, вы guest1; здесь: host")
        guest.says("hi")
        assert guest.gets()["line"] == "guest1: hi"


def test_foreign_origin_is_refused() -> None:
    with hosting_page() as room:
        with pytest.raises(HandshakeError) as caught:
            connect(web_of(room), origin="https://evil.example").open()
        assert caught.value.status == 403


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("127.0.0.1", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("chat.localhost", True),
        ("evil.example", False),
    ],
)
@pytest.mark.parametrize("is_shared", [False, True])
def test_name_that_was_resolved_to_the_loopback(host: str, is_accepted: bool, is_shared: bool) -> None:
    """A site can make its own name mean 127.0.0.1 (DNS rebinding): Origin and Host agree, and it stays out."""
    address = f"tcp4://127.0.0.1:{free_port() if is_shared else 0}"
    with hosting(address=address, web=address) as room:
        at = room.address if is_shared else web_of(room)
        with client_of(at, "/ws", host=host, origin=f"http://{host}") as page:
            page.send(0x81, b'{"type":"hello"}')
            assert json.loads(page.receive()[1])["type"] == ("ready" if is_accepted else "error")


def test_page_has_a_strict_policy() -> None:
    """Everything is of this host, nothing is inline, and nobody frames it."""
    with hosting_page() as room:
        for path in ("/", "/chat.js", "/chat.css", "/icon.svg"):
            head, _, body = ask(web_of(room), f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 ") and body
            assert "default-src 'none'" in head and "frame-ancestors 'none'" in head and "connect-src 'self'" in head
            assert "unsafe" not in head and "X-Content-Type-Options: nosniff" in head
            assert "http://" not in body.replace("http://www.w3.org/2000/svg", "") and "innerHTML" not in body
            assert "style=" not in body and "<script>" not in body
        for path in ("/chat.html", "/../web.py", "/page/chat.js", "/%2e%2e/web.py", "/ws/"):
            assert ask(web_of(room), f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith("HTTP/1.1 404 ")
        assert ask(web_of(room), b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n").startswith("HTTP/1.1 426 ")
        assert ask(web_of(room), b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").split()[1] in (
            "404",
            "405",
        )


@pytest.mark.parametrize(
    ("asked", "option", "language"),
    [("ru,en;q=0.5", None, "ru"), ("de, ru;q=0.3, en;q=0.8", None, "en"), ("de", None, "ru"), ("en", "ru", "ru")],
)
def test_language_of_the_page(asked: str, option: str | None, language: str) -> None:
    """That of the option, else what the browser wants, else the chat's."""
    with hosting_page(language="ru", page_language=option) as room:
        answer = ask(web_of(room), f"GET / HTTP/1.1\r\nHost: x\r\nAccept-Language: {asked}\r\n\r\n".encode())
        assert f'<html lang="{language}">' in answer


def test_lines_at_the_port_of_the_page_are_answered_by_400() -> None:
    with hosting_page() as room:
        assert ask(web_of(room), b"hello there\r\n\r\n").startswith("HTTP/1.1 400 ")
        assert ask(web_of(room), "привет\n".encode()).startswith("HTTP/1.1 400 ")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_page_at_the_address_of_the_chat() -> None:
    """The first bytes decide: a request gets the page or the WebSocket, all else is a guest with plain lines."""
    port = free_port()
    with hosting(address=f"tcp4://127.0.0.1:{port}", web=f"http://127.0.0.1:{port}") as room:
        assert [page_url(each) for each in room.addresses][1] == f"http://127.0.0.1:{port}/"
        assert "<title>Chat</title>" in ask(room.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(room.address, request("/ws", origin="https://evil.example")).startswith("HTTP/1.1 403 ")
        nc = Nc(room)
        with guest_of(room, name="Anna") as anna:
            assert anna.gets()["type"] == "ready"
            anna.says("one port")
            assert [nc.reads(), nc.reads()] == ["* Anna has joined", "Anna: one port"]
        nc.close()


def test_chat_of_the_page_alone() -> None:
    with hosting(address="ws://127.0.0.1:0") as room:
        guest = Guest(room.address, name="Anna")
        assert guest.gets()["name"] == "Anna"
        guest.leaves()


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("http://localhost:8080", "ws://localhost:8080/ws", "http://localhost:8080/"),
        ("https://localhost:8080/", "wss://localhost:8080/ws", "https://localhost:8080/"),
        ("localhost:8080", "ws://localhost:8080/ws", "http://localhost:8080/"),
        ("tcp://[::1]:8080", "ws://[::1]:8080/ws", "http://[::1]:8080/"),
        ("ws://localhost/ws", "ws://localhost:80/ws", "http://localhost:80/"),
        ("unix:///run/page", "ws+unix:///run/page?path=/ws", "ws+unix:///run/page?path=/ws"),
    ],
)
def test_addresses_of_the_page(text: str, address: str, url: str) -> None:
    assert (str(page_address(text)), page_url(page_address(text))) == (address, url)


@pytest.mark.parametrize("text", ["udp://localhost:1", "http://localhost:1/chat", "exec:cat", "-", "8080"])
def test_addresses_without_a_page(text: str) -> None:
    with pytest.raises((AddressError, OptionError)):
        page_address(text)


def test_bot_of_the_examples_counts_each_line_once() -> None:
    """Also over a loss: it asks for what it has missed."""
    bot = str(Path(__file__).parents[3] / "examples" / "chat_bot.py")
    with hosting_page() as room, Nc(room, "Bob") as nc, Program(sys.executable, bot, str(web_of(room))):
        assert nc.reads() == "* counter has joined"
        for line in ("one", "two", "!count"):
            nc.says(line)
        assert nc.reads() == "counter: Bob 3"
        room.person.types("/kick counter")
        assert nc.reads() == "* counter was removed by host"
        nc.says("three")
        assert nc.reads() == "* counter has joined"
        nc.says("!count")
        assert nc.reads() == "counter: Bob 5"


def test_pages_of_two_hosts() -> None:
    """On a bus: lines, private lines and who is here reach the pages of both."""
    log = MemoryLog()
    with hosting_page(bus=MemoryBus(log), name="Ann") as one, guest_of(one, name="Alice") as alice:
        assert alice.gets()["people"] == ["Ann"]
        with hosting_page(bus=MemoryBus(log), name="Ben") as other, guest_of(other, name="Bob") as bob:
            people = bob.gets_until("ready")["people"]
            while sorted(people) != ["Alice", "Ann", "Ben"]:
                bob.says("/who")
                people = [each for each in bob.gets_until("people")["people"] if each != "Bob"]
            bob.says("hello")
            assert alice.gets_until("message")["text"] == bob.gets_until("message")["text"] == "hello"
            bob.says("/msg Alice psst")
            private = alice.gets_until("private")
            assert (private["name"], private["to"], private["text"]) == ("Bob", "Alice", "psst")
            assert bob.gets_until("private")["to"] == "Alice"


@pytest.mark.parametrize("engine", ENGINES)
def test_page_on_each_engine(engine: str) -> None:
    with hosting(engine, web="http://127.0.0.1:0") as room, Nc(room) as nc, guest_of(room, name="Anna") as anna:
        assert nc.reads() == "* Anna has joined"
        nc.says("hello")
        assert anna.texts(1) == ["hello"]


def test_page_over_tls() -> None:
    """Lines stay plain where their address is."""
    with hosting(web="https://127.0.0.1:0", self_signed=True) as room, Nc(room) as nc:
        assert page_url(web_of(room)).startswith("https://127.0.0.1:")
        connection = connect(web_of(room), verify=False).open()
        connection.send('{"type":"hello","name":"Anna"}')
        assert nc.reads() == "* Anna has joined"
        connection.close()


def test_origins_of_the_address_may_connect() -> None:
    with hosting(web="http://127.0.0.1:0?origins=https://chat.example") as room:
        connect(web_of(room), origin="https://chat.example").open().close()
        with pytest.raises(HandshakeError):
            connect(web_of(room), origin="https://evil.example").open()


def test_page_that_does_not_read_costs_the_others_nothing() -> None:
    """It is disconnected at the bound; the others are shown each line, and that it has gone."""
    with hosting_page() as room, Nc(room, "Bob") as bob, guest_of(room, name="Anna") as anna:
        with client_of(web_of(room), "/ws") as stalled:
            stalled.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.send(0x81, b'{"type":"hello","name":"Stone"}')
            anna.gets_until("joined")
            line, count = "x" * 8000, 0
            while True:
                bob.says(f"{line}{count}")
                event = anna.gets()
                if event["type"] == "left":
                    break
                assert event["text"] == f"{line}{count}"
                count += 1
                assert count < 5000
            assert event["text"] == "Stone was disconnected: it has stopped reading"


def test_options_of_the_page_that_belong_to_the_shared_address() -> None:
    port = free_port()
    with pytest.raises(OptionError, match="give it there"):
        with hosting(address=f"tcp4://127.0.0.1:{port}", web=f"http://127.0.0.1:{port}?backlog=5"):
            pass
