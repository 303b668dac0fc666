"""The commands of a chat: lines that begin with `/`. Each takes the members, who typed it and what follows its word."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

from socketkit.apps.chat.arrivals import listed_names
from socketkit.apps.chat.confusables import skeletons
from socketkit.apps.chat.decisions import HOST, Decision, Private, Publish, Search, ShowLine
from socketkit.apps.chat.elsewhere import Key
from socketkit.apps.chat.members import LOBBY, MAX_PEOPLE, Members
from socketkit.apps.chat.message import private_line
from socketkit.apps.chat.moderation import HOST_COMMANDS, is_banned, muted_notice, order_elsewhere
from socketkit.apps.chat.names import MAX_NAME_LENGTH, check_name
from socketkit.apps.chat.unstacked import unstacked
from socketkit.config.languages import LANGUAGES

__all__ = ["COMMAND_NAMES", "Command", "is_name_free", "normal_name", "room_of", "run_command"]

Command = Callable[[Members, int, str], list[Decision]]

_HELP: Final = (
    "what you type goes to all others; these lines are for the room:",
    "/name NEW   be called otherwise",
    "/who        who is here",
    "/join NAME  go to another room; /leave goes back to the lobby",
    "/rooms      which rooms there are",
    "/msg NAME TEXT  a line for this member alone",
    "/me TEXT    say what you do",
    "/search TEXT  what was said in this room",
    "/lang en|ru  the language of these notices",
    "/quit       leave (also: bye, до свидания)",
    "//text      say a line that begins with /",
)
_HOST_HELP: Final = (
    "/kick NAME  disconnect a guest",
    "/mute NAME [TIME], /unmute NAME  a guest's lines are seen by nobody",
    "/ban NAME [TIME], /unban NAME  a guest, and its machine, may not come back",
)

MAX_LISTED_ROOMS: Final = 50
"""Rooms that `/rooms` lists, those with the most members: a line holds no more."""


def run_command(members: Members, number: int, text: str) -> list[Decision]:
    """What follows from a line that begins with `/`."""
    word, _, rest = text.partition(" ")
    word = word.casefold()
    if word in HOST_COMMANDS:
        if number != HOST:
            return [*members.notice((number,), "only the host may do that")]
        asked = order_elsewhere(members, number, word, rest.strip())
        return HOST_COMMANDS[word](members, number, rest.strip()) if asked is None else asked
    command = _COMMANDS.get(word)
    if command is None:
        unknown = "there is no {word}; see /help; to say a line that begins with /, write //"
        return [*members.notice((number,), unknown, word=text.partition(" ")[0][:MAX_NAME_LENGTH])]
    return command(members, number, rest.strip())


def normal_name(name: str) -> str:
    """The normal form of a name that was typed."""
    # Before the normal form, which takes time that grows with the square of a row of combining marks.
    return unicodedata.normalize("NFC", name) if len(name) <= MAX_NAME_LENGTH * 4 else name


def is_name_free(members: Members, name: str, *, instead_of: str | None = None) -> bool:
    """Whether a valid name is neither in use nor banned, and looks like none that is."""
    return members.taken.is_free(name, instead_of=instead_of) and not is_banned(members, name)


def _rename(members: Members, number: int, name: str) -> list[Decision]:
    name = normal_name(name)
    problem = check_name(name)
    if problem is not None:
        return [*members.notice((number,), "the name {problem}: /name NEW", problem=problem)]
    member = members.by_number[number]
    if name == member.name:
        return [*members.notice((number,), "you are {name} already", name=name)]
    if not is_name_free(members, name, instead_of=member.name) or members.arrivals.is_name_before(number, name):
        free = members.taken.free_like(name, 2)
        text = "{name} is here already, or looks the same; free is: /name {free}"
        return [*members.notice((number,), text, name=name, free=free)]
    if members.is_shared:
        return [Publish(("name", number, name), number)]
    return members.rename(number, name)


def _who(members: Members, number: int, _: str) -> list[Decision]:
    room = members.by_number[number].room
    name = members.by_number[number].name
    listed = members.list_of(room)
    names = [members.text_for(number, "{name} (you)", name=each) if each == name else each for each in listed["people"]]
    here = listed_names(names, MAX_PEOPLE, listed["count"])
    return [*members.notice((number,), "here: {here}", **listed | {"here": here})]


def _help(members: Members, number: int, _: str) -> list[Decision]:
    lines = (*_HELP, *_HOST_HELP) if number == HOST else _HELP
    return [notice for line in lines for notice in members.notice((number,), line)]


def _join(members: Members, number: int, name: str) -> list[Decision]:
    room, problem = room_of(members, name)
    if problem is not None:
        return [*members.notice((number,), "the name of a room {problem}: /join NAME", problem=problem)]
    if room == members.by_number[number].room:
        return [*members.notice((number,), "you are in {room} already", room=room)]
    return members.move(number, room)


def room_of(members: Members, name: str) -> tuple[str, str | None]:
    """The room that is meant by a name, and what is wrong with the name."""
    room = normal_name(name).casefold()
    problem = check_name(room)
    if problem is None and room not in members.rooms and not members.room_names.is_free(room):
        # It would look like a room that is there: that one is meant.
        wanted = skeletons(room)
        room = next(each for each in members.rooms if skeletons(each) & wanted)
    return room, problem


def _leave(members: Members, number: int, _: str) -> list[Decision]:
    if members.by_number[number].room == LOBBY:
        return [*members.notice((number,), "you are in {room}; /quit leaves the chat", room=LOBBY)]
    return members.move(number, LOBBY)


def _rooms(members: Members, number: int, _: str) -> list[Decision]:
    counts = [(room, len(here) + members.elsewhere.count_in(room)) for room, here in members.rooms.items()]
    largest = sorted(counts, key=lambda each: (-each[1], each[0]))
    listed = [f"{room} ({count})" for room, count in largest[:MAX_LISTED_ROOMS]]
    if len(largest) > MAX_LISTED_ROOMS:
        listed.append(f"... {len(largest) - MAX_LISTED_ROOMS}")
    return [*members.notice((number,), "rooms: {rooms}", rooms=", ".join(listed))]


def _private(members: Members, number: int, rest: str) -> list[Decision]:
    name, _, text = rest.partition(" ")
    text = text.strip()
    if not name or not text:
        return [*members.notice((number,), "how to use it: {usage}", usage="/msg NAME TEXT")]
    if (refusal := muted_notice(members, number)) is not None:
        return refusal
    receiver = members.find(normal_name(name))
    if receiver is None and (key := members.elsewhere.find(normal_name(name))) is not None:
        return _private_elsewhere(members, number, key, unstacked(text))
    if receiver is None:
        return [*members.notice((number,), "{name} is not here: see /who", name=name[:MAX_NAME_LENGTH])]
    note, text = members.text_for(receiver, "private"), unstacked(text)
    own = members.by_number[number].name
    detail = Private(own, members.by_number[receiver].name, text)
    shown = ShowLine((receiver,), private_line(own, note, text), detail=detail, writer=number)
    return [*members.introduce(number), shown]


def _private_elsewhere(members: Members, number: int, key: Key, text: str) -> list[Decision]:
    name, _ = members.elsewhere.by_key[key]
    if not members.is_shared:
        return [*members.notice((number,), "{name} is at a host that cannot be reached now", name=name)]
    own = members.by_number[number].name
    line = private_line(own, members.text_for(number, "private"), text)
    shown = ShowLine((), line, detail=Private(own, name, text), writer=number)  # for its writer's page
    return [Publish(("msg", *key, name, number, own, text), number), shown]


def _act(members: Members, number: int, text: str) -> list[Decision]:
    if not text:
        return [*members.notice((number,), "how to use it: {usage}", usage="/me TEXT")]
    if (refusal := muted_notice(members, number)) is not None:
        return refusal
    return [*members.introduce(number), members.said(number, "me", text)]


def _search(members: Members, number: int, text: str) -> list[Decision]:
    if not text:
        return [*members.notice((number,), "how to use it: {usage}", usage="/search TEXT")]
    return [Search(number, members.by_number[number].room, text)]


def _language(members: Members, number: int, text: str) -> list[Decision]:
    if text not in LANGUAGES:
        return [*members.notice((number,), "how to use it: {usage}", usage=f"/lang {'|'.join(LANGUAGES)}")]
    members.set_language(number, text)
    return [*members.notice((number,), "your texts are in English now")]


def _password(members: Members, number: int, _: str) -> list[Decision]:
    return [*members.notice((number,), "this chat needs no password")]


_COMMANDS: Final[dict[str, Command]] = {
    "/name": _rename,
    "/who": _who,
    "/help": _help,
    "/join": _join,
    "/leave": _leave,
    "/rooms": _rooms,
    "/msg": _private,
    "/me": _act,
    "/search": _search,
    "/lang": _language,
    "/password": _password,
}

COMMAND_NAMES: Final = (*_COMMANDS, *HOST_COMMANDS, "/quit")
