"""The Russian words of the tables of exit statuses, errors, events and framings."""

from __future__ import annotations

STATUSES = {
    "status": "код",
    "what happened": "что случилось",
    "success; a server was stopped, and drained; standard output was closed by its reader": (
        "успех; сервер остановлен плавно; стандартный вывод закрыл его читатель"
    ),
    "any other failure": "любая другая неудача",
    "usage, a bad address or option; nothing was opened": (
        "ошибка в командной строке, неверный адрес или параметр; ничего не открывалось"
    ),
    "not opened: refused, unresolved, no permission, address in use, failed handshake": (
        "не открылось: отказ, имя не найдено, нет прав, адрес занят, не удалось рукопожатие"
    ),
    "the connection was lost: a reset, a peer that vanished": "соединение потеряно: сброс, собеседник пропал",
    "bytes, or a message, violate the framing": "байты или сообщение нарушают кадрирование",
    "data was given up: a linger ran out, or output was left unsent": (
        "данные брошены: вышло время linger, или что-то осталось неотправленным"
    ),
    "a timeout, with the status of timeout(1)": "вышло время; код тот же, что у timeout(1)",
    "a command could not be run, as shells have it": "команду нельзя запустить, как в оболочках",
    "a command was not found, as shells have it": "команда не найдена, как в оболочках",
    "a client was ended by SIGINT: 128 + 2, as shells have it": "клиент завершён по SIGINT: 128 + 2, как в оболочках",
    "a client was ended by SIGTERM: 128 + 15": "клиент завершён по SIGTERM: 128 + 15",
}

ERRORS = {
    "The root: catch this to catch every error that socketkit raises on purpose.": (
        "Корень: перехватив её, вы перехватите любую ошибку, которую socketkit бросает намеренно."
    ),
    "The text is not an address: the message quotes the offending part and says what is allowed.": (
        "Текст не является адресом: сообщение цитирует неверную часть и говорит, что допустимо."
    ),
    "An option is unknown, or its value, unit or range is wrong.": (
        "Параметр неизвестен, или неверны его значение, единица или границы."
    ),
    "A connection or listener could not be opened.": "Соединение или слушающий сокет не удалось открыть.",
    "The name has no address, or the resolver could not answer.": "У имени нет адреса, или резолвер не смог ответить.",
    "No candidate could be connected to; `attempts` holds each one with its reason, in the order they were tried.": (
        "Не удалось подключиться ни к одному из адресов; в `attempts` — каждый с причиной, в порядке попыток."
    ),
    "The address could not be bound or listened at.": "К адресу не удалось привязаться, или на нём нельзя слушать.",
    "The transport is connected, but the handshake on it (TLS, PROXY, WebSocket) failed.": (
        "Подключение есть, но рукопожатие поверх него (TLS, PROXY, WebSocket) не удалось."
    ),
    "The peer has refused us after our handshake was done: in TLS 1.3 a client finishes before the server has checked "
    "its certificate.": (
        "Собеседник отверг нас после того, как наше рукопожатие завершилось: в TLS 1.3 клиент заканчивает раньше, чем "
        "сервер проверит его сертификат."
    ),
    "The bytes, or a message, do not follow the framing.": "Байты или сообщение не соответствуют кадрированию.",
    "A frame is longer than `max_size`; `size` is what was seen or announced (at least), both in bytes of payload.": (
        "Кадр длиннее `max_size`; `size` — сколько видно или объявлено (не меньше); оба — в байтах данных."
    ),
    "The stream ended inside a frame; `partial` holds the bytes of it that came.": (
        "Поток кончился посреди кадра; в `partial` — его пришедшие байты."
    ),
    "The open connection: ended, closed, lost, or used by two tasks at once.": (
        "Об открытом соединении: закончилось, закрыто, потеряно или занято двумя задачами сразу."
    ),
    "*You* closed it (or its sending direction), then used it.": (
        "*Вы сами* закрыли его (или своё направление), а потом обратились к нему."
    ),
    "*The peer or the network* ended it without an orderly close (a reset, a time-out), or within a frame.": (
        "*Собеседник или сеть* оборвали его без правильного закрытия (сброс, нет ответа) или посреди кадра."
    ),
    "Another task already receives here.": "Здесь уже читает другая задача.",
    "The peer has ended its direction.": "Собеседник закончил своё направление.",
    "The deadline came before the event.": "Срок наступил раньше события.",
    "The operation would block.": "Операции пришлось бы ждать.",
}

EVENTS = {
    "event": "событие",
    "fields": "поля",
    "when": "когда",
    "Accepting at this address has failed for good.": "Принимать на этом адресе больше нельзя: неустранимая ошибка.",
    "A resource shortage (descriptors, memory) pauses accepting.": (
        "Нехватка ресурсов (дескрипторов, памяти) приостановила приём."
    ),
    "The shortage is over; `seconds` is the time of all its pauses.": (
        "Нехватка кончилась; `seconds` — время всех её пауз."
    ),
    "The start of a connection that was accepted.": "Начало принятого соединения.",
    "A socket has its address.": "Сокет привязан к адресу.",
    "A socket call with its real arguments and its real result; only for observers with `wants_calls = True`.": (
        "Вызов сокета с настоящими аргументами и результатом; только для наблюдателей с `wants_calls = True`."
    ),
    "A server has read its certificates again.": "Сервер перечитал сертификаты.",
    "The end of a connection, with all that a line of an access log needs.": (
        "Конец соединения, со всем, что нужно для строки журнала доступа."
    ),
    "The start of a connection that was opened here.": "Начало соединения, открытого здесь.",
    "One candidate is being tried.": "Пробуется один из адресов.",
    "A datagram was received and dropped.": "Датаграмма получена и отброшена.",
    "The kernel has dropped datagrams, because the receive buffer of a socket was full (`receive_buffer`).": (
        "Ядро отбросило датаграммы, потому что приёмный буфер сокета был полон (`receive_buffer`)."
    ),
    "The peer has sent the end of the stream.": "Собеседник прислал конец потока.",
    "The end of the stream was sent; the peer may go on sending.": (
        "Конец потока отправлен; собеседник может отправлять дальше."
    ),
    "A connection to one candidate could not be made.": "К одному из адресов подключиться не удалось.",
    "A frame that was too long was skipped or cut, by the framing's `oversize`.": (
        "Слишком длинный кадр пропущен или обрезан, как велит `oversize`."
    ),
    "A server's handler raised; its connection is being closed, the server goes on.": (
        "Обработчик бросил исключение; его соединение закрывается, сервер работает дальше."
    ),
    "Clients can connect.": "Клиенты могут подключаться.",
    "The PROXY header of an accepted connection named this peer, which is connected through the proxy.": (
        "Заголовок PROXY принятого соединения назвал этого собеседника; он подключён через прокси."
    ),
    "A loop over connections has connected after an `Unreachable`: so many attempts had failed, in so many seconds.": (
        "Цикл по соединениям подключился после `Unreachable`: столько попыток не удалось за столько секунд."
    ),
    "Bytes were received, by one system call.": "Получены байты, одним системным вызовом.",
    "An accepted connection was reset before its handler began; it has neither a start nor an end event.": (
        "Принятое соединение сброшено раньше, чем начался обработчик; ни начального, ни конечного события у него нет."
    ),
    "An address was resolved to socket addresses, in the order in which they will be tried.": (
        "Имя разрешено в адреса сокетов, в том порядке, в котором их будут пробовать."
    ),
    "Connecting failed, or a connection was lost or has ended: it is tried again after a pause.": (
        "Подключиться не удалось, либо соединение оборвалось или закончилось: после паузы будет новая попытка."
    ),
    "The TLS handshake is complete, and the peer verified as far as was asked for; the connection is encrypted now.": (
        "Рукопожатие TLS завершено, собеседник проверен, как было задано; теперь соединение зашифровано."
    ),
    "A server has made its own certificate; clients can trust it by the pin.": (
        "Сервер создал собственный сертификат; клиенты могут доверять ему по отпечатку."
    ),
    "Bytes were given to the system, by one call.": "Байты переданы системе, одним вызовом.",
    "Clients can no longer connect.": "Клиенты больше не могут подключаться.",
    "A loop over connections cannot connect.": "Цикл по соединениям не может подключиться.",
    "A WebSocket was agreed on; the bytes of the connection are frames now.": (
        "Переход на WebSocket состоялся; теперь байты соединения — это кадры."
    ),
    "A worker process has ended.": "Рабочий процесс завершился.",
    "A worker process has begun; `worker` is its number, which its successor takes over.": (
        "Рабочий процесс начался; `worker` — его номер, который перейдёт к его замене."
    ),
}

FRAMINGS = {
    "framing": "вид",
    "option": "параметр",
    "default": "по умолчанию",
    "takes": "значение",
    "must be given": "задаётся всегда",
    "what, and why this default": "что это и почему такое значение",
    "count": "число",
    "size": "размер",
    "bytes": "байты",
    "yes/no": "да/нет",
    "encoding": "кодировка",
    "delimiter, ...": "разделитель, …",
    "Send \\r\\n instead of \\n; both are accepted anyway.": (
        "Отправлять \\r\\n вместо \\n; принимаются в любом случае оба."
    ),
    "How text lies in the bytes; utf-8 as is usual, none: messages are bytes.": (
        "Кодировка текста; utf-8, как принято; none: сообщения — это bytes."
    ),
    "What ends a message: characters, \\0 \\n \\r \\t \\\\ \\xNN; of several each does, and the first is sent.": (
        "Что кончает сообщение: символы, \\0 \\n \\r \\t \\\\ \\xNN; из нескольких — любой, отправляется первый."
    ),
    "Bytes of each message.": "Размер каждого сообщения в байтах.",
    "Bytes of the number.": "Сколько байтов занимает число.",
    "Byte order of the number, short be or le behind the width; big as networks have it.": (
        "Порядок байтов числа, кратко be или le после ширины; big, как принято в сетях."
    ),
    "What the number counts: the payload; all that follows the number; that and the number; the whole frame.": (
        "Что считает число: данные; всё, что идёт за числом; это и само число; весь кадр."
    ),
    "Bytes before the number; they are sent as zeros.": "Байты перед числом; отправляются нулями.",
    "Bytes between the number and the payload; they are sent as zeros.": (
        "Байты между числом и данными; отправляются нулями."
    ),
    "What is sent around the number, before and after it in one: \\x01\\x00; none: zeros. It is not checked.": (
        "Что отправляется вокруг числа, до него и после подряд: \\x01\\x00; none: нули. При приёме не проверяется."
    ),
    "Messages are whole frames, both ways, to read and write the bytes beside the number.": (
        "Сообщения — это кадры целиком, в обе стороны, чтобы читать и писать байты рядом с числом."
    ),
    "With keep_header: the number in a frame that is sent is filled in, whatever it was.": (
        "С keep_header: число в отправляемом кадре вписывается, каким бы оно ни было."
    ),
    "Bytes before the size; they begin each message (1: MQTT's packets).": (
        "Байты перед размером; с них начинается каждое сообщение (1: пакеты MQTT)."
    ),
    "Keys of one received map that may be neither text nor bytes: peers can choose numbers that collide in a dict.": (
        "Сколько ключей одной принятой таблицы может не быть ни текстом, ни байтами: собеседник может подобрать числа, "
        "которые сталкиваются в dict."
    ),
}
