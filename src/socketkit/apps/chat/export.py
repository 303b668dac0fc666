"""A message as a line of text, or as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from socketkit.apps.chat.message import Message

__all__ = ["iso_time", "json_line", "message_fields", "text_line"]


def iso_time(at: float) -> str:
    """A moment in UTC, as ISO 8601 has it, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def message_fields(message: Message) -> dict[str, Any]:
    """What JSON has of a message."""
    return {
        "id": message.id,
        "time": iso_time(message.at),
        "room": message.room,
        "name": message.name,
        "kind": message.kind,
        "text": message.text,
    }


def json_line(message: Message) -> str:
    """One JSON object, with the time in UTC as ISO 8601 has it."""
    return json.dumps(message_fields(message), ensure_ascii=False) + "\n"


def text_line(message: Message) -> str:
    """The time in this machine's zone, the room, and the line as guests saw it."""
    moment = datetime.fromtimestamp(message.at).strftime("%Y-%m-%d %H:%M:%S")
    return f"{moment} [{message.room}] {message.line}\n"
