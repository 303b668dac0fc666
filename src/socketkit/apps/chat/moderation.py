"""What the host may do to guests: disconnect them, keep them from speaking, and from coming back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from socketkit.apps.chat.confusables import skeletons
from socketkit.apps.chat.decisions import Decision, Publish
from socketkit.apps.chat.members import Ban, Members
from socketkit.apps.chat.names import MAX_NAME_LENGTH
from socketkit.config.durations import parse_duration
from socketkit.errors import OptionError

__all__ = ["HOST_COMMANDS", "is_banned", "is_source_banned", "muted_notice", "order_elsewhere"]


def muted_notice(members: Members, number: int) -> list[Decision] | None:
    """What a muted member is told instead of being seen; None: it may speak."""
    if members.by_number[number].muted_until <= members.now:
        return None
    return [*members.notice((number,), "you are muted: nobody has seen your line")]


def is_source_banned(members: Members, source: str) -> bool:
    """Whether guests of this source may not come in; bans that have run out are forgotten."""
    for name, ban in list(members.bans.items()):
        if ban.until is not None and ban.until <= members.now:
            del members.bans[name]
    return any(ban.source == source and source for ban in members.bans.values())


def is_banned(members: Members, name: str) -> bool:
    """Whether a name looks like one that was banned."""
    if not members.bans:
        return False
    looks = skeletons(name)
    return any(
        skeletons(ban.name) & looks and (ban.until is None or ban.until > members.now) for ban in members.bans.values()
    )


def order_elsewhere(members: Members, number: int, word: str, rest: str) -> list[Decision] | None:
    """Ask the host of the member that is named; None: it is at this one, or nowhere."""
    name, _, time = rest.partition(" ")
    key = members.elsewhere.find(name)
    if key is None or word == "/unban" or members.find(name) is not None:
        return None
    if not members.is_shared:
        return [*members.notice((number,), "{name} is at a host that cannot be reached now", name=name)]
    text = "{name} is at another host, which is asked to do it"
    return [Publish(("order", *key, word, time.strip()), number), *members.notice((number,), text, name=name)]


def _kick(members: Members, number: int, rest: str) -> list[Decision]:
    name, _, _ = rest.partition(" ")
    target = _target(members, number, name, "/kick NAME")
    return (
        target if isinstance(target, list) else _remove(members, number, target, "goodbye: you were removed by {host}")
    )


def _mute(members: Members, number: int, rest: str) -> list[Decision]:
    found = _target_until(members, number, rest, "/mute NAME [TIME]")
    if isinstance(found, list):
        return found
    target, until = found
    member = members.by_number[target]
    member.muted_until = float("inf") if until is None else until
    return [
        *members.notice(_room_of(members, number, target), "{name} is muted: nobody sees its lines", name=member.name)
    ]


def _unmute(members: Members, number: int, rest: str) -> list[Decision]:
    target = _target(members, number, rest, "/unmute NAME")
    if isinstance(target, list):
        return target
    member = members.by_number[target]
    member.muted_until = 0.0
    return [*members.notice(_room_of(members, number, target), "{name} may speak again", name=member.name)]


def _ban(members: Members, number: int, rest: str) -> list[Decision]:
    found = _target_until(members, number, rest, "/ban NAME [TIME]")
    if isinstance(found, list):
        return found
    target, until = found
    member = members.by_number[target]
    members.bans[member.name] = Ban(member.name, member.source, until)
    members.note("ban", member.name, member.source, 0.0 if until is None else until - members.now)
    text = "{name} is banned ({source}): /unban {name} takes it back"
    told = members.notice((number,), text, name=member.name, source=member.source)
    return [*told, *_remove(members, number, target, "goodbye: you are banned from this chat")]


def _unban(members: Members, number: int, rest: str) -> list[Decision]:
    folded = rest.casefold()
    name = next((each for each in members.bans if each.casefold() == folded), None)
    if name is not None:
        del members.bans[name]
        members.note("unban", name)
        return [*members.notice((number,), "{name} may come back", name=name)]
    names = ", ".join(members.bans)
    banned = members.text_for(number, "banned are {names}", names=names) if names else "nobody is"
    return [*members.notice((number,), "{name} is not banned: {banned}", name=rest[:MAX_NAME_LENGTH], banned=banned)]


def _target(members: Members, number: int, name: str, usage: str) -> int | list[Decision]:
    """The member that a command names, or what to answer instead."""
    if not name:
        return [*members.notice((number,), "how to use it: {usage}", usage=usage)]
    target = members.find(name)
    if target is None:
        return [*members.notice((number,), "{name} is not here: see /who", name=name[:MAX_NAME_LENGTH])]
    if target == number:
        return [*members.notice((number,), "you are {name}: nothing to do", name=members.host_name)]
    return target


def _target_until(members: Members, number: int, rest: str, usage: str) -> tuple[int, float | None] | list[Decision]:
    """The member that a command names and the moment until which it holds (None: for good), or what to answer."""
    name, _, time = rest.partition(" ")
    target = _target(members, number, name, usage)
    if isinstance(target, list):
        return target
    try:
        return target, _until(members.now, time)
    except OptionError:
        return [*members.notice((number,), "how to use it: {usage}", usage=usage)]


def _remove(members: Members, number: int, target: int, farewell: str) -> list[Decision]:
    host, gone = members.host_name, members.by_number[target]
    text = "{name} was removed by {host}"
    told = members.notice((target,), farewell, host=host)
    watcher = members.by_number.get(number)
    elsewhere = (number,) if watcher is not None and gone.room != watcher.room else ()
    return [
        *told,
        *members.notice(elsewhere, text, name=gone.name, host=host),
        *members.remove(target, text, host=host),
    ]


def _room_of(members: Members, number: int, target: int) -> tuple[int, ...]:
    """All in the target's room, and who has given the command."""
    room = members.rooms[members.by_number[target].room]
    return tuple(dict.fromkeys((number, *room)))


def _until(now: float, time: str) -> float | None:
    """The moment at which a time from now has passed; None where no time is given.

    Raises:
        OptionError: it is no time.
    """
    return now + parse_duration(time.strip()) if time.strip() else None


HOST_COMMANDS: Final[dict[str, Callable[[Members, int, str], list[Decision]]]] = {
    "/kick": _kick,
    "/mute": _mute,
    "/unmute": _unmute,
    "/ban": _ban,
    "/unban": _unban,
}
