"""Names that look alike have a skeleton in common; names that only share a script have not."""

from __future__ import annotations

import pytest

from socketkit.apps.chat.confusables import skeletons
from socketkit.apps.chat.hub import Hub

ALIKE = [
    ("ANNA", "ΑΝΝΑ"), ("MAX", "ΜΑΧ"), ("TOM", "ΤΟΜ"), ("BOB", "ΒΟΒ"), ("Zoe", "Ζoe"), ("Hugo", "Ηugo"),
    ("Nick", "Νick"), ("Yan", "Υan"), ("ALICE", "ꓮꓡꓲꓚꓰ"), ("ALICE", "ᎪᏞᏆᏟᎬ"), ("Alice", "Alıce"), ("alice", "ɑlice"),
    ("Maggie", "Maɡɡie"), ("gus", "ԍus"), ("vera", "ѵera"), ("Alice", "Аlice"), ("alice", "аӏісе"), ("modem", "modern"),
    ("will", "vvill"), ("Bob", "B0b"), ("Иван", "ивaн"), ("ΝΙΚΟΣ", "νικος"), ("Alice", "Ａlice"), ("Наша", "Haшa"),
    ("sona", "ѕօnа"), ("Пётр", "Πётр"), ("STRASSE", "straße"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "other"), ALIKE)
def test_confusable_names(name: str, other: str) -> None:
    assert skeletons(name) & skeletons(other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Anna", "Анка"),
        ("Anna", "Ana"),
        ("Zoë", "Zoe"),
        ("Ольга", "Олег"),
        ("李雷", "李磊"),
        ("Νίκος", "Νίκη"),
        ("x1", "x2"),
    ],
)
def test_distinct_names(name: str, other: str) -> None:
    assert not skeletons(name) & skeletons(other)


@pytest.mark.parametrize(("name", "other"), ALIKE)
def test_room_refuses_confusable(name: str, other: str) -> None:
    """Whichever of two names came first, the other one is refused, and the proposed name is taken."""
    for first, second in ((name, other), (other, name)):
        room = Hub()
        room.join()
        room.join()
        room.receive(1, f"/name {first}".encode())
        line = room.receive(2, f"/name {second}".encode())[0].line  # type: ignore[union-attr]
        assert "looks the same" in line
        proposed = line.split("/name ")[1]
        room.receive(2, f"/name {proposed}".encode())
        assert room.names[2] == proposed
