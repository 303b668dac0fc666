"""The chat's protocol over WebSocket, without I/O: what a guest is shown and what it sends, as JSON values.

An event is an object with a `type`. Its `text` is in the guest's language, the rest is for programs. Names and texts
are plain text: whoever shows them has to escape them for its own medium.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from socketkit.apps.chat.decisions import Notice, Past, Private, ShowLine
from socketkit.apps.chat.export import iso_time, message_fields
from socketkit.config.languages import LANGUAGES
from socketkit.values import Value

__all__ = ["SUBPROTOCOL", "Hello", "encode", "event_of", "lines_of", "parse", "read_hello"]

SUBPROTOCOL: Final = "socketkit-chat.v1"
"""The name of this protocol in a WebSocket's handshake."""

MAX_FIELD_LENGTH: Final = 1024
"""Characters of a field of the first message, inclusive; one that is longer counts as none."""

_NAME: Final = ("name",)

_PEOPLE: Final = ("people", "count")

_NOTICES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "welcome, you are {name}; here: {here} (/name NEW, /who, /help, /quit)": (
        "ready",
        ("name", "room", *_PEOPLE, "host", "cut"),
    ),
    "you are in {room} now; here: {here}": ("room", ("room", *_PEOPLE)),
    "here: {here}": ("people", _PEOPLE),
    "have joined: {names}": ("people", _PEOPLE),
    "have left: {names}": ("people", _PEOPLE),
    "are called otherwise now: {names}": ("people", _PEOPLE),
    "you are {name} now": ("name", _NAME),
    "{before} is {name} now": ("renamed", ("before", "name")),
    "{name} has joined": ("joined", _NAME),
    "{name} has left": ("left", _NAME),
    "{name} was lost": ("left", _NAME),
    "{name} was disconnected: it has stopped reading": ("left", _NAME),
    "{name} was removed by {host}": ("left", _NAME),
    "{name} has left for {room}": ("left", ("name", "room")),
    "this chat needs a password: type it": ("password", ()),
    "the password is wrong": ("password", ()),
    "too many wrong passwords: wait {seconds} seconds": ("password", ("seconds",)),
}
"""The type of the event that a notice is, and which of its values go with it."""

_GOODBYES: Final = {
    "goodbye, {name}": "left",
    "goodbye: you were removed by {host}": "removed",
    "goodbye: you are banned from this chat": "banned",
    "goodbye: the chat is full ({count} guests)": "full",
    "goodbye: too many from your address have not given the password": "full",
    "this chat was for one guest, who was here before you": "full",
    "goodbye: {name} has ended the chat": "ended",
    "goodbye: {reason}": "ended",
    "goodbye: the password was wrong three times": "password",
    "goodbye: no password came within {seconds} seconds": "password",
}
"""Why the connection ends. After "ended" a program may try again: the host may be starting anew."""


def event_of(shown: ShowLine, message_id: int | None, now: float) -> dict[str, Any] | None:
    """The event that a line is for a guest with a page; None: it says nothing that other events do not.

    Args:
        shown: the line and what it was made of.
        message_id: of its message, where that is kept for good.
        now: seconds since 1970.
    """
    detail = shown.detail
    if shown.message is not None:
        return {"type": "message"} | message_fields(shown.message) | {"id": message_id}
    if isinstance(detail, Past):
        return {"type": "message"} | message_fields(detail.message) | {"found" if detail.is_found else "past": True}
    if isinstance(detail, Private):
        fields = {"name": detail.name, "to": detail.to, "text": detail.text}
        return {"type": "private", "time": iso_time(now)} | fields
    text = shown.line.removeprefix("* ")
    if not isinstance(detail, Notice):
        return {"type": "notice", "text": text}
    if detail.text == "said here before:":
        return None
    if (reason := _GOODBYES.get(detail.text)) is not None:
        return {"type": "end", "text": text, "reason": reason}
    kind, names = _NOTICES.get(detail.text, ("notice", ()))
    return {"type": kind, "text": text} | {name: detail.values[name] for name in names}


def encode(event: Mapping[str, Any]) -> str:
    """An event as the text of a message."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def parse(message: str | bytes) -> Any:
    """The value of a message; None where it is no JSON."""
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


class Hello(Value):
    """The first message of a guest.

    Attributes:
        name: to be called; None: the chat gives one.
        room: to begin in; None: the lobby.
        language: "en" or "ru"; None: the chat's.
        password: of the chat.
        token: proves that the password was given before.
        session: of an earlier connection, which this one replaces.
        chat: which chat `after` is of.
        after: the id of the last message that was seen of the room.
        wants_lines: each event also has the line that guests with plain lines see.
    """

    name: str | None = None
    room: str | None = None
    language: str | None = None
    password: str | None = None
    token: str | None = None
    session: str | None = None
    chat: str | None = None
    after: int | None = None
    wants_lines: bool = False


def read_hello(value: Any) -> Hello | None:
    """Read the first message; None: it is none. What it has beyond the known fields is for later versions."""
    if not isinstance(value, Mapping) or value.get("type") != "hello":
        return None
    texts = {name: _text(value.get(name)) for name in ("name", "room", "password", "token", "session", "chat")}
    language, after = value.get("lang"), value.get("after")
    is_id = isinstance(after, int) and not isinstance(after, bool) and 0 <= after < 2**63
    return Hello(
        **texts,
        language=language if language in LANGUAGES else None,
        after=after if is_id else None,
        wants_lines=value.get("lines") is True,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_FIELD_LENGTH else None


def lines_of(value: Any) -> list[bytes]:
    """The lines that a message of type `line` or `password` is, as a guest with plain lines would send them."""
    if isinstance(value, Mapping):
        if value.get("type") == "line" and isinstance(text := value.get("text"), str):
            return [
                line.encode(errors="backslashreplace")
                for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n")
            ]
        if value.get("type") == "password" and (password := _text(value.get("password"))) is not None:
            return [password.partition("\n")[0].encode(errors="backslashreplace")]
    return []
