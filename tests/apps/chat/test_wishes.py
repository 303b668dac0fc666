"""What a guest asks for before it is in the chat, and what the lines that it is shown are made of."""

from __future__ import annotations

from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, Notice, Past, Private, ShowLine
from socketkit.apps.chat.hub import Hub, Wish
from socketkit.apps.chat.limits import Limits
from socketkit.apps.chat.message import Message


def lines(member: int, decisions: list[Decision]) -> list[str]:
    return [each.line for each in decisions if isinstance(each, ShowLine) and member in each.members]


def notice(decisions: list[Decision], index: int = 0) -> Notice:
    decision = decisions[index]
    assert isinstance(decision, ShowLine) and isinstance(decision.detail, Notice)
    return decision.detail


def past(decisions: list[Decision]) -> list[int]:
    details = [each.detail for each in decisions if isinstance(each, ShowLine)]
    return [each.message.id for each in details if isinstance(each, Past)]


def said(room: str, *ids: int) -> tuple[Message, ...]:
    return tuple(Message(each, 0.0, room, "Bob", "say", f"line {each}") for each in ids)


def test_name_and_room_are_taken_at_once() -> None:
    """The others are told once, with the name; nobody in the lobby is."""
    hub = Hub()
    hub.join(wish=Wish(room="Tea"))
    member, decisions = hub.join(wish=Wish(name="Alice", room="tea"))
    assert lines(1, decisions) == ["* Alice has joined"]
    assert lines(HOST, decisions) == []
    welcome = notice(decisions).values
    assert (welcome["name"], welcome["room"], welcome["people"], welcome["host"]) == (
        "Alice",
        "tea",
        ["guest1"],
        "host",
    )
    assert hub.members.by_number[member].room == "tea"


def test_name_that_looks_like_another_is_refused_with_a_notice() -> None:
    hub = Hub()
    hub.join(wish=Wish(name="Alice"))
    _, decisions = hub.join(wish=Wish(name="Аlice"))  # Cyrillic А
    assert hub.names[2] == "guest2"
    assert "looks the same" in lines(2, decisions)[-1]


def test_invalid_name_and_room_are_refused_with_notices() -> None:
    hub = Hub()
    _, decisions = hub.join(wish=Wish(name="<script>", room="a b"))
    assert hub.names[1] == "guest1" and hub.members.by_number[1].room == "lobby"
    told = lines(1, decisions)
    assert told[1].startswith("* the name does not begin") and told[2].startswith("* the name of a room may hold")


def test_banned_name_is_refused() -> None:
    hub = Hub()
    hub.join("10.0.0.1", wish=Wish(name="Mallory"))
    hub.receive(HOST, b"/ban Mallory")
    hub.join("10.0.0.2", wish=Wish(name="mallory"))
    assert hub.names == ("host", "guest2")


def test_language_holds_from_the_first_notice() -> None:
    """It is forgotten with the guest, also where the guest never came in."""
    hub = Hub(password="secret", limits=Limits(max_guests=1))
    member, decisions = hub.join(wish=Wish(language="ru"))
    assert lines(member, decisions) == ["* нужен пароль: введите его"]
    full, decisions = hub.join(wish=Wish(language="ru"))
    assert lines(full, decisions) == ["* до свидания: мест нет (гостей: 1)"]
    hub.leave(member)
    assert not hub.members._languages


def test_trusted_guest_needs_no_password() -> None:
    hub = Hub(password="secret")
    member, decisions = hub.join(wish=Wish(name="Alice"), is_trusted=True)
    assert not hub.is_waiting(member) and lines(member, decisions)[0].startswith("* welcome, you are Alice")


def test_wish_is_kept_until_the_password_came() -> None:
    hub = Hub(password="secret")
    member, _ = hub.join(wish=Wish(name="Alice", room="tea"))
    hub.receive(member, b"secret")
    assert hub.names == ("host", "Alice") and hub.members.by_number[member].room == "tea"


def test_missed_lines_come_by_id() -> None:
    """What was looked up, then what the history has beyond it; no line twice."""
    hub = Hub(limits=Limits(history_count=3), earlier=said("lobby", 1, 2, 3, 4, 5), next_id=6)
    assert past(hub.join(wish=Wish(after=3))[1]) == [4, 5]
    assert past(hub.join(wish=Wish(after=5))[1]) == []
    _, decisions = hub.join(wish=Wish(after=1, missed=said("lobby", 2, 3, 4)))
    assert past(decisions) == [2, 3, 4, 5]
    assert notice(decisions).values["cut"] is False


def test_lines_that_are_forgotten_are_told() -> None:
    hub = Hub(limits=Limits(history_count=3), earlier=said("lobby", 1, 2, 3, 4, 5), next_id=6)
    assert notice(hub.join(wish=Wish(after=2))[1]).values["cut"] is False
    decisions = hub.join(wish=Wish(after=1))[1]
    assert past(decisions) == [3, 4, 5] and notice(decisions).values["cut"] is True
    assert notice(hub.join()[1]).values["cut"] is False  # it has seen nothing, so it has missed nothing


def test_details_of_lines() -> None:
    """A message names its writer; a private one also its reader; found messages differ from the history."""
    hub = Hub()
    for name in ("Alice", "Bob"):
        hub.join(wish=Wish(name=name))
    (line,) = hub.receive(1, b"hello")
    assert isinstance(line, ShowLine) and line.writer == 1 and line.message is not None
    (private,) = hub.receive(1, b"/msg bob hi")
    assert isinstance(private, ShowLine) and (private.writer, private.detail) == (1, Private("Alice", "Bob", "hi"))
    _, found = hub.found(2, said("lobby", 7))
    assert isinstance(found, ShowLine) and found.detail == Past(said("lobby", 7)[0], is_found=True)
    moved = hub.receive(1, b"/join tea")
    assert notice(moved, 1).values["people"] == []
    assert hub.leave(1)[-1] == Disconnect(1)
