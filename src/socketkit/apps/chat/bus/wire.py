"""Entries of the log as bytes: JSON, with events that are numbered for each host.

What another host has written is checked and made safe for terminals here, as what guests write is. What cannot be read
is no event. `Event` has the table of all events.

    {"h": HOST, "e": [[NUMBER, KIND, …], …]}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from socketkit.apps.chat.names import MAX_NAME_LENGTH, check_name
from socketkit.apps.chat.unstacked import unstacked
from socketkit.apps.terminal_escape import visible

__all__ = ["MAX_LISTED_HOSTS", "Event", "Numbered", "decode", "encode"]

Event = tuple[Any, ...]
"""Its kind, and its fields:

| event | meaning |
|---|---|
| `hello` COUNTS | this host was away: the others publish who is there, and the lines behind these counts again |
| `reset`, `here` MEMBER NAME ROOM …, `ready` COUNT | the whole list of its members, and the count of its lines |
| `join` MEMBER NAME ROOM, `leave` MEMBER HOW FIELDS, `move` MEMBER ROOM, `name` MEMBER NAME | changes of it |
| `say` COUNT MEMBER NAME ROOM KIND TEXT AT | what was said, with a count of what this host's members have said |
| `msg` HOST MEMBER NAME FROM NAME TEXT | a private message |
| `absent` HOST MEMBER NAME | to whoever wrote a private message: its receiver has left |
| `order` HOST MEMBER WORD REST | what the person at another host wants done to a member |
| `ban` NAME SOURCE SECONDS, `unban` NAME | for all hosts; 0 seconds: for good |
| `gone` HOST | this host was not present for long |
| `bye` | this host has ended |
"""

Numbered = tuple[int, Event]

MAX_TEXT_LENGTH: Final = 64 * 1024
"""Characters of a text: a line of the most bytes, all escaped, has half of it."""

MAX_NUMBER: Final = 2**53

MAX_LISTED_HOSTS: Final = 100
"""Hosts of which one tells how much it has read."""


def encode(host: str, events: Iterable[Numbered]) -> bytes:
    """An entry with these events of one host."""
    listed = [[number, *event] for number, event in events]
    return json.dumps({"h": host, "e": listed}, ensure_ascii=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )


def decode(data: bytes) -> tuple[str, list[Numbered]] | None:
    """The host and the events of an entry, without those that are not valid; None: it is no entry."""
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not _is_host(entry.get("h")) or not isinstance(entry.get("e"), list):
        return None
    return entry["h"], [found for each in entry["e"] if (found := _event(each)) is not None]


def _event(fields: object) -> Numbered | None:
    if not isinstance(fields, list) or len(fields) < 2 or not _is_number(fields[0]) or not isinstance(fields[1], str):
        return None
    number, kind, *rest = fields
    checks = _FIELDS.get(kind)
    if checks is None or len(rest) != len(checks) or not all(map(_holds, checks, rest)):
        return None
    if kind in ("say", "msg"):
        rest[5] = unstacked(visible(rest[5]))
    return number, (kind, *rest)


def _holds(check: Callable[[Any], bool], value: object) -> bool:
    return check(value)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBER


def _is_moment(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 4e9


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 256 and value == visible(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and check_name(value) is None


def _is_host(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isalnum() and len(value) <= MAX_NAME_LENGTH


def _is_kind(value: Any) -> bool:
    return value in ("say", "me")


def _is_fields(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 4 and all(map(_is_word, [*value, *value.values()]))


def _are_counts(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_LISTED_HOSTS
        and all(map(_is_host, value))
        and all(map(_is_number, value.values()))
    )


_FIELDS: Final[dict[str, tuple[Callable[[Any], bool], ...]]] = {
    "hello": (_are_counts,),
    "reset": (),
    "here": (_is_number, _is_name, _is_name),
    "ready": (_is_number,),
    "join": (_is_number, _is_name, _is_name),
    "leave": (_is_number, _is_word, _is_fields),
    "move": (_is_number, _is_name),
    "name": (_is_number, _is_name),
    "say": (_is_number, _is_number, _is_name, _is_name, _is_kind, _is_text, _is_moment),
    "msg": (_is_host, _is_number, _is_name, _is_number, _is_name, _is_text),
    "absent": (_is_host, _is_number, _is_name),
    "order": (_is_host, _is_number, _is_word, _is_word),
    "ban": (_is_name, _is_word, _is_moment),
    "unban": (_is_name,),
    "gone": (_is_host,),
    "bye": (),
}
