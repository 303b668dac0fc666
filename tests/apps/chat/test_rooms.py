"""Rooms, private messages, moderation, limits and passwords: what the hub decides about them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from socketkit.apps.chat import hub as hub_module
from socketkit.apps.chat import texts
from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, Pause, Search, ShowLine
from socketkit.apps.chat.hub import Hub
from socketkit.apps.chat.limits import BURST_LINES, Limits
from socketkit.apps.chat.message import Message
from socketkit.apps.chat.unstacked import MAX_MARKS
from socketkit.values import replace


def told(decisions: list[Decision]) -> list[tuple[tuple[int, ...], str]]:
    return [(each.members, each.line) for each in decisions if isinstance(each, ShowLine)]


def shown(decisions: list[Decision]) -> list[Decision]:
    """The decisions, without what lines were made of."""
    return [
        replace(each, message=None, detail=None, writer=None) if isinstance(each, ShowLine) else each
        for each in decisions
    ]


def hub_of(*names: str, sources: tuple[str, ...] = (), **keywords: object) -> Hub:
    """A hub with guests of these names, at members 1, 2, ..."""
    hub = Hub(**keywords)  # type: ignore[arg-type]
    for index, name in enumerate(names):
        member, _ = hub.join(sources[index] if sources else f"10.0.0.{index + 1}")
        hub.receive(member, f"/name {name}".encode())
    assert hub.names == ("host", *names)
    return hub


def test_lines_stay_in_their_room() -> None:
    hub = hub_of("Alice", "Bob", "Carol")
    assert told(hub.receive(1, b"/join Tea")) == [
        ((HOST, 2, 3), "* Alice has left for tea"),
        ((1,), "* you are in tea now; here: nobody yet"),
    ]
    assert told(hub.receive(2, b"/JOIN tea")) == [
        ((HOST, 3), "* Bob has left for tea"),
        ((2,), "* you are in tea now; here: Alice"),
        ((1,), "* Bob has joined"),
    ]
    assert told(hub.receive(1, b"hello")) == [((2,), "Alice: hello")]
    assert told(hub.receive(3, b"hello")) == [((HOST,), "Carol: hello")]
    assert told(hub.receive(1, b"/who")) == [((1,), "* here: Alice (you), Bob")]
    assert told(hub.receive(3, b"/rooms")) == [((3,), "* rooms: lobby (2), tea (2)")]


def test_leave_goes_back_to_the_lobby() -> None:
    hub = hub_of("Alice", "Bob")
    hub.receive(1, b"/join tea")
    assert told(hub.receive(1, b"/leave"))[:2] == [
        ((1,), "* you are in lobby now; here: host, Bob"),
        ((HOST, 2), "* Alice has joined"),
    ]
    assert told(hub.receive(2, b"/rooms")) == [((2,), "* rooms: lobby (3)")]
    assert told(hub.receive(1, b"/leave")) == [((1,), "* you are in lobby; /quit leaves the chat")]


def test_leaving_the_chat_is_told_to_the_room_only() -> None:
    hub = hub_of("Alice", "Bob", "Carol")
    hub.receive(1, b"/join tea")
    hub.receive(2, b"/join tea")
    assert told(hub.receive(1, b"bye")) == [((1,), "* goodbye, Alice"), ((2,), "* Alice has left")]


def test_host_sees_the_room_that_it_joined() -> None:
    hub = hub_of("Alice", "Bob")
    hub.receive(1, b"/join tea")
    assert told(hub.receive(HOST, b"/join tea"))[-1] == ((1,), "* host has joined")
    assert told(hub.receive(2, b"anybody?")) == [((), "Bob: anybody?")]
    assert told(hub.receive(1, b"here")) == [((HOST,), "Alice: here")]
    hub.leave(HOST)
    assert told(hub.receive(1, b"still")) == [((HOST,), "Alice: still")]


@pytest.mark.parametrize("room", ["lоbby", "LOBBY", "l0bby"])
def test_lookalike_of_a_room_is_that_room(room: str) -> None:
    hub = hub_of("Alice", "Bob")
    assert told(hub.receive(1, f"/join {room}".encode())) == [((1,), "* you are in lobby already")]


@pytest.mark.parametrize("name", ["", "a b", "\x1b", "*", "x" * 25])
def test_names_of_rooms_are_checked(name: str) -> None:
    hub = hub_of("Alice")
    assert told(hub.receive(1, f"/join {name}".encode()))[0][1].startswith("* the name of a room ")


def test_private_message_reaches_one() -> None:
    hub = hub_of("Alice", "Bob", "Carol")
    hub.receive(2, b"/join tea")
    decisions = hub.receive(1, b"/msg bob meet me  there")
    assert shown(decisions) == [ShowLine((2,), "Alice (private): meet me  there")]
    assert told(hub.receive(1, b"/msg Dora hi")) == [((1,), "* Dora is not here: see /who")]
    assert told(hub.receive(1, b"/msg Bob")) == [((1,), "* how to use it: /msg NAME TEXT")]
    assert told(hub.receive(3, b"(private): x")) == [((HOST, 1), "Carol: (private): x")]


def test_action_is_no_notice() -> None:
    hub = hub_of("Alice", "Bob")
    assert told(hub.receive(1, b"/me has left")) == [((HOST, 2), "~ Alice has left")]


def test_history_is_shown_to_whoever_joins_the_room() -> None:
    hub = hub_of("Alice", "Bob")
    for number in range(60):
        hub.receive(HOST, b"line %d" % number)
    hub.receive(1, b"/join tea")
    hub.receive(1, b"/me waits")
    _, decisions = hub.join("10.0.0.9")
    lines = [line for members, line in told(decisions) if members == (3,)]
    assert lines[0].startswith("* welcome")
    assert lines[1] == "* said here before:"
    assert [line.split("] ")[1] for line in lines[2:]] == [f"host: line {number}" for number in range(10, 60)]
    assert [line.split("] ")[-1] for _, line in told(hub.receive(3, b"/join tea")) if "waits" in line] == [
        "~ Alice waits"
    ]


def test_messages_have_growing_ids() -> None:
    hub = hub_of("Alice", next_id=7)
    decisions = [*hub.receive(1, b"one", at=5.0), *hub.receive(1, b"/me two", at=6.0)]
    assert [each.message for each in decisions if isinstance(each, ShowLine)] == [
        Message(7, 5.0, "lobby", "Alice", "say", "one"),
        Message(8, 6.0, "lobby", "Alice", "me", "two"),
    ]


@pytest.mark.parametrize("command", ["/kick Alice", "/mute Alice", "/unmute Alice", "/ban Alice", "/unban Alice"])
def test_guests_do_not_moderate(command: str) -> None:
    hub = hub_of("Alice", "Bob")
    assert told(hub.receive(2, command.encode())) == [((2,), "* only the host may do that")]
    assert hub.is_here(1)


def test_kick() -> None:
    hub = hub_of("Alice", "Bob")
    assert shown(hub.receive(HOST, b"/kick alice")) == [
        ShowLine((1,), "* goodbye: you were removed by host"),
        ShowLine((HOST, 2), "* Alice was removed by host"),
        Disconnect(1),
    ]
    assert told(hub.receive(HOST, b"/kick Alice")) == [((HOST,), "* Alice is not here: see /who")]
    assert told(hub.receive(HOST, b"/kick host")) == [((HOST,), "* you are host: nothing to do")]


def test_mute_until_its_time_has_passed() -> None:
    hub = hub_of("Alice", "Bob")
    assert told(hub.receive(HOST, b"/mute Alice 10s", now=100.0))[0][1] == "* Alice is muted: nobody sees its lines"
    refused = [((1,), "* you are muted: nobody has seen your line")]
    assert told(hub.receive(1, b"hi", now=109.0)) == refused
    assert told(hub.receive(1, b"/me hi", now=109.0)) == refused
    assert told(hub.receive(1, b"/msg Bob hi", now=109.0)) == refused
    assert told(hub.receive(1, b"hi", now=111.0)) == [((HOST, 2), "Alice: hi")]
    hub.receive(HOST, b"/mute Alice", now=200.0)
    assert told(hub.receive(1, b"hi", now=1e9)) == refused
    hub.receive(HOST, b"/unmute Alice", now=1e9)
    assert told(hub.receive(1, b"hi", now=1e9)) == [((HOST, 2), "Alice: hi")]


def test_ban_keeps_the_source_and_the_name_out() -> None:
    hub = hub_of("Mallory", "Bob", sources=("10.0.0.1", "10.0.0.2"))
    decisions = hub.receive(HOST, b"/ban Mallory", now=1.0)
    assert told(decisions)[1] == ((1,), "* goodbye: you are banned from this chat")
    assert Disconnect(1) in decisions
    member, decisions = hub.join("10.0.0.1", now=2.0)
    assert shown(decisions) == [ShowLine((member,), "* goodbye: you are banned from this chat"), Disconnect(member)]
    assert not hub.is_here(member)
    member, _ = hub.join("10.0.0.7", now=3.0)
    assert "looks the same" in told(hub.receive(member, "/name Mаllory".encode(), now=3.0))[0][1]
    assert told(hub.receive(HOST, b"/unban nobody", now=4.0)) == [
        ((HOST,), "* nobody is not banned: banned are Mallory")
    ]
    hub.receive(HOST, b"/unban mallory", now=4.0)
    member, _ = hub.join("10.0.0.1", now=5.0)
    assert told(hub.receive(member, b"/name Mallory", now=5.0))[0][1] == "* you are Mallory now"


def test_ban_for_a_time() -> None:
    hub = hub_of("Mallory")
    hub.receive(HOST, b"/ban Mallory 1m", now=0.0)
    assert not hub.is_here(hub.join("10.0.0.1", now=59.0)[0])
    assert hub.is_here(hub.join("10.0.0.1", now=61.0)[0])
    assert told(hub.receive(HOST, b"/ban guest3 soon", now=61.0)) == [((HOST,), "* how to use it: /ban NAME [TIME]")]


def test_full_chat_refuses() -> None:
    hub = hub_of("Alice", "Bob", limits=Limits(max_guests=2))
    member, decisions = hub.join("")
    assert shown(decisions) == [
        ShowLine((member,), "* goodbye: the chat is full (2 guests)"),
        ShowLine((HOST,), "* the chat is full (2 guests): more are refused"),
        Disconnect(member),
    ]
    hub.leave(1)
    assert hub.is_here(hub.join("")[0])


def test_pasted_page_passes_and_a_flood_waits() -> None:
    """No line is lost: beyond the burst the guest has to wait, and is told once."""
    hub = hub_of("Alice", "Bob", limits=Limits(rate=5.0))
    now = 1000.0
    page = [decision for _ in range(BURST_LINES) for decision in hub.receive(1, b"x" * 80, now)]
    assert [each for each in page if not isinstance(each, ShowLine)] == []
    first = hub.receive(1, b"more", now)
    assert told(first)[1:] == [((1,), "* you are faster than 5 lines a second: your next lines wait")]
    assert first[-1] == Pause(1, pytest.approx(0.2))
    count = 0
    while now < 1060.0:  # a host that honours each pause takes five lines a second
        pauses = [each for each in hub.receive(1, b"more", now) if isinstance(each, Pause)]
        assert len(pauses) == 1
        now += pauses[0].seconds
        count += 1
    assert 295 <= count <= 305
    assert told(hub.receive(1, b"more", now + 1000.0))[0] == ((HOST, 2), "Alice: more")


def test_bytes_are_bounded_too() -> None:
    hub = hub_of("Alice", limits=Limits(rate=10.0))
    decisions = [each for _ in range(40) for each in hub.receive(1, b"x" * 8192, 50.0)]
    assert sum(isinstance(each, Pause) for each in decisions) == 8
    assert sum(isinstance(each, ShowLine) and each.message is not None for each in decisions) == 40


def test_no_rate_no_pause() -> None:
    hub = hub_of("Alice", limits=Limits(rate=None))
    assert not any(isinstance(each, Pause) for _ in range(1000) for each in hub.receive(1, b"x" * 8192, 1.0))


def test_password_comes_first() -> None:
    hub = Hub(password="тайна")
    member, decisions = hub.join("10.0.0.1")
    assert told(decisions) == [((member,), "* this chat needs a password: type it")]
    assert hub.names == ("host",)
    assert told(hub.receive(HOST, b"secrets")) == [((), "host: secrets")]
    assert shown(hub.receive(member, b"guess", 1.0)) == [
        ShowLine((member,), "* the password is wrong"),
        Pause(member, 1.0),
    ]
    assert told(hub.receive(member, "/password тайна".encode(), 2.0))[0][1].startswith("* welcome, you are guest1")
    other, _ = hub.join("10.0.0.2")
    assert told(hub.receive(other, "тайна".encode(), 2.0))[0][1].startswith("* welcome, you are guest2")


def test_three_wrong_passwords_end_the_connection() -> None:
    hub = Hub(password="secret")
    member, _ = hub.join("10.0.0.1")
    for now in (1.0, 2.0):
        hub.receive(member, b"wrong", now)
    decisions = hub.receive(member, b"wrong", 3.0)
    assert told(decisions) == [
        ((member,), "* goodbye: the password was wrong three times"),
        ((HOST,), "* wrong passwords come from 10.0.0.1"),
    ]
    assert Disconnect(member) in decisions
    assert not hub.is_here(member)


def test_guessing_is_paced_for_each_source() -> None:
    """With any number of connections a source tries one password a second; another source is not delayed."""
    hub = Hub(password="secret")
    checked = 0
    for number in range(1000):
        member, _ = hub.join("10.0.0.1", number / 100)
        answer = told(hub.receive(member, b"wrong", number / 100))
        checked += answer[0][1] == "* the password is wrong"
        hub.leave(member)
    assert 10 <= checked <= 16
    reports = [line for members, line in told(hub.receive(HOST, b"/who")) if "wrong passwords" in line]
    assert reports == []
    member, _ = hub.join("10.0.0.2", 10.0)
    assert told(hub.receive(member, b"secret", 10.0))[0][1].startswith("* welcome")


def test_password_that_does_not_come() -> None:
    hub = Hub(password="secret")
    member, _ = hub.join("")
    assert shown(hub.give_up(member, 30.0)) == [
        ShowLine((member,), "* goodbye: no password came within 30 seconds"),
        Disconnect(member),
    ]
    assert hub.give_up(member, 30.0) == []


def test_search_is_asked_of_the_host() -> None:
    hub = hub_of("Alice")
    assert hub.receive(1, b"/search tea  time") == [Search(1, "lobby", "tea  time")]
    assert told(hub.found(1, [])) == [((1,), "* nothing was found")]
    assert hub.found(9, []) == []


def test_heaps_of_marks_are_cut() -> None:
    hub = hub_of("Alice", "Bob")
    zalgo = "a" + "\u0315" * 1000 + "b" + "\u0301"
    shown = told(hub.receive(1, zalgo.encode()))[0][1]
    assert shown == "Alice: a" + "\u0315" * MAX_MARKS + "\u2026" + "b\u0301"
    assert told(hub.receive(1, b"/msg Bob " + zalgo.encode()))[0][1].count("\u0315") == MAX_MARKS


def test_each_member_reads_its_language() -> None:
    hub = hub_of("Alice", "Bob", "Carol")
    assert told(hub.receive(2, b"/lang ru")) == [((2,), "* теперь ваши тексты по-русски")]
    assert told(hub.receive(1, b"/name Alya")) == [
        ((1,), "* you are Alya now"),
        ((HOST, 3), "* Alice is Alya now"),
        ((2,), "* Alice теперь Alya"),
    ]
    assert told(hub.receive(2, b"/name")) == [((2,), "* имя пусто: /name ИМЯ")]
    assert told(hub.receive(1, b"hi")) == [((HOST, 2, 3), "Alya: hi")]
    assert told(hub.receive(2, b"/lang en"))[0][1].endswith("English now")


def _literals(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_notice_has_a_translation() -> None:
    """Each text of the table is used, and each text that is given to `notice` or `tell` is in the table."""
    folder = Path(inspect.getfile(hub_module)).parent
    sources = [path for path in folder.rglob("*.py") if path.name != "texts.py"]
    used = set().union(*map(_literals, sources))
    missing = []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("notice", "tell", "text_for"):
                text = node.args[1] if len(node.args) > 1 else None
                if isinstance(text, ast.Constant) and text.value not in texts._RUSSIAN:
                    missing.append(text.value)
    assert missing == []
    assert {text for text in texts._RUSSIAN if text not in used and not text.startswith("is longer than")} == set()


def test_match_reads_notices_of_both_languages() -> None:
    text = "{before} is {name} now"
    assert texts.match("* Al is Alice now", text) == {"before": "Al", "name": "Alice"}
    assert texts.match("* Al теперь Alice", text) == {"before": "Al", "name": "Alice"}
    assert texts.match("Al: * Al is Alice now", text) is None
