"""The Russian words of comments and docstrings in the examples of the pages, by the English ones."""

from __future__ import annotations

COMMENTS = {
    "a tour: the life of a socket, run and explained on this machine": ("жизнь сокета, вживую и с пояснениями"),
    "everything that CI checks": "всё, что проверяет CI",
    "a plain function: a thread a connection": "у соединения свой поток",
    "one handler for asyncio, uvloop, trio, epoll, poll, select, blocking": (
        "один обработчик для asyncio, uvloop, trio, epoll, poll, select, blocking"
    ),
    'a message of the framing: "PUT notes.txt 12"': 'сообщение кадрирования: "PUT notes.txt 12"',
    "six attempts in all": "всего шесть попыток",
    "plain code: `for`": "в обычном коде: `for`",
    "lost: continue with the next connection": "обрыв: продолжить со следующим соединением",
    "the same handler as over TCP": "тот же обработчик, что по TCP",
    "UDP may lose either: always give a timeout": ("UDP может потерять и запрос, и ответ: всегда задавайте timeout"),
    "or: async with, on every engine": "или async with, на любом движке",
    "the same without await in plain code: with serve(...) as server": (
        "в обычном коде то же без await: with serve(...) as server"
    ),
    "the bytes of these messages": "байты этих сообщений",
    "the next bytes of the stream: the messages that are now complete": (
        "следующие байты потока: сообщения, ставшие целыми"
    ),
    "the stream has ended: the last message, if that completes it": (
        "конец потока: последнее сообщение, если оно теперь целое"
    ),
    "one line, then the server closes": "одна строка, затем сервер закрывает соединение",
    "lost: go on with the next connection": "обрыв: дальше со следующим соединением",
    "until the client's end": "до конца потока клиента",
    "ends the loop below": "завершает цикл ниже",
    "what is written there is typed": "записанное сюда и есть набранное",
    "this end has no such limit": "на этой стороне такого предела нет",
    "Text between the bytes 02 and 03, as scales send it.": "Текст между байтами 02 и 03, как его шлют весы.",
    "the work that a request takes": "работа, которой требует запрос",
    "in the middle of a request": "посреди запроса",
    "lost: the others go on": "обрыв: остальные продолжают",
    "the first guest, who types later": "первый гость, наберёт строку позже",
    "the second guest": "второй гость",
    "now the first one types": "теперь набирает первый",
    "from a checkout: pip install -e '.[all]'": "из исходников: pip install -e '.[all]'",
    "the life of a socket, run and explained on this machine": ("жизнь сокета, вживую и с пояснениями"),
    "The same server as coroutines: reads like blocking code, and waits like the select loop.": (
        "Тот же сервер на сопрограммах: читается как блокирующий код, ждёт как цикл с select."
    ),
    "The trap: `line = long_work()` here would stop every client of this thread.": (
        "Ловушка: `line = long_work()` остановило бы здесь всех клиентов этого потока."
    ),
    "uvloop or asyncio": "uvloop или asyncio",
    "our own loop: the fastest": "собственный цикл: самый быстрый",
    "A chat of two persons who take turns, as it is first written: a recv for each message.": (
        "Чат двоих, говорящих по очереди, как его пишут сначала: на каждое сообщение один recv."
    ),
    "the host is typing, and does not read": "хозяин набирает ответ и не читает",
    "the trap: two sends ...": "ловушка: две отправки ...",
    "... that the host receives as one": "... которые хозяин получает как одну",
    "the guest leaves": "гость уходит",
    "A client whose answer comes in pieces: one recv is not the answer.": (
        "Клиент, которому ответ приходит по частям: один recv — ещё не ответ."
    ),
    "the next piece takes its time on the network": "следующая часть ещё в пути",
    "the trap: 1024 is a maximum": "ловушка: 1024 — это максимум",
    "until the server ends": "пока сервер не закончит",
    "An echo server by hand, and its client: each call that a socket server needs.": (
        "Эхо-сервер вручную и его клиент: каждый вызов, который нужен серверу."
    ),
    "waits for a client; a new socket, for this client alone": "ждёт клиента; новый сокет, только для него",
    "waits for bytes; none mean that the client has ended": "ждёт байтов; пусто — значит, клиент закончил",
    "send may take a part; sendall goes on until all is taken": ("send может взять часть; sendall отправит всё"),
    "bind again at once after a restart": "занять порт сразу после перезапуска",
    "0: a free port": "0: любой свободный порт",
    "the trap: it connects ...": "ловушка: он подключается ...",
    "... and is not served": "... но его не обслуживают",
    "Bytes become messages: by hand, wrongly and rightly, and by a framing.": (
        "Байты становятся сообщениями: вручную, неверно и верно, и с кадрированием."
    ),
    "The trap: each piece is taken for whole lines, and for whole characters.": (
        "Ловушка: каждый кусок принят за целые строки и за целые буквы."
    ),
    "By hand: keep what is incomplete, and decode whole lines only.": (
        "Вручную: хранить незаконченное, декодировать только целые строки."
    ),
    "A framing does it, with limits and errors; any cutting gives the same messages.": (
        "То же делает кадрирование, с пределами и ошибками; при любой нарезке сообщения те же."
    ),
    "Many clients in one thread: select says which sockets are ready, and a queue keeps what could not be sent yet.": (
        "Много клиентов в одном потоке: готовые сокеты назовёт select, остальное хранит очередь."
    ),
    "a queue of unsent bytes for each connection": "очередь неотправленных байтов для каждого соединения",
    "not all of them: see the trap": "не все: см. ловушку",
    "the client has ended": "клиент закончил",
    "a part, perhaps": "возможно, лишь часть",
    "the first is silent, and delays no other": "первый молчит и никого не задерживает",
    "The end: one direction after the other; and what becomes of an answer when a server just closes.": (
        "Конец: сначала одно направление, потом другое; и что будет с ответом, если сервер просто закроет сокет."
    ),
    "the request is there, and is not read": "запрос пришёл, но не прочитан",
    '"my answer is complete"': "«мой ответ закончен»",
    "read what is left, to the client's end": "дочитать остальное до конца клиента",
    "with unread bytes: a reset (RFC 2525, 2.17)": "непрочитанные байты: сброс (RFC 2525, 2.17)",
    "the answer, perhaps; never its end": "ответ, может быть; его конец — никогда",
    "to the client's end; then the answer": "до конца клиента; затем ответ",
    "leaving the block drains: open connections may finish": (
        "выход из блока ждёт: открытые соединения успеют закончить"
    ),
    "our end; the answer can still come": "наш конец; ответ ещё может прийти",
    "An encrypted echo: the client checks with whom it speaks before it sends a byte.": (
        "Шифрованное эхо: клиент проверяет, с кем говорит, прежде чем отправить хоть байт."
    ),
    "the trap: encrypted, but with whom?": "ловушка: зашифровано, но с кем?",
    "SOCKS5, SOCKS4, SOCKS4a at tcp://localhost:1080": "SOCKS5, SOCKS4, SOCKS4a на tcp://localhost:1080",
    "a local port for a remote one": "локальный порт вместо удалённого",
    "a socket file for a remote port; the reverse works too": ("файл сокета вместо удалённого порта; можно и наоборот"),
    "several targets": "несколько целей",
    "simulate a slow line": "изобразить медленную линию",
    'lines: "CONNECT host:port"': 'строки: "CONNECT host:port"',
    "a TLS handshake record": "запись рукопожатия TLS",
    "what is inside?": "что внутри?",
    "the same PROMETHEUS_MULTIPROC_DIR as the service": "та же PROMETHEUS_MULTIPROC_DIR, что у службы",
    "verified with the system's authorities and the host name": ("проверяется по системным центрам и имени узла"),
    "prints `pin sha256:…` beside `listening …`": "печатает `pin sha256:…` рядом с `listening …`",
    "found: bytes where text is sent": "найдено: bytes там, где отправляют текст",
    "both, in parallel, 30 s for both; then ./server": "оба, параллельно, 30 с на оба; затем ./server",
    "one is enough": "достаточно одного",
    "until nothing listens there any more": "пока там не перестанут слушать",
    "also waits for the socket file to appear": "ждёт и появления файла сокета",
    "a GET is answered as expected": "на GET отвечают как надо",
    "a command ends with status 0": "команда завершается с кодом 0",
    "the answer matches": "ответ подходит",
    "a datagram is answered": "на датаграмму отвечают",
    "str for a text message, bytes for a binary one": "str для текста, bytes для двоичного",
    "a TCP client reaches a WebSocket": "клиент TCP попадает к WebSocket",
    "a page reaches a TCP server": "страница попадает к серверу TCP",
    "messages stay messages": "сообщения остаются сообщениями",
}
