"""The chat's texts in its languages: one table. An English text is its own key; fields stand in braces."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

from socketkit.apps.chat.names import MAX_NAME_LENGTH

__all__ = ["FAREWELLS", "is_goodbye", "match", "translate"]

FAREWELLS: Final = frozenset({"bye", "до свидания"})
"""What a member types to leave, in any language of the chat."""

_RUSSIAN: Final = {
    "nobody yet": "пока никого",
    "welcome, you are {name}; here: {here} (/name NEW, /who, /help, /quit)": (
        "добро пожаловать, вы {name}; здесь: {here} (/name ИМЯ, /who, /help, /quit)"
    ),
    "{name} has joined": "{name} входит",
    "{name} has left": "{name} выходит",
    "{name} was lost": "связь с {name} потеряна",
    "{name} was disconnected: it has stopped reading": "{name} больше не читает и отключён",
    "{name} was removed by {host}": "{host} удаляет {name}",
    "{name} has left for {room}": "{name} выходит в комнату {room}",
    "{name} (you)": "{name} (вы)",
    "here: {here}": "здесь: {here}",
    "rooms: {rooms}": "комнаты: {rooms}",
    "you are in {room} now; here: {here}": "вы теперь в комнате {room}; здесь: {here}",
    "you are in {room} already": "вы уже в комнате {room}",
    "you are in {room}; /quit leaves the chat": "вы в комнате {room}; /quit завершает разговор",
    "the name of a room {problem}: /join NAME": "имя комнаты {problem}: /join ИМЯ",
    "said here before:": "здесь уже сказано:",
    "the name {problem}: /name NEW": "имя {problem}: /name ИМЯ",
    "is empty": "пусто",
    f"is longer than {MAX_NAME_LENGTH} characters": f"длиннее {MAX_NAME_LENGTH} знаков",
    "does not begin with a letter or a figure": "начинается не с буквы и не с цифры",
    "may hold letters, figures and _ - . only": "может состоять только из букв, цифр и знаков _ - .",
    "you are {name} already": "вы уже {name}",
    "you are {name} now": "вы теперь {name}",
    "{before} is {name} now": "{before} теперь {name}",
    "{name} is here already, or looks the same; free is: /name {free}": (
        "имя {name} занято или похоже на занятое; свободно: /name {free}"
    ),
    "goodbye, {name}": "до свидания, {name}",
    "goodbye: {name} has ended the chat": "до свидания: {name} завершает разговор",
    "goodbye: {reason}": "до свидания: {reason}",
    "goodbye: you were removed by {host}": "до свидания: {host} удаляет вас",
    "goodbye: you are banned from this chat": "до свидания: вам сюда нельзя",
    "goodbye: the chat is full ({count} guests)": "до свидания: мест нет (гостей: {count})",
    "the chat is full ({count} guests): more are refused": "мест нет (гостей: {count}): больше никто не войдёт",
    "goodbye: too many from your address have not given the password": (
        "до свидания: с вашего адреса слишком многие ещё не ввели пароль"
    ),
    "this chat was for one guest, who was here before you": "этот разговор был для одного гостя, и он уже был",
    "your line was longer than {size} bytes: nobody has seen it": "строка длиннее {size} байт: её никто не видел",
    "your line was not UTF-8: the others see \\xff and the like in it": (
        "строка не в UTF-8: остальные видят в ней \\xff и подобное"
    ),
    "there is no {word}; see /help; to say a line that begins with /, write //": (
        "команды {word} нет; см. /help; чтобы сказать строку, которая начинается с /, напишите //"
    ),
    "you are faster than {rate} lines a second: your next lines wait": (
        "вы пишете быстрее, чем {rate} строк в секунду: следующие строки подождут"
    ),
    "only the host may do that": "это может только хозяин",
    "{name} is not here: see /who": "{name} здесь нет: см. /who",
    "you are {name}: nothing to do": "{name} — это вы: делать нечего",
    "how to use it: {usage}": "так: {usage}",
    "you are muted: nobody has seen your line": "вам запрещено писать: строку никто не видел",
    "{name} is muted: nobody sees its lines": "{name} больше не может писать",
    "{name} may speak again": "{name} снова может писать",
    "{name} is banned ({source}): /unban {name} takes it back": "{name} не сможет вернуться ({source}): /unban {name}",
    "{name} is not banned: {banned}": "{name} и так может войти: {banned}",
    "nobody is": "запретов нет",
    "banned are {names}": "нельзя войти: {names}",
    "{name} may come back": "{name} может вернуться",
    "private": "лично",
    "this chat needs a password: type it": "нужен пароль: введите его",
    "the password is wrong": "пароль неверен",
    "goodbye: the password was wrong three times": "до свидания: пароль три раза неверен",
    "goodbye: no password came within {seconds} seconds": "до свидания: пароля не было {seconds} секунд",
    "too many wrong passwords: wait {seconds} seconds": "слишком много неверных паролей: подождите {seconds} секунд",
    "this chat needs no password": "пароль здесь не нужен",
    "wrong passwords come from {source}": "неверные пароли приходят с {source}",
    "your texts are in English now": "теперь ваши тексты по-русски",
    "nothing was found": "ничего не найдено",
    "found:": "найдено:",
    "nothing could be searched: {problem}": "поиск не удался: {problem}",
    "{name} is at a host that cannot be reached now": "{name} на узле, с которым сейчас нет связи",
    "the other hosts cannot be reached: what you say is shown at this host, and there later": (
        "с другими узлами нет связи: сказанное видно на этом узле, а там — позже"
    ),
    "the other hosts are reached again; what was said there meanwhile follows": (
        "связь с другими узлами восстановлена; сказанное там за это время:"
    ),
    "the bus is away: {problem}": "шина недоступна: {problem}",
    "the bus has entries that are not of a chat: they are left out": "на шине есть чужие записи: они пропущены",
    "{count} lines from another host were lost": "с другого узла потеряно строк: {count}",
    "{count} lines will not reach the other hosts: too many wait": (
        "до других узлов не дойдёт строк: {count}: их накопилось слишком много"
    ),
    "have joined: {names}": "входят: {names}",
    "have left: {names}": "выходят: {names}",
    "are called otherwise now: {names}": "теперь зовутся иначе: {names}",
    "{name} is at another host, which is asked to do it": "{name} на другом узле; его попросили это сделать",
    "the store cannot be written ({problem}): the chat goes on, and what is said is written later": (
        "запись не удаётся ({problem}): разговор продолжается, сказанное будет записано позже"
    ),
    "the store is written again: nothing was lost": "запись снова идёт: ничего не потеряно",
    "the store is written again: {count} messages were lost": "запись снова идёт: потеряно сообщений: {count}",
    "{count} lines were not shown: this end was not read": "строк не показано: {count}: этот экран не читали",
    "what you type goes to all others; these lines are for the room:": (
        "что вы пишете, видят все в комнате; эти строки — для неё самой:"
    ),
    "/name NEW   be called otherwise": "/name ИМЯ   зваться иначе",
    "/who        who is here": "/who        кто здесь",
    "/join NAME  go to another room; /leave goes back to the lobby": (
        "/join ИМЯ   перейти в другую комнату; /leave — обратно в lobby"
    ),
    "/rooms      which rooms there are": "/rooms      какие есть комнаты",
    "/msg NAME TEXT  a line for this member alone": "/msg ИМЯ ТЕКСТ  строка только для него",
    "/me TEXT    say what you do": "/me ТЕКСТ   сказать, что вы делаете",
    "/search TEXT  what was said in this room": "/search ТЕКСТ  что было сказано в этой комнате",
    "/lang en|ru  the language of these notices": "/lang en|ru  язык этих сообщений",
    "/quit       leave (also: bye, до свидания)": "/quit       выйти (или: bye, до свидания)",
    "//text      say a line that begins with /": "//текст     сказать строку, которая начинается с /",
    "/kick NAME  disconnect a guest": "/kick ИМЯ   отключить гостя",
    "/mute NAME [TIME], /unmute NAME  a guest's lines are seen by nobody": (
        "/mute ИМЯ [ВРЕМЯ], /unmute ИМЯ  строк гостя никто не видит"
    ),
    "/ban NAME [TIME], /unban NAME  a guest, and its machine, may not come back": (
        "/ban ИМЯ [ВРЕМЯ], /unban ИМЯ  гостю и его машине нельзя вернуться"
    ),
}
"""English to Russian."""


def translate(language: str, text: str, fields: Mapping[str, object]) -> str:
    """The text in this language, with its fields; those that may be texts of the table are translated too."""
    if language == "ru":
        text = _RUSSIAN.get(text, text)
        fields = {name: _RUSSIAN.get(str(value), value) if name in _TEXTS else value for name, value in fields.items()}
    return text.format_map(fields)


_TEXTS: Final = frozenset({"banned", "here", "problem"})
"""Fields that may be texts. A name never is one, though a guest may be called like a text."""


def is_goodbye(line: str) -> bool:
    """Whether this notice is the last line of a chat for this guest."""
    once = "this chat was for one guest, who was here before you"
    return line.startswith(("* goodbye", "* до свидания", f"* {once}", f"* {_RUSSIAN[once]}"))


def match(line: str, text: str) -> dict[str, str] | None:
    """The fields of a notice that was made of this text, in any language; None where it was not."""
    for each in (text, _RUSSIAN.get(text, text)):
        found = _pattern(each).fullmatch(line)
        if found:
            return found.groupdict()
    return None


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    literal = re.split(r"\{(\w+)\}", text)
    parts = [f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(literal)]
    return re.compile(rf"\* {''.join(parts)}")
