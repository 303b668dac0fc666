"""What a guest's program learns from the lines that it is shown."""

from __future__ import annotations

import pytest

from socketkit.apps.chat.hub import Hub
from socketkit.apps.chat.name_book import NameBook, writer_of


@pytest.mark.parametrize(
    ("line", "writer"),
    [
        ("Alice: hello", ("Alice", 0, 7)),
        ("Alice (private): hello", ("Alice", 0, 17)),
        ("~ Alice waves", ("Alice", 2, 8)),
        ("[12:30] Оля: hello", ("Оля", 8, 13)),
        ("[2026-01-02 12:30] ~ Alice waves", ("Alice", 21, 27)),
        ("* Alice has left: hello", None),
        ("a line of a plain server: hello", None),
        ("", None),
    ],
)
def test_writer_of(line: str, writer: tuple[str, int, int] | None) -> None:
    assert writer_of(line) == writer


@pytest.mark.parametrize("language", ["en", "ru"])
def test_names_follow_the_notices(language: str) -> None:
    """The book of a guest reads the notices of a real hub, in both languages."""
    hub, book = Hub(language=language), NameBook()
    member, decisions = hub.join()

    def see(decisions: list[object]) -> None:
        for each in decisions:
            if member in getattr(each, "members", ()):
                book.see(each.line)  # type: ignore[attr-defined]

    see([*decisions])
    assert (book.own, book.asked, book.room, book.names) == ("guest1", None, None, ["host"])
    other, decisions = hub.join()
    see([*decisions])
    see([*hub.receive(other, b"/name Bob")])
    assert book.names == ["Bob", "host"]
    see([*hub.receive(member, b"/name Alice")])
    assert (book.own, book.asked) == ("Alice", "Alice")
    hub.receive(other, b"/join tea")
    see([*hub.receive(member, b"/join tea")])
    assert book.room == "tea" and "Bob" in book.names
    see([*hub.receive(other, b"bye")])
    assert "Bob" not in book.names


def test_calls() -> None:
    book = NameBook("Al")
    assert book.calls("Bob: hi al, are you there?")
    assert book.calls("~ Bob waves to Al")
    assert book.calls("Bob (private): anything")
    assert not book.calls("Bob: also, alas")
    assert not book.calls("Al: it is Al")
    assert not book.calls("* Al has joined")
    assert not book.calls("[12:30] Bob: Al!")
    assert not NameBook().calls("Bob: hi")
