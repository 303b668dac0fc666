"""The room decides who hears what; nobody speaks as another."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, EndChat, ShowLine
from socketkit.apps.chat.hub import MAX_LINE_SIZE, Hub, is_farewell
from socketkit.apps.chat.names import MAX_NAME_LENGTH, check_name
from socketkit.apps.terminal_escape import visible
from socketkit.values import replace


def room_of(*names: str, once: bool = False) -> Hub:
    """A room with guests of these names, at members 1, 2, ..."""
    room = Hub(once=once)
    for name in names:
        member, _ = room.join()
        if name != f"guest{member}":
            room.receive(member, f"/name {name}".encode())
    assert room.names == ("host", *names)
    return room


def told(decisions: list[Decision]) -> list[tuple[tuple[int, ...], str]]:
    return [(decision.members, decision.line) for decision in decisions if isinstance(decision, ShowLine)]


def shown(decisions: list[Decision]) -> list[Decision]:
    """The decisions, without what lines were made of."""
    return [
        replace(each, message=None, detail=None, writer=None) if isinstance(each, ShowLine) else each
        for each in decisions
    ]


def lines_for(member: int, decisions: list[Decision]) -> list[str]:
    return [line for members, line in told(decisions) if member in members]


def test_greeting_and_join_notice() -> None:
    """A guest is greeted with its name and the others receive that it has joined."""
    room = room_of("guest1")
    member, decisions = room.join()
    assert told(decisions) == [
        ((member,), "* welcome, you are guest2; here: host, guest1 (/name NEW, /who, /help, /quit)"),
        ((HOST, 1), "* guest2 has joined"),
    ]


def test_assigned_name_is_unique() -> None:
    """A given name is never one that is here."""
    room = room_of("guest2")
    assert shown(room.join()[1])[0] == ShowLine(
        (2,), "* welcome, you are guest3; here: host, guest2 (/name NEW, /who, /help, /quit)"
    )


def test_leaving_is_announced_once() -> None:
    """Who leaves is closed once and the others are reported."""
    room = room_of("Alice", "Bob")
    assert shown(room.leave(1)) == [ShowLine((HOST, 2), "* Alice has left"), Disconnect(1)]
    assert room.leave(1) == []
    assert room.receive(1, b"still here?") == []
    assert room.names == ("host", "Bob")


def test_how_somebody_went_is_told() -> None:
    assert told(room_of("Alice").leave(1, how="{name} was lost")) == [((HOST,), "* Alice was lost")]


FAREWELLS = ["bye", "BYE", "  Bye ", "/quit", "/QUIT", "до свидания", "До Свидания", "bye\t"]
FAREWELLS += ["bye!", "Bye.", "*bye*", "До свидания!", "до  свидания...", "«До свидания»", "bye !!"]


@pytest.mark.parametrize("word", FAREWELLS)
def test_farewell_is_answered(word: str) -> None:
    """A farewell ends the conversation of its speaker with a close."""
    room = room_of("Alice", "Bob")
    assert shown(room.receive(1, word.encode())) == [
        ShowLine((1,), "* goodbye, Alice"),
        ShowLine((HOST, 2), "* Alice has left"),
        Disconnect(1),
    ]


@pytest.mark.parametrize(
    "line", ["bye bye", "goodbye", "I said bye", "bye?", "b!ye", "bye! see you", "свидания", "!", ""]
)
def test_a_farewell_stands_alone_on_its_line(line: str) -> None:
    assert not is_farewell(line)
    assert told(room_of("Alice").receive(1, line.encode())) == [((HOST,), f"Alice: {line}")]


def test_the_host_ends_the_chat_for_all() -> None:
    room = room_of("Alice", "Bob")
    assert shown(room.receive(HOST, b"bye")) == [
        ShowLine((1, 2), "* goodbye: host has ended the chat"),
        Disconnect(1),
        Disconnect(2),
        EndChat(),
    ]
    assert room.end("again") == []
    assert not room.is_here(1)


def test_listening_host_is_not_listed() -> None:
    """A host without a person still receives but is not listed."""
    room = room_of("Alice")
    assert told(room.leave(HOST)) == [((1,), "* host has left")]
    assert told(room.receive(1, b"anybody?")) == [((HOST,), "Alice: anybody?")]
    assert told(room.receive(1, b"/who")) == [((1,), "* here: Alice (you)")]


def test_a_room_for_one_guest_ends_with_it() -> None:
    room = room_of("Alice", once=True)
    assert room.receive(1, b"bye")[-2:] == [Disconnect(1), EndChat()]


def test_full_room_refuses_second_guest() -> None:
    """A room for one guest sends the second away."""
    room = room_of("Alice", once=True)
    member, decisions = room.join()
    assert shown(decisions) == [
        ShowLine((member,), "* this chat was for one guest, who was here before you"),
        Disconnect(member),
    ]
    assert room.names == ("host", "Alice")
    assert room.leave(member) == []


def test_closed_room_refuses_guests() -> None:
    """Who comes after the end is sent away."""
    room = room_of("Alice")
    room.end("over")
    member, decisions = room.join()
    assert decisions[-1] == Disconnect(member)


def test_line_is_prefixed_and_sent_to_others() -> None:
    """A line goes to all others behind one prefix and not to its speaker."""
    room = room_of("Alice", "Bob", "Carol")
    assert shown(room.receive(1, b"hello")) == [ShowLine((HOST, 2, 3), "Alice: hello")]
    assert shown(room.receive(HOST, "привет".encode())) == [ShowLine((1, 2, 3), "host: привет")]


def test_first_line_is_a_message() -> None:
    """The first line of a guest is a message and no name."""
    room = Hub()
    member, _ = room.join()
    assert told(room.receive(member, b"Alice")) == [((HOST,), "guest1: Alice")]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"Alice: I owe you", "Mallory: Alice: I owe you"),
        (b"* Alice has left", "Mallory: * Alice has left"),
        (b"<Alice> hi", "Mallory: <Alice> hi"),
        (b"x\rAlice: hi", "Mallory: x\\x0dAlice: hi"),
        (b"x\x1b[2K\x1b[GAlice: hi", "Mallory: x\\x1b[2K\\x1b[GAlice: hi"),
        (b"x\x0bAlice: hi", "Mallory: x\\x0bAlice: hi"),
        ("x\x85Alice: hi".encode(), "Mallory: x\\x85Alice: hi"),
        ("x\u2028Alice: hi".encode(), "Mallory: x\\u2028Alice: hi"),
        ("\u202eih :ecilA".encode(), "Mallory: \\u202eih :ecilA"),
        (b"\x08\x08\x08Alice: hi", "Mallory: \\x08\\x08\\x08Alice: hi"),
        (b"//name Alice", "Mallory: /name Alice"),
    ],
)
def test_line_cannot_forge_another(line: bytes, text: str) -> None:
    """No line of a guest can be taken for another s."""
    room = room_of("Alice", "Mallory")
    assert shown(room.receive(2, line)) == [ShowLine((HOST, 1), text)]


def test_invalid_utf8_is_escaped_and_noted_once() -> None:
    """Bytes that are no utf 8 are shown as bytes and reported of once."""
    room = room_of("Alice", "Bob")
    assert told(room.receive(1, b"caf\xe9")) == [
        ((1,), "* your line was not UTF-8: the others see \\xff and the like in it"),
        ((HOST, 2), "Alice: caf\\xe9"),
    ]
    assert told(room.receive(1, b"\xff")) == [((HOST, 2), "Alice: \\xff")]


def test_line_limit_is_inclusive() -> None:
    """A line at the limit is passed on and one beyond is refused to its speaker."""
    room = room_of("Alice", "Bob")
    assert told(room.receive(1, b"x" * MAX_LINE_SIZE)) == [((HOST, 2), "Alice: " + "x" * MAX_LINE_SIZE)]
    assert told(room.receive(1, b"x" * (MAX_LINE_SIZE + 1))) == [
        ((1,), "* your line was longer than 8192 bytes: nobody has seen it")
    ]


def test_rename_is_announced_first() -> None:
    """A new name is reported to all and stands before the next line."""
    room = room_of("guest1", "Bob")
    assert told(room.receive(1, b"/name Alice")) == [
        ((1,), "* you are Alice now"),
        ((HOST, 2), "* guest1 is Alice now"),
    ]
    assert told(room.receive(1, b"hi")) == [((HOST, 2), "Alice: hi")]


@pytest.mark.parametrize(
    "name", ["Alice", "alice", "ALICE", "Аlice", "Aliсe", "Ａlice", "A1ice", "аlісе", "host", "HOST"]
)
def test_lookalike_of_present_name_refused(name: str) -> None:
    """A name that looks like one that is here is refused."""
    room = room_of("Alice", "Mallory")
    line = lines_for(2, room.receive(2, f"/name {name}".encode()))
    assert line == [f"* {name} is here already, or looks the same; free is: /name {name}2"]
    assert "Mallory" in room.names


def test_the_suggested_name_is_free() -> None:
    room = room_of("Alice", "Alice2", "Bob")
    assert lines_for(3, room.receive(3, b"/name Alice"))[0].endswith("/name Alice3")
    long = "x" * MAX_NAME_LENGTH
    room = room_of(long, "Bob")
    suggested = lines_for(2, room.receive(2, f"/name {long}".encode()))[0].split("/name ")[1]
    assert check_name(suggested) is None


def test_own_name_respelled() -> None:
    """One's own name may be written otherwise."""
    room = room_of("alice")
    assert lines_for(1, room.receive(1, b"/name Alice")) == ["* you are Alice now"]
    assert lines_for(1, room.receive(1, b"/name Alice")) == ["* you are Alice already"]


@pytest.mark.parametrize(
    "name",
    ["", "A B", "Alice:", "*", "* Alice", "a\x1b[2J", "a\r", "-x", ".", "x" * (MAX_NAME_LENGTH + 1), "a/b", "<x>",
     "a\u202eb", "a\u200bb", "\u3164", "a\ufe0f", "host,", "🦊"],
)  # fmt: skip
def test_ambiguous_names_refused(name: str) -> None:
    """A name that could be taken for something else is refused."""
    assert check_name(name) is not None
    room = room_of("guest1")
    assert lines_for(1, room.receive(1, f"/name {name}".encode()))[0].startswith("* the name ")
    assert room.names == ("host", "guest1")


@pytest.mark.parametrize(
    "name", ["Alice", "Ольга", "x", "R2-D2", "a.b_c", "李雷", "Zoë", "हिन्दी", "x" * MAX_NAME_LENGTH]
)
def test_names_of_every_script_are_fit(name: str) -> None:
    assert check_name(name) is None


def test_a_name_that_is_left_is_free_again() -> None:
    room = room_of("Alice", "Bob")
    room.leave(1)
    assert lines_for(2, room.receive(2, b"/name Alice")) == ["* you are Alice now"]


def test_the_host_s_name_is_checked() -> None:
    with pytest.raises(ValueError, match=r"the name 'a b' may hold letters"):
        Hub(host_name="a b")
    with pytest.raises(ValueError, match=r"\\x1b"):
        Hub(host_name="\x1b")


def test_who_is_answered_to_who_asks() -> None:
    room = room_of("Alice", "Bob")
    assert told(room.receive(1, b"/who")) == [((1,), "* here: host, Alice (you), Bob")]
    assert told(room.receive(HOST, b"/WHO")) == [((HOST,), "* here: host (you), Alice, Bob")]


def test_help_names_every_line_for_the_room() -> None:
    room = room_of("Alice")
    text = "\n".join(lines_for(1, room.receive(1, b"/help")))
    assert all(word in text for word in ("/name", "/who", "/quit", "bye", "до свидания"))


def test_unknown_command_refused() -> None:
    """An unknown word is not passed on and not obeyed."""
    room = room_of("Alice", "Bob")
    decisions = room.receive(1, b"/nmae\x1b[2J Alice")
    assert [members for members, _ in told(decisions)] == [(1,)]
    assert lines_for(1, decisions)[0].startswith("* there is no /nmae\\x1b[2J; see /help")


@pytest.mark.parametrize("number", [*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xD800])
def test_control_characters_escaped(number: int) -> None:
    """What a terminal would obey is written out."""
    written = visible(f"a{chr(number)}b")
    assert written.isprintable()
    assert f"{number:02x}" in written


@pytest.mark.parametrize("text", ["hello", "привет", "tab\tstop", "👩\u200d👩\u200d👧", "שלום", "a\u00a0b", "\\x1b"])
def test_what_is_only_shown_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def _calls(work: Callable[[], object]) -> int:
    """Calls of Python functions and of builtins in this work: what it costs, on a busy machine too."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _crowd(size: int, stem: str = "x") -> Hub:
    """A room in which one machine has taken x, x2, x3, ..."""
    room = Hub()
    for number in range(1, size + 1):
        member, _ = room.join()
        room.receive(member, f"/name {stem}{number if number > 1 else ''}".encode())
    return room


@pytest.mark.parametrize("line", [b"/name x", b"/name X", b"/name y", b"/name x2", b"/help"])
def test_command_cost_in_crowd(line: bytes) -> None:
    """The work of a command hardly grows with the members, whatever names they took."""
    costs = []
    for size in (20, 900):
        room = _crowd(size)
        member, _ = room.join()
        others = len(room.names)
        costs.append(_calls(lambda: room.receive(member, line)) - (3 * others if line == b"/name y" else 0))  # noqa: B023
    assert costs[1] < 10 * max(costs[0], 40)


def test_join_cost_in_crowd() -> None:
    """A guest gets a free name quickly though others have taken the next thousand."""
    room = _crowd(0)
    for number in range(900):
        member, _ = room.join()
        room.receive(member, f"/name guest{1000 + number}".encode())
    for _ in range(100):
        member, _ = room.join()
    assert _calls(lambda: room.members.taken.free_like("guest", 1001)) < 1000


def test_long_name_of_marks() -> None:
    """A row of combining marks is refused before it is normalised, which would take time by the square."""
    room = room_of("guest1")
    line = ("/name a" + "\u0301\u0323" * 1800).encode()
    assert lines_for(1, room.receive(1, line)) == [f"* the name is longer than {MAX_NAME_LENGTH} characters: /name NEW"]
