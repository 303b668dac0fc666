"""A guest with a page, or with `chat join ws://...`: events as JSON texts over a WebSocket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from socketkit.apps.chat.decisions import Past, ShowLine
from socketkit.apps.chat.members import MAX_PAST
from socketkit.apps.chat.outlets import ConnectedGuest
from socketkit.apps.chat.web_protocol import encode, event_of
from socketkit.connection.broadcast import broadcast
from socketkit.connection.connection import Connection
from socketkit.engines.engine import Engine

__all__ = ["WebGuest", "send_event"]

EVENT_SIZE = 128
"""Bytes of an event besides its text, about."""


class WebGuest(ConnectedGuest):
    """A guest that is shown events. Its connection is a WebSocket whose messages are texts.

    Attributes:
        wants_lines: each event also has the line that guests with plain lines see.
        is_ready: whether it is in the chat.
    """

    sees_own = True

    def __init__(
        self, engine: Engine, connection: Connection, ready: Callable[[], dict[str, Any]], *, wants_lines: bool
    ) -> None:
        """Args:
        engine: runs already.
        connection: the way to it.
        ready: what the event `ready` has besides what the hub knows.
        wants_lines: as the attribute.
        """
        super().__init__(engine, connection)
        self._ready = ready
        self.wants_lines = wants_lines
        self.is_ready = False

    @staticmethod
    def show_all(outlets: list[WebGuest], shown: ShowLine, message_id: int | None) -> int:
        plain = [each for each in outlets if not each.wants_lines]
        if isinstance(shown.detail, Past) and len(plain) == len(outlets):
            _send(plain, _text_of(shown.detail, shown))
            return len(shown.line) + EVENT_SIZE
        event = event_of(shown, message_id, time.time())
        if event is not None and event["type"] == "ready":
            (guest,) = outlets  # the notice is for one
            guest.is_ready = True
            event |= guest._ready()
        if plain and event is not None:
            send_event(plain, event)
        if len(plain) < len(outlets):
            rest = [each for each in outlets if each.wants_lines]
            send_event(rest, (event or {"type": "notice"}) | {"line": shown.line})
        return len(shown.line) + EVENT_SIZE


def send_event(guests: list[WebGuest], event: dict[str, Any]) -> None:
    """Queue an event for guests, encoded and framed once; never waits."""
    _send(guests, encode(event))


def _send(guests: list[WebGuest], text: str) -> None:
    # "wait" queues for slow ones too: the host itself disconnects those that are far behind, and tells the others.
    broadcast([guest.connection for guest in guests], text, slow="wait")


_past_texts: dict[int, tuple[Past, str]] = {}


def _text_of(past: Past, shown: ShowLine) -> str:
    """The event of a message of the history. It is remembered: of many that join at once each is shown the same."""
    known = _past_texts.get(id(past))
    if known is not None and known[0] is past:
        return known[1]
    text = encode(event_of(shown, None, 0.0) or {})
    if len(_past_texts) >= MAX_PAST:
        _past_texts.clear()
    _past_texts[id(past)] = past, text
    return text
