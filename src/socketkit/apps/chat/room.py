"""A room for talk: who is here, how they are called, and which line goes to whom.

It is told what happens (somebody came, said a line, has gone) and answers with decisions, in the order in which they
are to be carried out. No guest can speak as another, or as the room: a line of a guest always stands behind its own
name, a name holds neither blank nor colon nor star, and only the room begins a line with `* `.
Knows no socket, no clock, no engine and no terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from socketkit.apps.terminal_escape import visible
from socketkit.values import Value

__all__ = [
    "HOST",
    "MAX_LINE_SIZE",
    "MAX_NAME_LENGTH",
    "Decision",
    "EndChat",
    "Room",
    "ShowOut",
    "Tell",
    "check_name",
    "is_farewell",
]

HOST: Final = 0
"""The seat of the person at the host."""

MAX_LINE_SIZE: Final = 8 * 1024
"""Bytes of one line, inclusive: a page and a half; what is longer is a file, and no talk."""

MAX_NAME_LENGTH: Final = 24

_FAREWELLS: Final = frozenset({"bye", "/quit", "до свидания"})

_HELP: Final = (
    "what you type goes to all others; these lines are for the room:",
    "/name NEW   be called otherwise",
    "/who        who is here",
    "/quit       leave (also: bye, до свидания)",
    "//text      say a line that begins with /",
)


# --- decisions -------------------------------------------------------------------------------------------------------


class Tell(Value):
    """Show this line at these seats. It is fit for any terminal."""

    seats: tuple[int, ...]
    line: str


class ShowOut(Value):
    """This seat's conversation is over; what it was told before still goes to it."""

    seat: int


class EndChat(Value):
    """The chat is over, for all."""


Decision = Tell | ShowOut | EndChat


# --- what people write -----------------------------------------------------------------------------------------------


def is_farewell(text: str) -> bool:
    """Whether this line ends the speaker's conversation: a farewell alone on it, in any case."""
    return text.strip().casefold() in _FAREWELLS


def check_name(name: str) -> str | None:
    """What is wrong with a name, as the rest of a sentence; None where it is fit.

    Letters and figures of any script, and `_ - .` behind the first: nothing that a terminal would not show, and
    nothing that could be taken for the end of a name.
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


_BLANK_LETTERS: Final = frozenset(  # letters and marks that show nothing (Unicode: Default_Ignorable_Code_Point)
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))

_LOOKALIKES: Final = str.maketrans(
    "авекмнорстухіјѕԁһӏԛԝ" + "αεικνορτυχ" + "l1|0",
    "abekmhopctyxijsdhiqw" + "aeikvoptux" + "iiio",
)


def _look(name: str) -> str:
    """What a name looks like: two names of one look would be one name to whoever reads them."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).translate(_LOOKALIKES)


# --- the room --------------------------------------------------------------------------------------------------------


class _Seat:
    """Whoever sits there."""

    __slots__ = ("is_told_of_bytes", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_told_of_bytes = False


class Room:
    """Who is here, and what follows from what they do.

    Each verb answers with decisions. The host's seat is never shown out: it is told everything until the end.
    """

    def __init__(self, *, host_name: str = "host", once: bool = False) -> None:
        """Args:
        host_name: how the person at the host is called.
        once: the room is for one guest, and closes behind it.

        Raises:
            ValueError: the name is not fit; says why.
        """
        problem = check_name(host_name)
        if problem is not None:
            raise ValueError(f"the name {visible(host_name)!r} {problem}")
        self._once = once
        self._seats: dict[int, _Seat] = {HOST: _Seat(host_name)}
        self._guest_count = 0
        self._is_over = False

    @property
    def names(self) -> tuple[str, ...]:
        """Who is here, in the order in which they came."""
        return tuple(seat.name for seat in self._seats.values())

    def is_here(self, seat: int) -> bool:
        """Whether this seat is taken, and the chat goes on."""
        return seat in self._seats

    # --- coming and going ---

    def enter(self) -> tuple[int, list[Decision]]:
        """A guest has come; its seat, and what follows."""
        self._guest_count += 1
        seat = self._guest_count
        if self._is_over or (self._once and seat > 1):
            return seat, [_notice((seat,), "this chat was for one guest, who was here before you"), ShowOut(seat)]
        here = ", ".join(self.names)
        name = self._free_name()
        decisions: list[Decision] = [_notice(self._others(seat), f"{name} has joined")]
        self._seats[seat] = _Seat(name)
        greeting = f"welcome, you are {name}; here: {here or 'nobody yet'} (/name NEW, /who, /help, /quit)"
        return seat, [_notice((seat,), greeting), *decisions]

    def _free_name(self) -> str:
        number = self._guest_count
        while self._is_taken(f"guest{number}"):
            number += 1
        return f"guest{number}"

    def leave(self, seat: int, *, how: str = "has left") -> list[Decision]:
        """Somebody has gone, or must go. Harmless when the seat is empty.

        Args:
            seat: whose. When the person at the host goes away, the chat goes on without it.
            how: what the others are told of it.
        """
        gone = self._seats.pop(seat, None)
        if gone is None:
            return []
        decisions: list[Decision] = [_notice(self._others(seat), f"{gone.name} {how}")]
        if seat != HOST:
            decisions.append(ShowOut(seat))
            if self._once:
                decisions.append(EndChat())
        return decisions

    def end(self, reason: str) -> list[Decision]:
        """The chat is over, for this reason; every guest is told. Harmless twice."""
        if self._is_over:
            return []
        self._is_over = True
        guests = tuple(seat for seat in self._seats if seat != HOST)
        self._seats.clear()
        farewell: list[Decision] = [_notice(guests, f"goodbye: {reason}")] if guests else []
        return [*farewell, *map(ShowOut, guests), EndChat()]

    # --- talking ---

    def hear(self, seat: int, line: bytes) -> list[Decision]:
        """Somebody has said a line (without its end). Of an empty seat nothing is heard."""
        speaker = self._seats.get(seat)
        if speaker is None:
            return []
        if len(line) > MAX_LINE_SIZE:
            return [_notice((seat,), f"your line was longer than {MAX_LINE_SIZE} bytes: nobody has seen it")]
        try:
            text, before = line.decode(), []
        except UnicodeDecodeError:
            text, before = line.decode(errors="backslashreplace"), self._tell_of_bytes(seat, speaker)
        text = visible(text)
        if is_farewell(text):
            return [*before, *self._farewell(seat, speaker)]
        if text.startswith("/") and not text.startswith("//"):
            return [*before, *self._command(seat, text)]
        return [*before, Tell(self._others(seat), f"{speaker.name}: {text.removeprefix('/')}")]

    def _tell_of_bytes(self, seat: int, speaker: _Seat) -> list[Decision]:
        """Once is enough: a guest with another encoding cannot change it for each line."""
        if speaker.is_told_of_bytes:
            return []
        speaker.is_told_of_bytes = True
        return [_notice((seat,), "your line was not UTF-8: the others see \\xff and the like in it")]

    def _farewell(self, seat: int, speaker: _Seat) -> list[Decision]:
        if seat == HOST:
            return self.end(f"{speaker.name} has ended the chat")
        return [_notice((seat,), f"goodbye, {speaker.name}"), *self.leave(seat)]

    def _command(self, seat: int, text: str) -> list[Decision]:
        word, _, rest = text.partition(" ")
        command = self._commands.get(word.casefold())
        if command is None:
            return [
                _notice(
                    (seat,),
                    f"there is no {word[:MAX_NAME_LENGTH]}; see /help; to say a line that begins with /, write //",
                )
            ]
        return command(self, seat, rest.strip())

    def _rename(self, seat: int, name: str) -> list[Decision]:
        name = unicodedata.normalize("NFC", name)
        problem = check_name(name)
        if problem is not None:
            return [_notice((seat,), f"the name {problem}: /name NEW")]
        speaker = self._seats[seat]
        if name == speaker.name:
            return [_notice((seat,), f"you are {name} already")]
        if self._is_taken(name, besides=seat):
            return [_notice((seat,), f"{name} is here already, or looks the same; free is: /name {self._near(name)}")]
        before, speaker.name = speaker.name, name
        return [
            _notice((seat,), f"you are {name} now"),
            _notice(self._others(seat), f"{before} is {name} now"),
        ]

    def _who(self, seat: int, _: str) -> list[Decision]:
        names = (f"{taken.name} (you)" if number == seat else taken.name for number, taken in self._seats.items())
        return [_notice((seat,), f"here: {', '.join(names)}")]

    def _help(self, seat: int, _: str) -> list[Decision]:
        return [_notice((seat,), line) for line in _HELP]

    _commands: ClassVar[dict[str, Callable[[Room, int, str], list[Decision]]]] = {
        "/name": _rename,
        "/who": _who,
        "/help": _help,
    }

    # --- names and seats ---

    def _is_taken(self, name: str, *, besides: int | None = None) -> bool:
        look = _look(name)
        return any(_look(taken.name) == look for seat, taken in self._seats.items() if seat != besides)

    def _near(self, name: str) -> str:
        """A free name like this one."""
        number = 2
        while True:
            near = f"{name[: MAX_NAME_LENGTH - len(str(number))]}{number}"
            if not self._is_taken(near):
                return near
            number += 1

    def _others(self, seat: int) -> tuple[int, ...]:
        """Everybody but this one, and always the host, who sees all that it does not say itself."""
        return tuple(_without(seat, {HOST: None, **dict.fromkeys(self._seats)}))


def _without(seat: int, seats: Iterable[int]) -> Iterable[int]:
    return (other for other in seats if other != seat)


def _notice(seats: tuple[int, ...], text: str) -> Tell:
    return Tell(seats, f"* {text}")
