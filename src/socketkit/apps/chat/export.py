"""A kept message as a line of text or JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from socketkit.apps.chat.message import Message

__all__ = ["json_line", "text_line"]


def json_line(message: Message) -> str:
    """One JSON object, with the time in UTC as ISO 8601 has it."""
    fields = {
        "id": message.id,
        "time": datetime.fromtimestamp(message.at, UTC).isoformat(timespec="milliseconds"),
        "room": message.room,
        "name": message.name,
        "kind": message.kind,
        "text": message.text,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def text_line(message: Message) -> str:
    """The time in this machine's zone, the room, and the line as guests saw it."""
    moment = datetime.fromtimestamp(message.at).strftime("%Y-%m-%d %H:%M:%S")
    return f"{moment} [{message.room}] {message.line}\n"
