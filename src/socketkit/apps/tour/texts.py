"""The texts of the tour, in its languages: for each step which side takes it, what it means, and the usual mistake.

Texts only. The walkthrough replaces the names in braces by the real values. An English text of the page is its own key.
"""

from __future__ import annotations

from typing import Final

from socketkit.values import Value

__all__ = ["BOTH", "CLIENT", "RUSSIAN", "RUSSIAN_STEPS", "SERVER", "STEPS", "StepText", "step_text", "translate"]

SERVER: Final = "server"
CLIENT: Final = "client"
BOTH: Final = "both"


class StepText(Value):
    """One step.

    Attributes:
        side: which side takes it.
        title: its name.
        meaning: what it does.
        trap: the usual mistake.
    """

    side: str
    title: str
    meaning: str
    trap: str


STEPS: Final = {
    "socket": StepText(
        SERVER,
        "socket",
        "An endpoint for TCP over IPv4. The program gets a number, the descriptor {listening}, as for an open file.",
        "It has no address and no peer yet. Whatever fails from here on, the program must close it.",
    ),
    "bind": StepText(
        SERVER,
        "bind",
        "The socket gets its address. 127.0.0.1 is reachable from this machine alone; port 0 asks for any free port: "
        "it is {port}.",
        "After a restart the port counts as in use for a minute, unless SO_REUSEADDR was set before. With 0.0.0.0 in "
        "place of 127.0.0.1 the whole network can connect.",
    ),
    "listen": StepText(
        SERVER,
        "listen",
        "From now on clients can connect. They wait in a queue, the backlog, until they are accepted. It is as long as "
        "the system allows{limit}.",
        "The backlog does not limit the number of clients. When it is full, connecting clients are not refused: they "
        "wait, and only a timeout of their own ends that.",
    ),
    "connect": StepText(
        CLIENT,
        "connect",
        "Another socket connects to that address, and the system gives it a port of its own, {client_port}. "
        "EINPROGRESS is no error: connecting goes on, and when the socket becomes writable, SO_ERROR has the result.",
        "A name has several addresses, and the first may not answer: try them all. A busy server may refuse: retry. "
        "Without an answer the system tries for two minutes.",
    ),
    "pending": StepText(
        SERVER,
        "is a client waiting?",
        "Clients that wait to be accepted: {pending}. That is `Listener.pending()`; it asks the system for the length "
        "of the queue (TCP_INFO), and accepts nothing. `ss -lt` shows the same number as Recv-Q.",
        "poll and select report only that the queue is not empty. A client in the queue is connected already: it may "
        "send, and its data waits with it.",
    ),
    "accept": StepText(
        SERVER,
        "accept",
        "accept takes the first client from the queue, and returns a new socket, {server}, for this one connection; "
        "{listening} goes on listening.",
        "The client was connected before: the kernels do the handshake, so being connected does not mean being "
        "served. The new socket has no port of its own: both are at {port}. A connection is identified by the pair "
        "of addresses.",
    ),
    "options": StepText(
        BOTH,
        "setsockopt",
        "Small messages leave at once (NODELAY). A peer that sent nothing for a minute is probed (KEEPALIVE).",
        "By default neither is so: a small message may be delayed by 40 ms, and a cut cable is never detected.",
    ),
    "send": StepText(
        CLIENT,
        "send",
        "Two messages, {sent} bytes in all. The result is how many bytes the system has taken. Only an answer of the "
        "peer shows that it has read them.",
        "Both calls also succeed when the peer has just crashed: the error comes with a later call, or never.",
    ),
    "recv": StepText(
        SERVER,
        "recv",
        "One call has returned both at once: {words!r}.",
        "A recv is not a message. TCP carries bytes: two messages may arrive as one piece, and one in several. Both "
        "sides need a rule for where a message ends; that is a framing: a line, a length before each, ...",
    ),
    "short send": StepText(
        CLIENT,
        "send, too much",
        "The system took {taken} bytes of {given}: now its buffers are full, and the peer's too. The rest has to "
        "wait until the peer has read.",
        "A program that ignores the result loses the rest. One that keeps the rest without a limit runs out of "
        "memory, because of one peer that reads slowly.",
    ),
    "recv all": StepText(
        SERVER,
        "recv, until all is there",
        "{size} bytes came in {portions} pieces (the first two are shown); meanwhile the client has sent the rest, "
        "in {sends} more.",
        "A single recv(1024) is the classic mistake: it works for short messages on one's own machine, and only there.",
    ),
    "half-close": StepText(
        BOTH,
        "half-close",
        "The client has ended its direction (FIN). At the server recv returns 0 bytes: the end of this direction "
        "alone.",
        "A program that takes 0 bytes for `nothing yet` loops for ever. One that takes them for the end of both "
        "directions cuts off its own answer.",
    ),
    "answer": StepText(
        BOTH,
        "the other direction",
        "The server still answers, and the client receives it. So a client can send a whole request, end its "
        "direction, and wait for the whole answer.",
        "Tools that give up half a second after their own end lose every answer that takes longer, and report success.",
    ),
    "close": StepText(
        BOTH,
        "close",
        "Each side releases its descriptor.{kept}",
        "close with unread bytes in the buffer sends a reset, which may discard what was sent before. socketkit sends "
        "its FIN first, and discards the unread bytes.",
    ),
    "stop": StepText(
        SERVER,
        "close",
        "The listening socket is closed too: new clients are refused.",
        "A UNIX socket leaves its file behind, and the next bind fails. Descriptors that are not closed accumulate "
        "until there are no more (EMFILE): close in `finally`, or use `with`.",
    ),
}
"""Every step, in order."""

RUSSIAN_STEPS: Final = {
    "socket": (
        "socket",
        "Конечная точка для TCP поверх IPv4. Программа получает число, дескриптор {listening}, как у открытого файла.",
        "У сокета ещё нет ни адреса, ни собеседника. Что бы ни случилось дальше, закрыть его должна программа.",
    ),
    "bind": (
        "bind",
        "Сокет получает адрес. 127.0.0.1 доступен только с этой машины; порт 0 означает любой свободный: это {port}.",
        "После перезапуска порт ещё минуту считается занятым, если заранее не задан SO_REUSEADDR. А с 0.0.0.0 вместо "
        "127.0.0.1 подключиться может вся сеть.",
    ),
    "listen": (
        "listen",
        "Теперь клиенты могут подключаться. Пока их не приняли, они ждут в очереди (backlog). Её длина наибольшая, "
        "какую разрешает система{limit}.",
        "Очередь не ограничивает число клиентов. Когда она полна, новым клиентам не отказывают: они ждут, и прервать "
        "ожидание может только их собственный тайм-аут.",
    ),
    "connect": (
        "connect",
        "Другой сокет подключается к этому адресу, и система даёт ему собственный порт, {client_port}. EINPROGRESS не "
        "ошибка: подключение продолжается, а когда сокет станет готов к записи, его исход покажет SO_ERROR.",
        "У имени бывает несколько адресов, и первый может не отвечать: пробуйте все. Занятый сервер может отказать: "
        "повторяйте. Если никто не отвечает, система ждёт две минуты.",
    ),
    "pending": (
        "ждёт ли клиент?",
        "Клиентов ждёт приёма: {pending}. Это `Listener.pending()`: он спрашивает у системы длину очереди (TCP_INFO) и "
        "никого не принимает. `ss -lt` показывает то же число в столбце Recv-Q.",
        "poll и select сообщают только, что очередь не пуста. Клиент в очереди уже подключён: он может посылать, и его "
        "данные ждут вместе с ним.",
    ),
    "accept": (
        "accept",
        "accept берёт из очереди первого клиента и возвращает новый сокет, {server}, только для этого соединения; "
        "{listening} продолжает слушать.",
        "Клиент подключился раньше: рукопожатие выполняют ядра, поэтому подключён ещё не значит обслужен. Своего порта "
        "у нового сокета нет: у обоих порт {port}. Соединение определяется парой адресов.",
    ),
    "options": (
        "setsockopt",
        "Короткие сообщения уходят сразу (NODELAY). Собеседника, который молчит минуту, система проверяет (KEEPALIVE).",
        "По умолчанию это не так: короткое сообщение может задержаться на 40 мс, а обрыв кабеля не будет замечен "
        "никогда.",
    ),
    "send": (
        "send",
        "Два сообщения, всего {sent} байт. Результат говорит, сколько байтов взяла система. Что собеседник их "
        "прочитал, покажет только его ответ.",
        "Оба вызова успешны и тогда, когда собеседник только что упал: ошибку вернёт один из следующих вызовов или не "
        "вернёт никакой.",
    ),
    "recv": (
        "recv",
        "Один вызов вернул оба сразу: {words!r}.",
        "Один recv не равен одному сообщению. TCP передаёт байты: два сообщения могут прийти одним куском, а одно "
        "несколькими. Где сообщение кончается, стороны должны условиться; это кадрирование: строка, длина перед "
        "каждым, ...",
    ),
    "short send": (
        "send, слишком много",
        "Система взяла {taken} байт из {given}: её буферы полны, и буферы собеседника тоже. Остальное подождёт, пока "
        "собеседник не прочитает.",
        "Кто не смотрит на результат, теряет остаток. Кто хранит остаток без ограничения, исчерпает память из-за "
        "одного медленного собеседника.",
    ),
    "recv all": (
        "recv, пока не придёт всё",
        "Пришло {size} байт, кусков: {portions} (показаны первые два); тем временем клиент отослал остальное, вызовов "
        "send: {sends}.",
        "Одиночный recv(1024) — классическая ошибка: он работает с короткими сообщениями на своей машине, и только "
        "там.",
    ),
    "half-close": (
        "полузакрытие",
        "Клиент завершил своё направление (FIN). На сервере recv возвращает 0 байт: это конец одного направления.",
        "Кто принимает 0 байт за «пока ничего», зациклится. Кто принимает их за конец обоих направлений, обрежет "
        "собственный ответ.",
    ),
    "answer": (
        "другое направление",
        "Сервер всё ещё отвечает, и клиент получает ответ. Значит, клиент может послать весь запрос, завершить своё "
        "направление и дождаться всего ответа.",
        "Программы, которые сдаются через полсекунды после своего конца, теряют каждый более медленный ответ и "
        "сообщают об успехе.",
    ),
    "close": (
        "close",
        "Каждая сторона освобождает свой дескриптор.{kept}",
        "close при непрочитанных байтах в буфере посылает сброс (RST), и он может уничтожить то, что послано раньше. "
        "socketkit сначала посылает FIN, а непрочитанное отбрасывает.",
    ),
    "stop": (
        "close",
        "Слушающий сокет тоже закрыт: новым клиентам отказывают.",
        "Сокет UNIX оставляет после себя файл, и следующий bind не удастся. А незакрытые дескрипторы копятся, пока не "
        "кончатся (EMFILE): закрывайте в `finally` или пользуйтесь `with`.",
    ),
}
"""The title, the meaning and the trap of every step, in Russian."""

RUSSIAN: Final = {
    ": this one at most {limit}": ": здесь не больше {limit}",
    " The system keeps the side that ended first in {state} for a while, for packets that come late.": (
        " Сторону, которая закончила первой, система ещё некоторое время держит в состоянии {state}: на случай "
        "запоздавших пакетов."
    ),
    "server": "сервер",
    "client": "клиент",
    "both": "оба",
    "state": "состояние",
    "trap": "ловушка",
    "the same, on {descriptor}": "то же, для {descriptor}",
    "The life of a socket": "Жизнь сокета",
    "A server and a client on this machine. Each call below was made just now; the numbers are the real ones.": (
        "Сервер и клиент на этой машине. Каждый вызов ниже только что выполнен, все числа настоящие."
    ),
    "Descriptors of this process before the first step: {before}; after the last: {after}.": (
        "Дескрипторов у процесса до первого шага: {before}; после последнего: {after}."
    ),
    "The same, by socketkit": "То же самое с socketkit",
    "All of these steps, without these traps:": "Все эти шаги, но без этих ловушек:",
    "It was run just now, with ": "Только что выполнено: ",
    "{count} lines": "строк: {count}",
    " sent and received one by one. They were sent and echoed in ": (
        ", каждая послана и получена отдельно. На путь туда и обратно ушло "
    ),
    "{count} socket calls": "вызовов: {count}",
    " on both sides together: {calls}.": " на обеих сторонах вместе ({calls}).",
    "One handler, every engine": "Один обработчик, все движки",
    "An engine is a way of waiting. Here the echo from above is served on each engine and over each family of "
    "sockets: 1000 round trips a second of {size} bytes, {milliseconds} ms each.": (
        "Движок — это способ ждать. Здесь эхо, показанное выше, работает на каждом движке и с каждым семейством "
        "сокетов: тысячи обменов в секунду по {size} байт, по {milliseconds} мс на клетку."
    ),
    "family": "сокет",
    "the peer has ended": "собеседник закончил",
    "Both ends share this process, and one thread (two, with blocking): for comparison only.": (
        "Обе стороны живут в одном процессе и одном потоке (с blocking — в двух): числа годятся только для сравнения."
    ),
    "To try next": "Что попробовать дальше",
    "a server that explains each of its socket calls": "сервер, который объясняет каждый свой вызов",
    "its client: type a line, and end with Ctrl-D": "клиент к нему: наберите строку, закончите Ctrl-D",
    "a chat, with you as its host": "чат, хозяин которого вы",
    "the other side of the chat; plain nc works too": "другая сторона чата; подойдёт и обычный nc",
}
"""The other texts."""


def step_text(language: str, name: str) -> StepText:
    """The texts of a step, in this language."""
    text = STEPS[name]
    return StepText(text.side, *RUSSIAN_STEPS[name]) if language == "ru" else text


def translate(language: str, text: str, **fields: object) -> str:
    """A text of the page in this language, with its fields."""
    return (RUSSIAN[text] if language == "ru" else text).format(**fields)
