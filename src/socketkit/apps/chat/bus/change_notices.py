"""Notices for the members of a room about those at other hosts: who came, went, or has another name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from socketkit.apps.chat.arrivals import listed_names
from socketkit.apps.chat.bus.registry import Change
from socketkit.apps.chat.decisions import ShowLine
from socketkit.apps.chat.members import ELSEWHERE, Members

__all__ = ["change_notices"]

SINGLE_NOTICES: Final = 3
"""Changes at once that have a notice each; more are told together."""

HOWS: Final = {
    "{name} has left": (),
    "{name} was lost": (),
    "{name} was disconnected: it has stopped reading": (),
    "{name} was removed by {host}": ("host",),
}
"""How members go, and what these texts need besides the name."""


def change_notices(members: Members, changes: Sequence[Change]) -> list[ShowLine]:
    """The notices for the members of this host; few changes have one each, many one for each room."""
    if len(changes) <= SINGLE_NOTICES:
        return [each for change in changes for each in _notices_of(members, change)]
    return _joint_notices(members, changes)


def _notices_of(members: Members, change: Change) -> list[ShowLine]:
    key, before, after = change.key, change.before, change.after
    if before is not None and after is None:
        how, values = change.how, dict(change.values)
        if how not in HOWS or any(field not in values for field in HOWS[how]):
            how = "{name} has left"
        return members.went(key, *before, how, **{field: values[field] for field in HOWS[how]})
    if after is None:
        return []
    name, room = after
    if before is None:
        return members.came(key, name, room)
    if room != before[1]:
        left: list[ShowLine] = []
        if not members.arrivals.take_back(key):
            left = _tell_room(members, before[1], "{name} has left for {room}", name=before[0], room=room)
        return [*left, *members.came(key, name, room)]
    if members.arrivals.rename(key, name):
        return []
    return _tell_room(members, room, "{before} is {name} now", before=before[0], name=name)


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
    notices = members.tell_arrivals()  # some of them may be among these
    for (room, text), names in rooms.items():
        notices += _tell_room(members, room, text, names=listed_names(names), **members.list_of(room))
    return notices


def _tell_room(members: Members, room: str, text: str, /, **fields: object) -> list[ShowLine]:
    return members.notice(members.others(ELSEWHERE, room), text, **fields)
