"""What the members of a room are told about those at other hosts: who came, went, or is called otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from socketkit.apps.chat.bus.registry import Change
from socketkit.apps.chat.decisions import ShowLine
from socketkit.apps.chat.members import Members

__all__ = ["change_notices"]

SINGLE_NOTICES: Final = 3
"""Changes at once that have a notice each; more are told together."""

LISTED_NAMES: Final = 10
"""Names in one notice about many."""

HOWS: Final = {
    "{name} has left": (),
    "{name} was lost": (),
    "{name} was disconnected: it has stopped reading": (),
    "{name} was removed by {host}": ("host",),
}
"""How members go, and what these texts need besides the name."""

ELSEWHERE: Final = -1
"""A number that no member of this host has."""


def change_notices(members: Members, changes: Sequence[Change]) -> list[ShowLine]:
    """The notices for the members of this host; few changes have one each, many one for each room."""
    if len(changes) <= SINGLE_NOTICES:
        return [each for change in changes for each in _notices_of(members, change)]
    return _joint_notices(members, changes)


def _notices_of(members: Members, change: Change) -> list[ShowLine]:
    before, after = change.before, change.after
    notices: list[ShowLine] = []
    if before is not None and (after is None or after[1] != before[1]):
        how, fields = "{name} has left for {room}", {"room": after[1] if after else ""}
        if after is None:
            how, values = change.how, dict(change.values)
            if how not in HOWS or any(field not in values for field in HOWS[how]):
                how = "{name} has left"
            fields = {field: values[field] for field in HOWS[how]}
        notices += _tell_room(members, before[1], how, **{**fields, "name": before[0]})
    if after is not None and (before is None or after[1] != before[1]):
        notices += _tell_room(members, after[1], "{name} has joined", name=after[0])
    elif before is not None and after is not None:
        notices += _tell_room(members, after[1], "{before} is {name} now", before=before[0], name=after[0])
    return notices


def _joint_notices(members: Members, changes: Sequence[Change]) -> list[ShowLine]:
    rooms: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        before, after = change.before, change.after
        if before is not None and (after is None or after[1] != before[1]):
            rooms.setdefault((before[1], "have left: {names}"), []).append(before[0])
        if after is not None and (before is None or after[1] != before[1]):
            rooms.setdefault((after[1], "have joined: {names}"), []).append(after[0])
        elif before is not None and after is not None:
            rooms.setdefault((after[1], "are called otherwise now: {names}"), []).append(after[0])
    notices: list[ShowLine] = []
    for (room, text), names in rooms.items():
        listed = ", ".join(names[:LISTED_NAMES]) + (f" ... {len(names)}" if len(names) > LISTED_NAMES else "")
        notices += _tell_room(members, room, text, names=listed, people=members.list_of(room)["people"])
    return notices


def _tell_room(members: Members, room: str, text: str, /, **fields: object) -> list[ShowLine]:
    return members.notice(members.others(ELSEWHERE, room), text, **fields)
