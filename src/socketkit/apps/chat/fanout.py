"""Lines to many guests: those in a row for the same guests leave together, at the end of the turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socketkit.apps.chat.decisions import ShowLine
from socketkit.apps.chat.outlets import LineGuest, Outlet, show_to
from socketkit.connection.broadcast import broadcast
from socketkit.engines.engine import Engine

__all__ = ["Fanout"]

MAX_SIZE: Final = 32 * 1024
"""Bytes of lines that are gathered at most: half of what makes a guest a slow reader."""


class Fanout:
    """Gathers lines for guests with plain lines. Guests of other kinds are shown each at once.

    A writer that pastes a page, or floods, costs each reader one system call a turn so, and not one a line.
    """

    def __init__(self, engine: Engine, outlets: Mapping[int, Outlet]) -> None:
        """Args:
        engine: whose turn's end sends what was gathered.
        outlets: the guests by their numbers; it changes.
        """
        self._engine = engine
        self._outlets = outlets
        self._members: tuple[int, ...] | None = None
        self._writer: int | None = None
        self._targets: list[LineGuest] = []
        self._others: list[Outlet] = []
        self._lines: list[str] = []
        self._size = 0
        self._is_due = False

    def show(self, shown: ShowLine, message_id: int | None) -> tuple[int, int]:
        """Show a line to its guests; the bytes for each of them, and how many it was not gathered for."""
        if shown.members is not self._members or shown.writer != self._writer or self._size > MAX_SIZE:
            self.flush()
            self._choose(shown)
        size = count = 0
        if self._others:
            size = show_to(self._others, shown, message_id)
            count = len(self._others)
        if self._targets:
            if not self._lines:
                count += len(self._targets)
            self._lines.append(shown.line)
            self._size += len(shown.line) + 1
            size = max(size, len(shown.line) + 1)
            if not self._is_due:
                self._is_due = True
                self._engine.call_soon(self._end_turn)
        return size, count

    def flush(self) -> None:
        """Send what was gathered; before anything else goes to a guest, or a guest goes."""
        lines, self._lines, self._size = self._lines, [], 0
        self._members = None
        if lines:
            lines.append("")
            data = "\n".join(lines).encode(errors="backslashreplace")
            # "wait" queues for slow ones too: the host disconnects those that are far behind, and tells the others.
            broadcast([guest.connection for guest in self._targets], data, slow="wait")

    def _choose(self, shown: ShowLine) -> None:
        outlets = self._outlets
        here = [outlets[member] for member in shown.members if member in outlets]
        writer = None if shown.writer is None else outlets.get(shown.writer)
        if writer is not None and writer.sees_own and shown.writer not in shown.members:
            here.append(writer)
        self._members, self._writer = shown.members, shown.writer
        self._targets = [each for each in here if type(each) is LineGuest]
        self._others = [each for each in here if type(each) is not LineGuest]
        for guest in self._targets:
            if guest.telnet_answer:
                broadcast((guest.connection,), guest.telnet_answer, slow="wait")
                guest.telnet_answer = b""

    def _end_turn(self) -> None:
        self._is_due = False
        self.flush()
