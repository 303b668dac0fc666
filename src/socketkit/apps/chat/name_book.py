"""What a guest's program learns from the lines that it is shown: who is here, its own name, and the room it is in."""

from __future__ import annotations

import re
from typing import Final

from socketkit.apps.chat.names import check_name
from socketkit.apps.chat.texts import match

__all__ = ["NameBook", "writer_of"]

MAX_NAMES: Final = 1000
"""Names that are remembered; beyond it the oldest are forgotten."""

_LINE: Final = re.compile(
    r"(?P<time>\[[0-9 :-]{5,16}\] )?(?:(?P<name>[^ :*~]+)(?: \([^ ()]+\))?: |~ (?P<actor>[^ :*]+) )"
)

_GONE: Final = (
    "{name} has left",
    "{name} was lost",
    "{name} was disconnected: it has stopped reading",
    "{name} was removed by {host}",
)
_LISTS: Final = (
    "welcome, you are {name}; here: {here} (/name NEW, /who, /help, /quit)",
    "you are in {room} now; here: {here}",
    "here: {here}",
)


def writer_of(line: str) -> tuple[str, int, int] | None:
    """The name of a line's writer, and where the name begins and what was said; None: it is a notice, or of no chat."""
    found = _LINE.match(line)
    if found is None:
        return None
    group = "name" if found["name"] is not None else "actor"
    return found[group], found.start(group), found.end()


class NameBook:
    """Names of a chat, as its notices and lines tell them.

    Attributes:
        own: the name of this guest; "" while it is unknown.
        asked: the name that this guest has asked for and got; None: it has the one that it was given.
        room: the room that it has gone to; None: the first one.
    """

    def __init__(self, own: str = "") -> None:
        self.own = own
        self.asked: str | None = None
        self.room: str | None = None
        self._names: dict[str, None] = {}

    @property
    def names(self) -> list[str]:
        """The names of the others, in their alphabet's order."""
        return sorted(name for name in self._names if name != self.own)

    def see(self, line: str) -> None:
        """Learn from a line that was shown."""
        writer = writer_of(line)
        if writer is not None:
            self._add(writer[0])
        elif line.startswith("* "):
            self._see_notice(line)

    def calls(self, line: str) -> bool:
        """Whether another one has written our name in this line, or writes to us alone."""
        writer = writer_of(line)
        if writer is None or not self.own or writer[0] == self.own or line.startswith("["):
            return False
        if line[writer[1] + len(writer[0]) :].startswith(" ("):
            return True
        return re.search(rf"(?<!\w){re.escape(self.own)}(?!\w)", line[writer[2] :], re.IGNORECASE) is not None

    def _see_notice(self, line: str) -> None:
        for text in _LISTS:
            if (found := match(line, text)) is not None:
                self.own = found.get("name", self.own)
                self.room = found.get("room", self.room)
                for name in found["here"].split(", "):
                    self._add(name.partition(" ")[0])
                return
        if (found := match(line, "you are {name} now")) is not None:
            self.own = self.asked = found["name"]
        elif (found := match(line, "{before} is {name} now")) is not None:
            self._names.pop(found["before"], None)
            self._add(found["name"])
        elif (found := match(line, "{name} has joined")) is not None:
            self._add(found["name"])
        elif (
            found := match(line, "have joined: {names}") or match(line, "are called otherwise now: {names}")
        ) is not None:
            for name in found["names"].split(", "):
                self._add(name.partition(" ")[0])
        elif (found := match(line, "have left: {names}")) is not None:
            for name in found["names"].split(", "):
                self._names.pop(name.partition(" ")[0], None)
        else:
            for text in _GONE:
                if (found := match(line, text)) is not None:
                    self._names.pop(found["name"], None)
                    return

    def _add(self, name: str) -> None:
        if check_name(name) is None:
            self._names[name] = None
            if len(self._names) > MAX_NAMES:
                del self._names[next(iter(self._names))]
