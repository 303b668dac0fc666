"""Lines to many guests: they leave together at the end of the turn, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from socketkit.apps.chat.decisions import Others, ShowLine
from socketkit.apps.chat.outlets import ConnectedGuest, LineGuest, Outlet, show_to
from socketkit.connection.broadcast import broadcast
from socketkit.engines.engine import Engine

__all__ = ["Fanout"]

MAX_SIZE: Final = 32 * 1024
"""Bytes of lines to many that are gathered at most: half of what makes a guest a slow reader."""

MAX_OWN_SIZE: Final = 1024 * 1024
"""The same of lines to one guest each: what those are shown that join."""

IDLE_TURN: Final = 0.0002
"""Seconds that a turn lasts in which there is nothing else to do."""


MAX_REST: Final = 0.1
"""Seconds for which lines wait at most so that other work is done too."""


class _Run:
    """Lines in a row for the same guests, each perhaps without one of them.

    Attributes:
        key: the numbers of the guests.
    """

    __slots__ = ("_guests", "_lines", "_others", "_outlets", "_pages", "_shown", "key")

    def __init__(self, key: tuple[int, ...], outlets: Mapping[int, Outlet]) -> None:
        self.key = key
        here = [outlets[member] for member in key if member in outlets]
        self._outlets = outlets
        self._guests = [each for each in here if type(each) is LineGuest]
        self._pages: list[Outlet] = []
        self._others: list[Outlet] = []
        if len(self._guests) < len(here):
            rest = [each for each in here if type(each) is not LineGuest]
            self._pages = [each for each in rest if _is_connected(each)]
            self._others = [each for each in rest if not _is_connected(each)]
        self._lines: list[tuple[Outlet | None, str]] = []
        self._shown: list[tuple[Outlet | None, ShowLine, int | None]] = []

    def add(self, shown: ShowLine, message_id: int | None, left_out: int | None) -> int:
        """Add a line; how many are sent it by itself. Guests that have no connection of ours are shown it at once."""
        is_first = not self._lines
        outlet = None if left_out is None else self._outlets.get(left_out)
        if self._guests:
            self._lines.append((outlet, shown.line))
        if outlet is not None and outlet.sees_own and left_out == shown.writer:
            outlet = None
        if self._pages:
            self._shown.append((outlet, shown, message_id))
        if self._others:
            show_to([each for each in self._others if each is not outlet], shown, message_id)
        return len(self._pages) + len(self._others) + (len(self._guests) if is_first else 0)

    def send(self) -> None:
        """Send what was added."""
        for outlet, shown, message_id in self._shown:
            pages = self._pages
            show_to(pages if outlet is None else [each for each in pages if each is not outlet], shown, message_id)
        if not self._lines:
            return
        for guest in [each for each in self._guests if each.telnet_answer]:
            broadcast((guest.connection,), guest.telnet_answer, slow="wait")
            guest.telnet_answer = b""
        # A writer is not sent its own lines: only where it is not the one writer of all is there anything for it.
        writers = {outlet for outlet, _ in self._lines if outlet is not None}
        guests = [each for each in self._guests if each not in writers] if writers else self._guests
        _send(guests, [line for _, line in self._lines])
        for writer in writers if len(self._lines) > 1 else ():
            if type(writer) is LineGuest:
                _send([writer], [line for outlet, line in self._lines if outlet is not writer])


def _is_connected(outlet: Outlet) -> bool:
    return isinstance(outlet, ConnectedGuest)


def _send(guests: list[LineGuest], lines: list[str]) -> None:
    if not guests or not lines:
        return
    lines.append("")
    data = "\n".join(lines).encode(errors="backslashreplace")
    # "wait" queues for slow ones too: the host disconnects those that are far behind, and tells the others.
    broadcast([guest.connection for guest in guests], data, slow="wait")


class Fanout:
    """Gathers the lines of a turn, and sends them in a row.

    A connection sends what it was given in a row with one system call. So each guest costs one a turn, and not one for
    each line, also where twenty guests have written. While there is other work, sending takes half of the time at most:
    the longer it takes, the more lines leave together, and who joins a room of thousands does not wait for its talk.
    """

    def __init__(self, engine: Engine, outlets: Mapping[int, Outlet]) -> None:
        """Args:
        engine: whose turn's end sends what was gathered.
        outlets: the guests by their numbers; it changes.
        """
        self._engine = engine
        self._outlets = outlets
        self._runs: list[_Run] = []
        self._leaving: list[Outlet] = []
        self._size = self._own_size = 0
        self._is_due = False
        self._began = self._rest_until = float("-inf")

    def show(self, shown: ShowLine, message_id: int | None) -> tuple[int, int]:
        """Show a line to its guests; the bytes for each of them, and how many are sent it by itself."""
        members = shown.members
        key, left_out = (members.all_here, members.left_out) if type(members) is Others else self._readers(shown)
        run = self._runs[-1] if self._runs and not self._leaving else None
        if run is None or run.key is not key:
            run = _Run(key, self._outlets)
            self._runs.append(run)
        count = run.add(shown, message_id, left_out)
        size = len(shown.line) + 1
        if len(key) == 1:
            self._own_size += size
        else:
            self._size += size
        if self._size > MAX_SIZE or self._own_size > MAX_OWN_SIZE:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._engine.call_soon(self._end_turn)
        return size, count

    def _readers(self, shown: ShowLine) -> tuple[tuple[int, ...], None]:
        """Those of a line to some; and its writer, where that sees its own."""
        members, writer = shown.members, shown.writer
        if writer is None or writer in members or (outlet := self._outlets.get(writer)) is None or not outlet.sees_own:
            return members, None
        return (*members, writer), None

    def disconnect(self, outlet: Outlet) -> None:
        """Disconnect a guest, behind its last line."""
        if self._runs and _is_connected(outlet):
            self._leaving.append(outlet)
        else:
            outlet.disconnect()

    def flush(self) -> None:
        """Send what was gathered."""
        runs, self._runs, self._size = self._runs, [], 0
        self._own_size = 0
        leaving, self._leaving = self._leaving, []
        for run in runs:
            run.send()
        for outlet in leaving:
            outlet.disconnect()

    def _end_turn(self) -> None:
        if self._engine.now() < self._rest_until:
            self._engine.background(self._rest())
        else:
            self._send()

    async def _rest(self) -> None:
        """Wait until sending has taken half of the time at most, or a turn in which there was no other work."""
        now = self._engine.now
        while (before := now()) < self._rest_until:
            await self._engine.sleep(0)
            if now() - before < IDLE_TURN:
                break
        self._send()

    def _send(self) -> None:
        self._is_due = False
        self._began = self._engine.now()
        self.flush()
        self._engine.call_soon(self._note_sent)  # behind the connections, which send when this turn ends

    def _note_sent(self) -> None:
        now = self._engine.now()
        self._rest_until = now + min(now - self._began, MAX_REST)
