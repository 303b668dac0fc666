"""The chat's rules without I/O: the members, their names, and which line goes to which member.

Each method takes what happened (a guest joined, wrote a line, left) and returns decisions, in the order in which the
host carries them out. A guest cannot write as another guest or as the room. Its lines follow its own name and a colon;
a name holds no blank, colon or star; only the room begins a line with `* `.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from socketkit.apps.chat.confusables import skeletons
from socketkit.apps.terminal_escape import visible
from socketkit.values import Value

__all__ = [
    "HOST",
    "MAX_LINE_SIZE",
    "MAX_NAME_LENGTH",
    "Decision",
    "Disconnect",
    "EndChat",
    "Room",
    "ShowLine",
    "check_name",
    "is_farewell",
]

HOST: Final = 0
"""The number of the member at the host."""

MAX_LINE_SIZE: Final = 8 * 1024
"""Bytes of one line, inclusive: a page and a half; what is longer is a file, and no talk."""

MAX_NAME_LENGTH: Final = 24

_FAREWELLS: Final = frozenset({"bye", "до свидания"})
_QUIT: Final = "/quit"

_HELP: Final = (
    "what you type goes to all others; these lines are for the room:",
    "/name NEW   be called otherwise",
    "/who        who is here",
    "/quit       leave (also: bye, до свидания)",
    "//text      say a line that begins with /",
)


class ShowLine(Value):
    """Show this line to these members. It is safe for any terminal."""

    members: tuple[int, ...]
    line: str


class Disconnect(Value):
    """Disconnect this member, after the lines that it was sent before."""

    member: int


class EndChat(Value):
    """End the chat, for all members."""


Decision = ShowLine | Disconnect | EndChat


def is_farewell(text: str) -> bool:
    """Whether this line leaves the chat: a farewell alone on the line, in any case, with punctuation around it.

    A question is none: who asks `bye?` wants an answer.
    """
    words = " ".join(text.casefold().split())
    return words == _QUIT or _without_punctuation(words) in _FAREWELLS


def _without_punctuation(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_punctuation(text[start]):
        start += 1
    while end > start and _is_punctuation(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZ" and character not in "?/？"


def check_name(name: str) -> str | None:
    """What is wrong with a name, as the rest of a sentence; None where it is valid.

    A name holds letters and digits of any script, and `_ - .` after the first character. So each character is visible,
    and none ends the name.
    """
    if not name:
        return "is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"is longer than {MAX_NAME_LENGTH} characters"
    if not (_is_letter(name[0]) or name[0].isdecimal()):
        return "does not begin with a letter or a figure"
    if not all(_is_letter(character) or character.isdecimal() or character in "_-." for character in name):
        return "may hold letters, figures and _ - . only"
    return None


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and character not in _BLANK_LETTERS


_BLANK_LETTERS: Final = frozenset(  # letters and marks without a glyph (Unicode: Default_Ignorable_Code_Point)
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))


class _Member:
    """A member: the person at the host, or a guest."""

    __slots__ = ("has_encoding_notice", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.has_encoding_notice = False


class _Names:
    """The skeletons of the names in use: whether a name is free is found without a look at all of them."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def add(self, name: str) -> None:
        self._used.update(skeletons(name))

    def remove(self, name: str) -> None:
        for skeleton in skeletons(name):
            self._used[skeleton] -= 1
            if not self._used[skeleton]:
                del self._used[skeleton]

    def is_free(self, name: str, *, instead_of: str | None = None) -> bool:
        """Whether no name in use looks like this one, not counting the one that it replaces."""
        own = frozenset() if instead_of is None else skeletons(instead_of)
        return all(self._used[skeleton] <= (skeleton in own) for skeleton in skeletons(name))

    def free_like(self, stem: str, first: int) -> str:
        """A free name: the stem, cut where needed, and a number.

        Eight numbers are tried in a row, then the steps double. So the tries grow with the logarithm of the names in
        use, whatever names a guest has taken.
        """
        number, tries = first, 0
        while True:
            name = f"{stem[: MAX_NAME_LENGTH - len(str(number))]}{number}"
            if self.is_free(name):
                return name
            number += 1 << max(0, tries - 7)
            tries += 1


class Room:
    """The members, and what follows from what they do.

    Each method returns decisions. The host is never disconnected: it is shown everything until the end.
    """

    def __init__(self, *, host_name: str = "host", once: bool = False) -> None:
        """Args:
        host_name: the name of the person at the host.
        once: the room takes one guest, and ends when the guest leaves.

        Raises:
            ValueError: the name is not valid; the text says why.
        """
        problem = check_name(host_name)
        if problem is not None:
            raise ValueError(f"the name {visible(host_name)!r} {problem}")
        self._once = once
        self._members: dict[int, _Member] = {}
        self._names = _Names()
        self._add(HOST, host_name)
        self._guest_count = 0
        self._is_over = False

    def _add(self, member: int, name: str) -> None:
        self._members[member] = _Member(name)
        self._names.add(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in the order in which they joined."""
        return tuple(member.name for member in self._members.values())

    def is_here(self, member: int) -> bool:
        """Whether this member is in the room, and the chat goes on."""
        return member in self._members

    def join(self) -> tuple[int, list[Decision]]:
        """Add a guest; its number, and what follows."""
        self._guest_count += 1
        member = self._guest_count
        if self._is_over or (self._once and member > 1):
            notice = _notice((member,), "this chat was for one guest, who was here before you")
            return member, [notice, Disconnect(member)]
        here = ", ".join(self.names)
        name = self._names.free_like("guest", member)
        decisions: list[Decision] = [_notice(self._others(member), f"{name} has joined")]
        self._add(member, name)
        greeting = f"welcome, you are {name}; here: {here or 'nobody yet'} (/name NEW, /who, /help, /quit)"
        return member, [_notice((member,), greeting), *decisions]

    def leave(self, member: int, *, how: str = "has left") -> list[Decision]:
        """Remove a member. Harmless when it is not in the room.

        Args:
            member: its number. When the host leaves, the chat goes on without it.
            how: what the others are shown about it.
        """
        gone = self._members.pop(member, None)
        if gone is None:
            return []
        self._names.remove(gone.name)
        decisions: list[Decision] = [_notice(self._others(member), f"{gone.name} {how}")]
        if member != HOST:
            decisions.append(Disconnect(member))
            if self._once:
                decisions.append(EndChat())
        return decisions

    def end(self, reason: str) -> list[Decision]:
        """End the chat for this reason, which every guest is shown. Harmless twice."""
        if self._is_over:
            return []
        self._is_over = True
        guests = tuple(member for member in self._members if member != HOST)
        self._members.clear()
        self._names = _Names()
        farewell: list[Decision] = [_notice(guests, f"goodbye: {reason}")] if guests else []
        return [*farewell, *map(Disconnect, guests), EndChat()]

    def receive(self, member: int, line: bytes) -> list[Decision]:
        """What follows from a line (without its end) of a member; nothing where it is not in the room."""
        speaker = self._members.get(member)
        if speaker is None:
            return []
        if len(line) > MAX_LINE_SIZE:
            return [_notice((member,), f"your line was longer than {MAX_LINE_SIZE} bytes: nobody has seen it")]
        try:
            text, before = line.decode(), []
        except UnicodeDecodeError:
            text, before = line.decode(errors="backslashreplace"), self._encoding_notice(member, speaker)
        text = visible(text)
        if is_farewell(text):
            return [*before, *self._farewell(member, speaker)]
        if text.startswith("/") and not text.startswith("//"):
            return [*before, *self._command(member, text)]
        return [*before, ShowLine(self._others(member), f"{speaker.name}: {text.removeprefix('/')}")]

    def _encoding_notice(self, member: int, speaker: _Member) -> list[Decision]:
        """Once: a guest with another encoding cannot change it for each line."""
        if speaker.has_encoding_notice:
            return []
        speaker.has_encoding_notice = True
        return [_notice((member,), "your line was not UTF-8: the others see \\xff and the like in it")]

    def _farewell(self, member: int, speaker: _Member) -> list[Decision]:
        if member == HOST:
            return self.end(f"{speaker.name} has ended the chat")
        return [_notice((member,), f"goodbye, {speaker.name}"), *self.leave(member)]

    def _command(self, member: int, text: str) -> list[Decision]:
        word, _, rest = text.partition(" ")
        command = self._commands.get(word.casefold())
        if command is None:
            return [
                _notice(
                    (member,),
                    f"there is no {word[:MAX_NAME_LENGTH]}; see /help; to say a line that begins with /, write //",
                )
            ]
        return command(self, member, rest.strip())

    def _rename(self, member: int, name: str) -> list[Decision]:
        # Before the normal form, which takes time that grows with the square of a row of combining marks.
        if len(name) <= MAX_NAME_LENGTH * 4:
            name = unicodedata.normalize("NFC", name)
        problem = check_name(name)
        if problem is not None:
            return [_notice((member,), f"the name {problem}: /name NEW")]
        speaker = self._members[member]
        if name == speaker.name:
            return [_notice((member,), f"you are {name} already")]
        if not self._names.is_free(name, instead_of=speaker.name):
            free = self._names.free_like(name, 2)
            return [_notice((member,), f"{name} is here already, or looks the same; free is: /name {free}")]
        before, speaker.name = speaker.name, name
        self._names.remove(before)
        self._names.add(name)
        return [
            _notice((member,), f"you are {name} now"),
            _notice(self._others(member), f"{before} is {name} now"),
        ]

    def _who(self, member: int, _: str) -> list[Decision]:
        names = (f"{each.name} (you)" if number == member else each.name for number, each in self._members.items())
        return [_notice((member,), f"here: {', '.join(names)}")]

    def _help(self, member: int, _: str) -> list[Decision]:
        return [_notice((member,), line) for line in _HELP]

    _commands: ClassVar[dict[str, Callable[[Room, int, str], list[Decision]]]] = {
        "/name": _rename,
        "/who": _who,
        "/help": _help,
    }

    def _others(self, member: int) -> tuple[int, ...]:
        """All members but this one. The host is always among them: it sees what guests write after it has left."""
        return tuple(_without(member, {HOST: None, **dict.fromkeys(self._members)}))


def _without(member: int, members: Iterable[int]) -> Iterable[int]:
    return (other for other in members if other != member)


def _notice(members: tuple[int, ...], text: str) -> ShowLine:
    return ShowLine(members, f"* {text}")
