"""What can happen to an open connection, and to messages."""

from __future__ import annotations

from typing import Final

from socketkit.cli.error_pages.page import ErrorPage, Words
from socketkit.errors import (
    BrokenError,
    BusyError,
    ClosedError,
    DeadlineError,
    EndOfStream,
    FrameTooLongError,
    FramingError,
    TruncatedFrameError,
)

__all__ = ["CONNECTIONS"]

CONNECTIONS: Final[dict[str, ErrorPage]] = {
    "reset": ErrorPage(
        BrokenError,
        Words(
            "Connection reset by peer (ECONNRESET)",
            "The peer, or something on the way, has ended both directions at once. What it had not read is lost.",
            (
                "The other process crashed, or was killed.",
                "It closed the socket while bytes that it had not read were waiting.",
                "It refuses this client after accepting it: a limit, an access list, a wrong protocol.",
                "A firewall or a load balancer forgot the connection after a time of silence.",
            ),
            (
                "The server's log tells whether it meant it.",
                "TLS spoken to a plain port, or the reverse, ends this way: try `tls://` or `tcp://`.",
                "Against forgotten connections: keep-alive (on by default), or a message from time to time.",
            ),
        ),
        Words(
            "Connection reset by peer (ECONNRESET): соединение сброшено",
            "Собеседник или кто-то по дороге оборвал сразу оба направления. Непрочитанное им потеряно.",
            (
                "Другой процесс упал или был убит.",
                "Он закрыл сокет, не прочитав всего, что пришло.",
                "Он отказывает клиенту уже после приёма: предел, список доступа, не тот протокол.",
                "Межсетевой экран или балансировщик забыл соединение после долгого молчания.",
            ),
            (
                "Журнал сервера скажет, нарочно ли это.",
                "Так кончается TLS на обычном порту и наоборот: попробуйте `tls://` или `tcp://`.",
                "От забытых соединений помогает keep-alive (включён по умолчанию) или сообщение время от времени.",
            ),
        ),
    ),
    "broken-pipe": ErrorPage(
        BrokenError,
        Words(
            "Broken pipe (EPIPE)",
            "We send, and the peer has closed, or our own direction was ended before.",
            (
                "The peer has its answer and has closed; what we send now is not read.",
                "`send` after `send_eof`.",
                "Standard output's reader, as `head`, has ended. The command takes that for success.",
            ),
            ("Receive before you send more: the peer's last words may say why it left.",),
        ),
        Words(
            "Broken pipe (EPIPE): другая сторона закрыта",
            "Мы посылаем, а собеседник уже закрыл соединение, или мы сами завершили своё направление раньше.",
            (
                "Собеседник получил, что хотел, и ушёл; того, что мы шлём теперь, никто не читает.",
                "`send` после `send_eof`.",
                "Читатель стандартного вывода, например `head`, завершился. Команда считает это успехом.",
            ),
            ("Прежде чем слать дальше, читайте: последние слова собеседника могут объяснить, почему он ушёл.",),
        ),
    ),
    "ended": ErrorPage(
        EndOfStream,
        Words(
            "The peer has ended the conversation (EOF)",
            "The peer has ended its direction in an orderly way, and every message was received. Sending may "
            "still be possible.",
            (
                "It is done: this is how a stream ends, and no fault.",
                "A program for datagrams, or one with turns, waits for a message that the peer never meant to send.",
                "The server refuses the client after accepting it; its log says why.",
            ),
            (
                "A loop over the connection ends by itself: `for message in connection`.",
                "Where `receive` is called by hand, catch EndOfStream as the end.",
                "An answer that was cut raises another error: of a lost connection or of a truncated message.",
            ),
        ),
        Words(
            "The peer has ended the conversation (EOF): собеседник закончил",
            "Собеседник закончил своё направление, как положено, и все сообщения приняты. Посылать, возможно, "
            "ещё можно.",
            (
                "Он всё сказал: так кончается поток, и это не неисправность.",
                "Программа, которая говорит по очереди, ждёт сообщения, которого собеседник посылать не собирался.",
                "Сервер отказывает клиенту уже после приёма; причина в его журнале.",
            ),
            (
                "Цикл по соединению кончается сам: `for message in connection`.",
                "Где `receive` вызывают вручную, ловите EndOfStream как конец.",
                "Об оборванном ответе сообщает другая ошибка: о потере соединения или об обрыве внутри сообщения.",
            ),
        ),
    ),
    "closed": ErrorPage(
        ClosedError,
        Words(
            "The connection was closed at this end",
            "This program has closed the connection, and then used it. The peer has nothing to do with it.",
            (
                "A `with` block was left while another thread or task still uses the connection.",
                "The handler returned: its connection is closed then, also for tasks that it has started.",
                "Another thread or task called `close` or `abort`, to end a wait.",
            ),
            (
                (
                    "End the other tasks before the block ends, or let them end at this error: it is how a close "
                    "wakes them."
                ),
                "To end only our direction: `send_eof`. Then the peer can still answer.",
            ),
        ),
        Words(
            "The connection was closed at this end: соединение закрыто у нас",
            "Программа сама закрыла соединение, а потом воспользовалась им. Собеседник ни при чём.",
            (
                "Из блока `with` вышли, когда другой поток или задача ещё пользуются соединением.",
                "Обработчик вернулся: его соединение при этом закрывается, в том числе для запущенных им задач.",
                "Другой поток или задача вызвали `close` или `abort`, чтобы прервать ожидание.",
            ),
            (
                (
                    "Завершите другие задачи до конца блока или пусть они заканчиваются этой ошибкой: так закрытие "
                    "их будит."
                ),
                "Закончить только наше направление: `send_eof`. Тогда собеседник ещё сможет ответить.",
            ),
        ),
    ),
    "too-long": ErrorPage(
        FrameTooLongError,
        Words(
            "A frame is longer than max_size",
            "A message is longer than the framing allows: 1 MiB, unless another limit was given.",
            (
                "The peer sends longer messages than you expect.",
                "The framings of the two sides differ: a length in another byte order reads as a huge number.",
                "No delimiter comes, since the peer ends its messages another way, or not at all.",
            ),
            (
                "`--dump hex` shows the first bytes: is it the framing that you think?",
                "A higher limit: `lines:max_size=16MiB`. A peer can then make you hold that much.",
                "Only part of it is wanted: `oversize=truncate` or `skip`.",
            ),
        ),
        Words(
            "Сообщение длиннее max_size",
            "Сообщение длиннее, чем допускает кадрирование: 1 МиБ, если предел не задан иначе.",
            (
                "Собеседник посылает сообщения длиннее, чем вы ждёте.",
                "Кадрирование у сторон разное: длина в другом порядке байтов читается как огромное число.",
                "Разделителя нет: собеседник кончает сообщения иначе или никак.",
            ),
            (
                "`--dump hex` покажет первые байты: то ли это кадрирование, что вы думаете?",
                "Предел побольше: `lines:max_size=16MiB`. Тогда собеседник сможет занять столько памяти.",
                "Нужно только начало: `oversize=truncate` или `skip`.",
            ),
        ),
    ),
    "truncated": ErrorPage(
        TruncatedFrameError,
        Words(
            "The stream ended inside a message",
            "The peer has ended its direction, and the last message is not whole.",
            (
                "It crashed, or gave up half-way.",
                "It does not end its last message as the framing asks.",
                "The framings of the two sides differ.",
            ),
            (
                "What came is in the error (`error.partial`) or in `--dump`.",
                "Lines need no end for the last one; for anything else compare the framings of both sides.",
            ),
        ),
        Words(
            "Поток кончился посреди сообщения",
            "Собеседник завершил своё направление, а последнее сообщение неполное.",
            (
                "Он упал или остановился на полпути.",
                "Он не заканчивает последнее сообщение так, как требует кадрирование.",
                "Кадрирование у сторон разное.",
            ),
            (
                "Что пришло, видно в ошибке (`error.partial`) или с `--dump`.",
                "Последней строке конец не нужен; в остальных случаях сравните кадрирование обеих сторон.",
            ),
        ),
    ),
    "not-text": ErrorPage(
        FramingError,
        Words(
            "A byte is not utf-8 in a line",
            "The framing `lines` reads text, and these bytes are none in its encoding.",
            (
                "The peer uses another encoding (latin-1, cp1251, koi8-r).",
                "It sends no text at all: a binary protocol, or TLS.",
            ),
            (
                "Name the encoding: `lines:encoding=cp1251`.",
                "Take bytes: `lines:encoding=none`, or the framing `chunks`.",
            ),
        ),
        Words(
            "Байт в строке не из UTF-8",
            "Кадрирование `lines` читает текст, а эти байты в его кодировке текстом не являются.",
            (
                "У собеседника другая кодировка (latin-1, cp1251, koi8-r).",
                "Он шлёт вовсе не текст: двоичный протокол или TLS.",
            ),
            (
                "Назовите кодировку: `lines:encoding=cp1251`.",
                "Берите байты: `lines:encoding=none` или кадрирование `chunks`.",
            ),
        ),
    ),
    "not-json": ErrorPage(
        FramingError,
        Words(
            "JSON is malformed",
            "The framing `json` reads one JSON value from each line, and this line is none. Nothing more is "
            "received after it, unless `reframe` chooses another framing; sending still works.",
            (
                "The peer sends something else: another protocol, or text for people.",
                "A value lies over several lines.",
                "It is JavaScript or Python and not JSON: single quotes, NaN, a comma at the end.",
            ),
            (
                "For values over several lines take `json-stream`.",
                "A server that shall answer a bad line, and go on, takes `lines` and reads each one by `json.loads`.",
                "`--dump text` shows what came.",
            ),
        ),
        Words(
            "JSON is malformed: это не JSON",
            "Кадрирование `json` читает по одному значению JSON из строки, а в этой строке его нет. После неё "
            "ничего больше не принимается, если `reframe` не выберет другое кадрирование; посылать ещё можно.",
            (
                "Собеседник шлёт другое: другой протокол или текст для людей.",
                "Значение занимает несколько строк.",
                "Это JavaScript или Python, а не JSON: одиночные кавычки, NaN, запятая в конце.",
            ),
            (
                "Для значений из нескольких строк возьмите `json-stream`.",
                (
                    "Сервер, который должен ответить на негодную строку и продолжать, берёт `lines` и читает "
                    "каждую через `json.loads`."
                ),
                "`--dump text` покажет, что пришло.",
            ),
        ),
    ),
    "not-sendable": ErrorPage(
        FramingError,
        Words(
            "A message cannot be sent in this framing: nothing was encoded, lines sends str",
            "The message contains what would end it, or is longer or other than the framing can carry. Nothing "
            "of it was sent, and the connection goes on.",
            (
                "The text contains the end of a line, and the framing is `lines`.",
                "The message is longer than `max_size`, or than its length field can say.",
                "The value has no form in JSON or MessagePack: a set, NaN, an object of your own.",
            ),
            (
                "Split the text into lines, or take a framing that counts bytes: `netstring`, `length:4`.",
                "Allow more: `lines:max_size=8MiB`; the peer must allow it too.",
                (
                    "Text where bytes are sent, or bytes where text is sent, is a TypeError: `encode` it, or take "
                    "`lines:encoding=none`."
                ),
            ),
        ),
        Words(
            "Сообщение не помещается в это кадрирование: nothing was encoded, lines sends str",
            "В сообщении есть то, что его закончило бы, или оно длиннее или иное, чем может передать "
            "кадрирование. Ничего не послано, соединение работает дальше.",
            (
                "В тексте есть конец строки, а кадрирование — `lines`.",
                "Сообщение длиннее, чем `max_size`, или чем может выразить поле длины.",
                "У значения нет записи в JSON или MessagePack: множество, NaN, объект собственного класса.",
            ),
            (
                "Разбейте текст на строки или возьмите кадрирование, которое считает байты: `netstring`, `length:4`.",
                "Разрешите больше: `lines:max_size=8MiB`; собеседник тоже должен это разрешать.",
                (
                    "Текст там, где посылают байты, и байты там, где посылают текст, — это TypeError: `encode` или "
                    "`lines:encoding=none`."
                ),
            ),
        ),
    ),
    "busy": ErrorPage(
        BusyError,
        Words(
            "Another task already receives",
            "Two tasks, or threads, receive from one connection at a time. Which of them would get a message is "
            "chance, so "
            "it is an error.",
            (
                "A second `async for`, or a `receive` beside one.",
                "A task that receives was forgotten, and goes on in the background.",
            ),
            (
                "One task receives, and hands messages on by a queue.",
                "Sending needs no such care: any number of tasks may send.",
            ),
        ),
        Words(
            "Another task already receives: уже читает другая задача",
            "Две задачи или два потока читают одно соединение одновременно. Кому досталось бы сообщение, решал бы "
            "случай, "
            "поэтому это ошибка.",
            (
                "Второй `async for` или `receive` рядом с ним.",
                "Читающая задача забыта и продолжает работать.",
            ),
            (
                "Пусть читает одна задача и передаёт сообщения через очередь.",
                "Посылать могут сколько угодно задач сразу.",
            ),
        ),
    ),
    "blocking-in-async": ErrorPage(
        BusyError,
        Words(
            "This thread runs an async engine: use `async with`",
            "Plain `with` was used in a coroutine, or in a thread whose event loop runs. It would stop every "
            "other task of the loop, so it is refused.",
            (
                "`with connect(...)` or `with serve(...)` stands in an `async def`.",
                "A notebook or a framework runs a loop in this thread already.",
            ),
            (
                "Write `async with`, and `await` before each call.",
                "Plain code belongs into a thread: `await asyncio.to_thread(function)`.",
            ),
        ),
        Words(
            "This thread runs an async engine: нужен `async with`",
            "Обычный `with` стоит в сопрограмме или в потоке, где работает цикл событий. Он остановил бы все "
            "остальные задачи цикла, поэтому это ошибка.",
            (
                "`with connect(...)` или `with serve(...)` стоит в `async def`.",
                "Блокнот или фреймворк уже запустил цикл в этом потоке.",
            ),
            (
                "Пишите `async with`, а перед каждым вызовом `await`.",
                "Обычному коду место в отдельном потоке: `await asyncio.to_thread(function)`.",
            ),
        ),
    ),
    "deadline": ErrorPage(
        DeadlineError,
        Words(
            "A time limit has passed (no message within 5 s, timed out)",
            "The peer did not answer, read or end within the time that was given. The connection can still be used, "
            "unless "
            "the message says otherwise.",
            (
                "The peer waits for something too: the rest of a request, or the end of our direction.",
                "The peer is slow, or lost without a word.",
            ),
            (
                "Does the request end as the protocol asks: a line end, an empty line, `send_eof`?",
                "The message names the option whose limit it was: give more time there.",
            ),
        ),
        Words(
            "Время вышло (no message within 5 s, timed out)",
            "Собеседник не ответил, не прочитал или не закончил за отведённое время. Соединением можно пользоваться "
            "дальше, "
            "если в сообщении не сказано иное.",
            (
                "Собеседник тоже ждёт: остатка запроса или конца нашего направления.",
                "Собеседник медленный или пропал молча.",
            ),
            (
                "Кончается ли запрос так, как требует протокол: концом строки, пустой строкой, `send_eof`?",
                "В сообщении назван параметр, чей это предел: дайте больше времени там.",
            ),
        ),
    ),
}
"""Each page, by its code."""
