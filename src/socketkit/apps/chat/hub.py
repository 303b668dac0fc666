"""The chat's rules without I/O: what follows from each thing that a member does.

Each method takes what happened (a guest joined, wrote a line, left) and when, and returns decisions, in the order in
which the host carries them out. Every guest that is shown a line of a room is in that room, and all see its lines in
one order. A guest cannot write as another guest or as the room. Its lines follow its own name and a colon; a name holds
no blank, colon or star; only the room begins a line with `* `.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from socketkit.apps.chat.commands import is_name_free, normal_name, room_of, run_command
from socketkit.apps.chat.decisions import HOST, Decision, Disconnect, EndChat, Pause, ShowLine, ShowMany
from socketkit.apps.chat.history import History
from socketkit.apps.chat.limits import Limits, PasswordTries
from socketkit.apps.chat.members import LOBBY, Member, Members
from socketkit.apps.chat.message import Message
from socketkit.apps.chat.moderation import is_source_banned, muted_notice
from socketkit.apps.chat.names import check_name
from socketkit.apps.chat.texts import FAREWELLS
from socketkit.apps.terminal_escape import visible
from socketkit.values import Value

__all__ = ["MAX_LINE_SIZE", "NO_WISH", "Hub", "Wish", "is_farewell"]

MAX_LINE_SIZE: Final = 8 * 1024
"""Bytes of one line, inclusive: a page and a half; what is longer is a file, and no talk."""

MAX_TRIES: Final = 3
"""Wrong passwords of one connection."""

WAITING_SHARE: Final = 0.25
WAITING_COUNT: Final = 8
"""Of the places this share, and at least so many, may be taken by guests from one address that have not given the
password: who does not know it does not fill the chat with connections, and keeps others out."""

EPISODE_TIME: Final = 10.0
"""Seconds without a pause after which a guest that is too fast is told so anew; of the host and refused guests too."""

_QUIT: Final = "/quit"

_LAST_WORDS: Final = frozenset({text.split()[-1] for text in (*FAREWELLS, _QUIT)})
"""One of them is in each farewell: a quick look at the many lines that are none."""


def is_farewell(text: str) -> bool:
    """Whether this line leaves the chat: a farewell alone on the line, in any case, with punctuation around it.

    A question is none: who asks `bye?` wants an answer.
    """
    folded = text.casefold()
    if not any(word in folded for word in _LAST_WORDS):
        return False
    words = " ".join(folded.split())
    return words == _QUIT or _without_punctuation(words) in FAREWELLS


def _without_punctuation(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_punctuation(text[start]):
        start += 1
    while end > start and _is_punctuation(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZ" and character not in "?/？"


class Wish(Value):
    """What a guest asks for before it is in the chat.

    Attributes:
        name: to be called; None: the chat gives one.
        room: to begin in; None: the lobby.
        language: of its notices; None: the chat's.
        after: the id of the last message that it has seen of its room; None: it has seen none. It is shown what was
            said since.
        missed: what was said there since, oldest first, as far as it was looked up; the history is added to it.
        is_cut: whether more was said before that.
    """

    name: str | None = None
    room: str | None = None
    language: str | None = None
    after: int | None = None
    missed: tuple[Message, ...] = ()
    is_cut: bool = False


NO_WISH: Final = Wish()


class _Waiting:
    """A guest that has not given the password yet."""

    __slots__ = ("source", "tries", "wish")

    def __init__(self, source: str, wish: Wish) -> None:
        self.source = source
        self.tries = 0
        self.wish = wish


class Hub:
    """All rooms of a chat and their members, and what follows from what they do.

    The host is never disconnected: it is shown everything of its room until the end.
    """

    def __init__(
        self,
        *,
        host_name: str = "host",
        once: bool = False,
        language: str = "en",
        password: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a value
        earlier: Iterable[Message] = (),
        next_id: int = 1,
    ) -> None:
        """Args:
        host_name: the name of the person at the host.
        once: the chat takes one guest, and ends when the guest leaves.
        language: of the notices, for whoever asks for no other: "en" or "ru".
        password: what a guest has to type first; None: nothing.
        limits: what is bounded.
        earlier: what was said before, in its order; ids below `next_id`.
        next_id: the id of the next message.

        Raises:
            ValueError: the name is not valid; the text says why.
        """
        problem = check_name(host_name)
        if problem is not None:
            raise ValueError(f"the name {visible(host_name)!r} {problem}")
        history = History(limits.history_count, earlier)
        self.members = Members(host_name, once=once, language=language, limits=limits, history=history)
        self.members.next_id = next_id
        self._once = once
        self._limits = limits
        self._tries = None if password is None else PasswordTries(password)
        self._waiting: dict[int, _Waiting] = {}
        self._waiting_from: Counter[str] = Counter()
        self._most_waiting = max(WAITING_COUNT, int(WAITING_SHARE * limits.max_guests))
        self._reported_sources: set[str] = set()
        self._guest_count = 0
        self._full_at = float("-inf")
        self._is_over = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in the order in which they joined."""
        return tuple(member.name for member in self.members.by_number.values())

    def is_here(self, member: int) -> bool:
        """Whether this member is in the chat, or about to give the password, and the chat goes on."""
        return member in self.members.by_number or member in self._waiting

    def is_waiting(self, member: int) -> bool:
        """Whether this guest has still to give the password."""
        return member in self._waiting

    def join(
        self,
        source: str = "",
        now: float = 0.0,
        at: float = 0.0,
        *,
        wish: Wish = NO_WISH,
        is_trusted: bool = False,
    ) -> tuple[int, list[Decision]]:
        """Add a guest; its number, and what follows.

        Args:
            source: where it connects from: the machine's address, which a ban keeps out.
            now: the moment, on a clock that never goes back.
            at: the same, in seconds since 1970.
            wish: what it asks for.
            is_trusted: it has proven that it knows the password.
        """
        self._set_time(now, at)
        self._guest_count += 1
        number = self._guest_count
        if wish.language is not None:
            self.members.set_language(number, wish.language)
        needs_password = self._tries is not None and not is_trusted
        refusal = self._refusal(number, source, needs_password=needs_password)
        if refusal:
            return number, [*refusal, self._turn_away(number)]
        if needs_password:
            self._waiting[number] = _Waiting(source, wish)
            self._waiting_from[source] += 1
            return number, [*self.members.notice((number,), "this chat needs a password: type it")]
        return number, self._admit(number, source, wish)

    def _refusal(self, number: int, source: str, *, needs_password: bool) -> list[ShowLine]:
        if self._is_over or (self._once and number > 1):
            return self.members.notice((number,), "this chat was for one guest, who was here before you")
        if is_source_banned(self.members, source):
            return self.members.notice((number,), "goodbye: you are banned from this chat")
        guests = len(self.members.by_number) + len(self._waiting) - (HOST in self.members.by_number)
        if guests >= self._limits.max_guests:
            told = self.members.notice((number,), "goodbye: the chat is full ({count} guests)", count=guests)
            return [*told, *self._report_full(guests)]
        if needs_password and self._waiting_from[source] >= self._most_waiting:
            told = self.members.notice((number,), "goodbye: too many from your address have not given the password")
            return [*told, *self._report_tries(source)]
        return []

    def _end_waiting(self, number: int) -> _Waiting | None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._waiting_from[waiting.source] -= 1
            if not self._waiting_from[waiting.source]:
                del self._waiting_from[waiting.source]
        return waiting

    def _report_full(self, count: int) -> list[ShowLine]:
        """Tell the host once of each time in which guests are refused."""
        now = self.members.now
        is_new, self._full_at = now - self._full_at > EPISODE_TIME, now
        text = "the chat is full ({count} guests): more are refused"
        return self.members.notice((HOST,), text, count=count) if is_new else []

    def _admit(self, number: int, source: str, wish: Wish) -> list[Decision]:
        members = self.members
        room, problem = (LOBBY, None) if wish.room is None else room_of(members, wish.room)
        room = LOBBY if problem is not None else room
        here = members.list_of(room)
        name = normal_name(wish.name or "")
        is_named = check_name(name) is None and is_name_free(members, name)
        name = name if is_named else members.taken.free_like("guest", number)
        joined = members.came(number, name, room)
        members.add(number, name, source, room)
        past, is_cut = self._missed(room, wish)
        more = {"host": members.host_name, "room": room, "cut": is_cut}
        greeting = "welcome, you are {name}; here: {here} (/name NEW, /who, /help, /quit)"
        refused = [] if wish.name is None or is_named else run_command(members, number, f"/name {wish.name}")
        refused += [] if problem is None else run_command(members, number, f"/join {wish.room}")
        welcome = members.notice((number,), greeting, name=name, **here, **more)
        return [*welcome, *members.listed(number, past), *joined, *refused]

    def _missed(self, room: str, wish: Wish) -> tuple[list[Message], bool]:
        """What a guest is shown of its room, and whether it has missed more than that."""
        history = self.members.history
        last = wish.missed[-1].id if wish.missed else wish.after or 0
        past = [*wish.missed, *[each for each in history.of(room) if each.id > last]]
        return past, wish.is_cut or (wish.after is not None and history.forgotten_id(room) > last)

    def leave(self, member: int, *, how: str = "{name} has left", now: float | None = None) -> list[Decision]:
        """Remove a member. Harmless when it is not in the chat.

        Args:
            member: its number. When the host leaves, the chat goes on without it.
            how: what the others are shown about it: a text of `texts`.
            now: the moment; None: that of the last event.
        """
        if now is not None:
            self.members.now = now
        if self._end_waiting(member) is not None:
            return [self._turn_away(member)]
        return self.members.remove(member, how)

    def tick(self, now: float, at: float) -> list[Decision]:
        """What follows from the time alone, at the moment `members.arrivals.due` or later."""
        due = self.members.arrivals.due
        if due is None or now < due:
            return []
        self._set_time(now, at)
        return [*self.members.tell_arrivals()]

    def end(self, reason: str | None = None) -> list[Decision]:
        """End the chat; every guest is shown the reason (None: the host has ended it). Harmless twice."""
        if self._is_over:
            return []
        self._is_over = True
        guests = (*self.members.clear(), *self._waiting)
        self._waiting.clear()
        self._waiting_from.clear()
        if reason is None:
            name = self.members.host_name
            farewell = self.members.notice(guests, "goodbye: {name} has ended the chat", name=name)
        else:
            farewell = self.members.notice(guests, "goodbye: {reason}", reason=reason)
        return [*farewell, *map(Disconnect, guests), EndChat()]

    def receive(self, member: int, line: bytes, now: float = 0.0, at: float = 0.0) -> list[Decision]:
        """What follows from a line (without its end) of a member; nothing where it is not in the chat."""
        self._set_time(now, at)
        waiting = self._waiting.get(member)
        if waiting is not None:
            return self._try_password(member, waiting, line)
        speaker = self.members.by_number.get(member)
        if speaker is None:
            return []
        pause = self._pause(member, speaker, len(line))
        return [*self._receive(member, speaker, line), *pause]

    def say_many(self, member: int, lines: Sequence[bytes], now: float = 0.0, at: float = 0.0) -> ShowMany | None:
        """What follows from many lines at once, where all are plain talk in ASCII that nothing holds back.

        The same as `receive` for each of them, but that nobody gets a message of its own; a flood and a pasted page
        cost little so. None: nothing was done; call `receive` for each.
        """
        speaker = self.members.by_number.get(member)
        if speaker is None or self._limits.rate is not None or self.members.changes is not None:
            return None
        data = b"\n".join(lines)
        if not data.isascii() or data.startswith(b"/") or b"\n/" in data or max(map(len, lines)) > MAX_LINE_SIZE:
            return None
        text = data.decode()
        folded = text.lower()
        if not text.replace("\n", " ").isprintable() or any(word in folded for word in _LAST_WORDS):
            return None
        self._set_time(now, at)
        if muted_notice(self.members, member) is not None or member in self.members.arrivals:
            return None
        return self.members.heard_many(member, text, len(lines))

    def found(self, member: int, messages: Iterable[Message]) -> list[Decision]:
        """Show a member the result of its search."""
        if member not in self.members.by_number:
            return []
        return [*self.members.listed(member, messages, is_found=True)] or self.tell(member, "nothing was found")

    def tell(self, member: int, text: str, **fields: object) -> list[Decision]:
        """Show a notice to one member, or to the host after it has left; a text of `texts`."""
        if member != HOST and not self.is_here(member):
            return []
        return [*self.members.notice((member,), text, **fields)]

    def give_up(self, member: int, seconds: float) -> list[Decision]:
        """Disconnect a guest that has given no password in time."""
        if self._end_waiting(member) is None:
            return []
        text = "goodbye: no password came within {seconds} seconds"
        return [*self.members.notice((member,), text, seconds=f"{seconds:.0f}"), self._turn_away(member)]

    def _turn_away(self, number: int) -> Disconnect:
        self.members.forget_language(number)
        return Disconnect(number)

    def _set_time(self, now: float, at: float) -> None:
        self.members.now, self.members.at = now, at

    def _receive(self, member: int, speaker: Member, line: bytes) -> list[Decision]:
        if len(line) > MAX_LINE_SIZE:
            text = "your line was longer than {size} bytes: nobody has seen it"
            return [*self.members.notice((member,), text, size=MAX_LINE_SIZE)]
        before: list[ShowLine] = []
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text, before = line.decode(errors="backslashreplace"), self._encoding_notice(member, speaker)
        text = visible(text)
        if is_farewell(text):
            return [*before, *self._farewell(member, speaker)]
        if text.startswith("/") and not text.startswith("//"):
            return [*before, *run_command(self.members, member, text)]
        if (refusal := muted_notice(self.members, member)) is not None:
            return refusal
        return [*before, *self.members.introduce(member), self.members.said(member, "say", text.removeprefix("/"))]

    def _pause(self, member: int, speaker: Member, size: int) -> list[Decision]:
        members = self.members
        seconds = speaker.rate.take(size, members.now)
        if not seconds:
            return []
        is_new = members.now - speaker.paused_at > EPISODE_TIME
        speaker.paused_at = members.now + seconds
        text = "you are faster than {rate} lines a second: your next lines wait"
        told = members.notice((member,), text, rate=f"{self._limits.rate:g}") if is_new else []
        return [*told, Pause(member, seconds)]

    def _encoding_notice(self, member: int, speaker: Member) -> list[ShowLine]:
        """Once: a guest with another encoding cannot change it for each line."""
        if speaker.has_encoding_notice:
            return []
        speaker.has_encoding_notice = True
        return self.members.notice((member,), "your line was not UTF-8: the others see \\xff and the like in it")

    def _farewell(self, member: int, speaker: Member) -> list[Decision]:
        if member == HOST:
            return self.end()
        return [*self.members.notice((member,), "goodbye, {name}", name=speaker.name), *self.members.remove(member)]

    def _try_password(self, member: int, waiting: _Waiting, line: bytes) -> list[Decision]:
        members, tries = self.members, self._tries
        assert tries is not None
        text = line.decode(errors="replace").removeprefix("/password ")
        if is_farewell(text):
            return self.leave(member)
        if wait := tries.wait(waiting.source, members.now):
            told = members.notice((member,), "too many wrong passwords: wait {seconds} seconds", seconds=f"{wait:.0f}")
            return [*told, Pause(member, wait)]
        if tries.is_right(waiting.source, text, members.now):
            self._end_waiting(member)
            return self._admit(member, waiting.source, waiting.wish)
        waiting.tries += 1
        if waiting.tries < MAX_TRIES:
            return [*members.notice((member,), "the password is wrong"), Pause(member, 1.0)]
        self._end_waiting(member)
        farewell = members.notice((member,), "goodbye: the password was wrong three times")
        return [*farewell, self._turn_away(member), *self._report_tries(waiting.source)]

    def _report_tries(self, source: str) -> list[ShowLine]:
        """Tell the host once of each source."""
        if source in self._reported_sources or len(self._reported_sources) > 1000:
            return []
        self._reported_sources.add(source)
        return self.members.notice((HOST,), "wrong passwords come from {source}", source=source or "?")
