"""Record both directions of connections: an observer that writes text, hex or JSON.

A record is one write, so that those of two connections never mix; each has its time, its connection's number and
its direction (`>` from us, `<` from the peer). Control characters are escaped, so that a terminal does not obey them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from socketkit.apps.terminal_escape import visible
from socketkit.events import Accepted, Closed, Connected, EndReceived, EndSent, Event, Received, Sent

__all__ = ["FORMATS", "Dump"]

ROW_SIZE: Final = 16
"""Bytes of a row of hex, as hexdump(1) and xxd(1) have it."""


class Dump:
    """An observer that writes a record for each event of a connection.

    Args:
        form: one of `FORMATS`.
        write: takes one record, whole lines.
        clock: seconds since the epoch.
    """

    def __init__(self, form: str, write: Callable[[str], object], *, clock: Callable[[], float] = time.time) -> None:
        self._form = FORMATS[form]()
        self._write = write
        self._clock = clock

    def __call__(self, event: Event) -> None:
        if isinstance(event, Received | Sent):
            direction = ">" if isinstance(event, Sent) else "<"
            self._write(self._form.data(_moment(self._clock()), event.connection, direction, event.data))
        elif isinstance(event, tuple(_FACTS)):
            facts: dict[str, Any] = _FACTS[type(event)](event)
            self._write(self._form.fact(_moment(self._clock()), event.connection, facts))  # type: ignore[attr-defined]


class _Text:
    """Lines of text under a line with the direction and the size; bytes that are no text are escaped."""

    def data(self, moment: str, number: int, direction: str, data: bytes) -> str:
        rows = self._rows(data)
        return "".join(f"{row}\n" for row in [f"{moment} [{number}] {direction} {_size(len(data))}", *rows])

    def _rows(self, data: bytes) -> list[str]:
        text = data.decode("utf-8", "backslashreplace")
        lines = text.split("\n")
        rows = [f"  {visible(line)}\\n" for line in lines[:-1]]
        return [*rows, f"  {visible(lines[-1])}"] if lines[-1] else rows

    def fact(self, moment: str, number: int, facts: dict[str, Any]) -> str:
        what, *rest = facts.values()
        return f"{moment} [{number}] {what}{''.join(f' {visible(str(word))}' for word in rest if word)}\n"


class _Hex(_Text):
    """The bytes in hex, and beside them as characters."""

    def _rows(self, data: bytes) -> list[str]:
        rows = []
        for start in range(0, len(data), ROW_SIZE):
            piece = data[start : start + ROW_SIZE]
            left, right = piece[: ROW_SIZE // 2].hex(" "), piece[ROW_SIZE // 2 :].hex(" ")
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
            rows.append(f"  {start:08x}  {left:<23}  {right:<23}  |{shown}|")
        return rows


class _Json:
    """A JSON value a line; bytes that are no UTF-8 go as base64."""

    def data(self, moment: str, number: int, direction: str, data: bytes) -> str:
        import base64

        name = "sent" if direction == ">" else "received"
        facts: dict[str, Any] = {"event": name, "size": len(data)}
        try:
            facts["text"] = data.decode()
        except UnicodeDecodeError:
            facts["base64"] = base64.b64encode(data).decode()
        return self.fact(moment, number, facts)

    def fact(self, moment: str, number: int, facts: dict[str, Any]) -> str:
        import json

        return json.dumps({"time": moment, "connection": number, **facts}) + "\n"


FORMATS: Final[dict[str, Callable[[], _Text | _Json]]] = {"text": _Text, "hex": _Hex, "json": _Json}
"""The formats, by the name that `--dump` takes."""

_FACTS: Final[dict[type[Event], Callable[[Any], dict[str, Any]]]] = {
    Connected: lambda event: {"event": "connected", "local": event.local, "peer": event.peer},
    Accepted: lambda event: {"event": "accepted", "local": event.local, "peer": event.peer},
    EndSent: lambda event: {"event": "end sent"},
    EndReceived: lambda event: {"event": "end received"},
    Closed: lambda event: {"event": "closed", "error": None if event.error is None else str(event.error)},
}


def _moment(seconds: float) -> str:
    """RFC 3339, in UTC, to the microsecond."""
    whole, micro = divmod(round(seconds * 1e6), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06}Z"


def _size(count: int) -> str:
    return f"{count} byte" + ("" if count == 1 else "s")
